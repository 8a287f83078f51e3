"""Operators are told of what goes wrong, with a link to what to do, and woken when it matters."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from deploy.aws import machines
from deploy.aws.settings import read
from storekeeper.store.dynamodb.tables import TABLES
from storekeeper.telemetry.alarms import alarms
from storekeeper.telemetry.metrics import GAUGES, Metrics
from tests.deploy.templates import Assembly
from tests.deploy.test_settings import GOOD
from tests.support.processes import ROOT

# Made from the log by a filter, not sent by the shop.
OF_LOG = {"storekeeper_log_errors"}
PREFIX = "storekeeper-full-"
AROUND = {
    "agent-silent",
    "cache-away",
    "disk",
    "few-machines",
    "gateway-errors",
    "gateway-slow",
    "log-errors",
    "memory",
    "no-machine",
    "no-orders",
    "table-errors",
    "table-throttled",
    "undelivered",
    "unhealthy-machine",
    "view-errors",
}
CALLS = Path(__file__).parent / "recorded_calls.txt"


def made(assembly: Assembly) -> dict[str, dict[str, Any]]:
    """The alarms by name, without the prefix."""
    found = assembly.of_type("monitoring", "CloudWatch::Alarm").values()
    return {one["AlarmName"].removeprefix(PREFIX): one for one in found}


def widgets(assembly: Assembly) -> list[dict[str, Any]]:
    """Of the dashboard."""
    body = assembly.the("monitoring", "CloudWatch::Dashboard")["DashboardBody"]
    parts = body["Fn::Join"][1]
    found = json.loads("".join(part if isinstance(part, str) else "NAME" for part in parts))
    return list(found["widgets"])


def sent() -> set[str]:
    """All figures that the shop sends."""
    found = {family.name for family in Metrics().registry.collect()}
    return found | {f"{name}_total" for name in found} | set(GAUGES) | OF_LOG


def names_in(text: str) -> set[str]:
    return set(re.findall(r"storekeeper_[a-z_]+", text))


def test_the_applications_own_alarms_are_among_them(full: Assembly) -> None:
    own = {one["AlarmName"]: one for one in alarms("Storekeeper/full", prefix="")}
    found = made(full)
    assert found.keys() == own.keys() | AROUND
    for name, alarm in own.items():
        for key in ("Threshold", "EvaluationPeriods", "ComparisonOperator"):
            assert found[name][key] == alarm[key]


def test_each_tells_operators_and_links_to_a_part_of_the_runbook(full: Assembly) -> None:
    text = (ROOT / "docs" / "aws.md").read_text()
    headings = set(re.findall(r"^#+ `?([a-z-]+)`?$", text, re.MULTILINE))
    (composite,) = full.of_type("monitoring", "CloudWatch::CompositeAlarm").values()
    of_updates = full.of_type("compute", "CloudWatch::Alarm").values()
    assert len(of_updates) == 2
    for one in (*made(full).values(), *of_updates, composite):
        link = one["AlarmDescription"].rpartition("What to do: https://wiki.example.com/aws.md#")[2]
        assert link == one["AlarmName"].removeprefix(PREFIX)
        assert link in headings
    for one in (*made(full).values(), *of_updates):
        assert "OperationsTopic" in json.dumps(one["AlarmActions"])
        assert one["OKActions"] == one["AlarmActions"]


def test_who_names_no_runbook_is_led_to_the_dashboard_which_shows_it(least: Assembly) -> None:
    dashboard = least.the("monitoring", "CloudWatch::Dashboard")
    (text,) = (one["properties"]["markdown"] for one in widgets(least) if one["type"] == "text")
    # Of this environment, and with no link that leads nowhere on the console.
    assert "the dashboard `storekeeper-least-shop`" in text
    assert "make deploy ENV=least" in text
    assert not re.findall(r"\bENV\b(?!=)|\]\(", text)
    for alarm in least.of_type("monitoring", "CloudWatch::Alarm").values():
        name = alarm["AlarmName"].removeprefix("storekeeper-least-")
        assert alarm["AlarmDescription"].endswith(
            f"What to do: {name} at https://us-east-1.console.aws.amazon.com/cloudwatch/home"
            f"?region=us-east-1#dashboards:name={dashboard['DashboardName']}"
        )
        assert f"### {name}\n" in text


def test_somebody_is_woken_by_alarms_that_exist(full: Assembly) -> None:
    (composite,) = full.of_type("monitoring", "CloudWatch::CompositeAlarm").values()
    named = set(re.findall(r'ALARM\("([a-z-]+)"\)', composite["AlarmRule"]))
    assert named <= {one["AlarmName"] for one in made(full).values()}
    assert {f"{PREFIX}no-machine", f"{PREFIX}error-rate", f"{PREFIX}no-orders"} <= named
    assert "PagesTopic" in json.dumps(composite["AlarmActions"])


def test_alarms_and_dashboard_look_at_figures_that_the_shop_sends(full: Assembly) -> None:
    looked_at = names_in(json.dumps(full.templates["monitoring"]["Resources"]))
    assert looked_at - sent() == set()
    assert len(looked_at) > 10


def test_a_shop_without_a_cache_has_no_alarm_for_it(least: Assembly) -> None:
    assert "CacheAwayAlarm" not in least.of_type("monitoring", "CloudWatch::Alarm")


def test_few_requests_ring_no_alarm(full: Assembly) -> None:
    (rate,) = (one for one in made(full)["gateway-errors"]["Metrics"] if "Expression" in one)
    assert rate["Expression"].startswith("IF(asked >= 20,")


def test_tables_are_watched_though_dynamodb_is_silent_while_all_is_well(full: Assembly) -> None:
    """Without FILL one figure without a value leaves the whole sum without one."""
    for name in ("table-throttled", "table-errors", "view-errors"):
        metrics = made(full)[name]["Metrics"]
        (total,) = (one["Expression"] for one in metrics if "Expression" in one)
        figures = [one["Id"] for one in metrics if "MetricStat" in one]
        assert total == f"SUM([{', '.join(f'FILL({one}, 0)' for one in figures)}])"
        # CloudWatch takes no more in an alarm.
        assert 2 < len(figures) <= 10
    text = json.dumps(made(full)["table-throttled"])
    for table in TABLES:
        assert f'"storekeeper-full-{table.name}"' in text
        for index in table.indexes:
            assert f'"{index.name}"' in text


def test_every_table_that_the_shop_calls_rings_when_dynamodb_fails_there(full: Assembly) -> None:
    """Else orders could be taken for hours while the tables that other programs read stand still."""
    called = {
        (f"{PREFIX}{table}", action)
        for action, table in re.findall(r"dynamodb:(\w+) on \S+table/\*(\w+)", CALLS.read_text())
        if action != "DescribeTable"
    }
    watched = [
        {one["Name"]: one["Value"] for one in metric["MetricStat"]["Metric"]["Dimensions"]}
        for name in ("table-errors", "view-errors")
        for metric in made(full)[name]["Metrics"]
        if metric.get("MetricStat", {}).get("Metric", {}).get("MetricName") == "SystemErrors"
    ]
    assert {(one["TableName"], one["Operation"]) for one in watched} == called
    assert {table for table, _ in called} == {f"{PREFIX}{table.name}" for table in TABLES}


@pytest.mark.parametrize(
    ("in_service", "sent", "rings"),
    [
        pytest.param(3, 15, False, id="all send"),
        pytest.param(3, 14, False, id="one value is late"),
        pytest.param(3, 10, True, id="one of three is silent"),
        pytest.param(9, 40, True, id="one of nine is silent"),
        pytest.param(3, None, True, id="all are silent"),
        pytest.param(2, 13, False, id="a third has just started, or just goes"),
        pytest.param(0, None, False, id="there are no machines, as while restoring"),
        pytest.param(None, 15, False, id="the group says nothing"),
        pytest.param(None, None, False, id="nobody says anything"),
    ],
)
def test_a_machine_whose_agent_died_rings(
    full: Assembly, in_service: int | None, sent: int | None, rings: bool
) -> None:
    """Its disk may fill up and its log may be lost, and the others' values look like all is well."""
    alarm = made(full)["agent-silent"]
    (expression,) = (one["Expression"] for one in alarm["Metrics"] if "Expression" in one)
    known: dict[str, Any] = {
        "FILL": lambda value, other: other if value is None else value,
        "__builtins__": {},
    }
    missing = eval(expression, known, {"machines": in_service, "samples": sent})
    assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    assert (missing >= alarm["Threshold"]) == rings


def test_a_silent_agent_is_known_by_what_each_machine_sends(full: Assembly) -> None:
    """A value a minute of each machine, counted beside the machines that were there all the time."""
    alarm = made(full)["agent-silent"]
    looked_at = {one["Id"]: one["MetricStat"] for one in alarm["Metrics"] if "MetricStat" in one}
    agent = machines.agent(read({**GOOD, "name": "full"}))
    values = looked_at["samples"]
    assert values["Stat"] == "SampleCount"
    assert values["Metric"] == {
        "Namespace": agent["metrics"]["namespace"],
        "MetricName": "mem_used_percent",
        "Dimensions": [{"Name": "environment", "Value": "full"}],
    }
    assert agent["metrics"]["metrics_collected"]["mem"] == {
        "measurement": ["mem_used_percent"],
        "append_dimensions": {"environment": "full"},
    }
    assert agent["agent"]["metrics_collection_interval"] * 5 == values["Period"]
    # A machine that has just started has no values for some minutes.
    group = looked_at["machines"]
    assert (group["Stat"], group["Period"]) == ("Minimum", values["Period"])
    assert group["Metric"]["MetricName"] == "GroupInServiceInstances"
    assert alarm["DatapointsToAlarm"] * values["Period"] == 15 * 60
    assert alarm["EvaluationPeriods"] > alarm["DatapointsToAlarm"]
    assert alarm["TreatMissingData"] == "breaching"
    # Where the group says nothing it is this one that tells.
    assert made(full)["few-machines"]["TreatMissingData"] == "breaching"


def test_too_few_orders_ring_by_what_is_usual_and_too_many_do_not(full: Assembly) -> None:
    """Without it a shop in which nobody can pay looks healthy all day; a sale is no trouble."""
    alarm = made(full)["no-orders"]
    assert alarm["ComparisonOperator"] == "LessThanLowerThreshold"
    placed, orders, usual = alarm["Metrics"]
    assert (usual["Id"], alarm["ThresholdMetricId"]) == ("usual", "usual")
    assert usual["Expression"] == "ANOMALY_DETECTION_BAND(orders, 3)"
    # An hour without any is no gap in the figures but the trouble itself.
    assert (orders["Id"], orders["Expression"]) == ("orders", "FILL(placed, 0)")
    assert placed["MetricStat"]["Metric"] == {
        "Namespace": "Storekeeper/full",
        "MetricName": "storekeeper_orders_total",
        "Dimensions": [{"Name": "outcome", "Value": "placed"}],
    }
    assert placed["MetricStat"]["Stat"] == "Sum"
    assert [one["ReturnData"] for one in alarm["Metrics"]] == [False, True, True]
    assert alarm["DatapointsToAlarm"] == alarm["EvaluationPeriods"]
    assert alarm["EvaluationPeriods"] * placed["MetricStat"]["Period"] == 60 * 60
    assert alarm["TreatMissingData"] == "notBreaching"


def test_what_is_usual_is_learned_of_the_same_figure(full: Assembly) -> None:
    """A band of another expression is none that the alarm has: it would never ring."""
    learned = full.the("monitoring", "CloudWatch::AnomalyDetector")
    queries = learned["MetricMathAnomalyDetector"]["MetricDataQueries"]
    compared = made(full)["no-orders"]["Metrics"][:2]
    assert queries == [{**one, "ReturnData": one["Id"] == "orders"} for one in compared]
