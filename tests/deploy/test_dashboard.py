"""What somebody who is woken sees on the dashboard: without a graph they look in the dark."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from storekeeper.store.dynamodb.tables import TABLES
from storekeeper.telemetry.metrics import OUTCOMES
from tests.deploy.templates import Assembly
from tests.deploy.test_alarms import PREFIX, widgets

API, OWN = "AWS/ApiGateway", "Storekeeper/full"


class Line(NamedTuple):
    """Of a graph. `of`: its dimensions."""

    namespace: str
    metric: str
    of: dict[str, str]
    stat: str
    region: str


def lines(assembly: Assembly) -> Iterator[Line]:
    for widget in widgets(assembly):
        given = widget["properties"]
        for line in given.get("metrics", ()):
            drawn: dict[str, Any] = line[-1] if isinstance(line[-1], dict) else {}
            namespace, metric, *rest = line[:-1] if drawn else line
            of = dict(zip(rest[::2], rest[1::2], strict=True))
            stat = drawn.get("stat", given["stat"])
            yield Line(namespace, metric, of, stat, given["region"])


def drawn(assembly: Assembly, namespace: str, metric: str) -> list[Line]:
    return [one for one in lines(assembly) if (one.namespace, one.metric) == (namespace, metric)]


@pytest.mark.parametrize(
    ("namespace", "metric", "stat"),
    [
        pytest.param(API, "Count", "Sum", id="traffic"),
        pytest.param(API, "4xx", "Sum", id="what customers got wrong"),
        pytest.param(API, "5xx", "Sum", id="failures as customers see them"),
        pytest.param(OWN, "storekeeper_http_faults_total", "Sum", id="failures of the shop"),
        pytest.param(OWN, "storekeeper_log_errors", "Sum", id="errors in the log"),
        pytest.param(OWN, "storekeeper_low_stock_products", "Maximum", id="stock"),
        pytest.param(OWN, "storekeeper_outbox_lag_seconds", "Maximum", id="the outbox's lag"),
        pytest.param(OWN, "storekeeper_dead_letters", "Maximum", id="deliveries given up"),
        pytest.param(OWN, "storekeeper_write_queue_depth", "Maximum", id="changes that wait"),
        pytest.param(OWN, "storekeeper_cache_away", "Maximum", id="the cache"),
        pytest.param("AWS/Billing", "EstimatedCharges", "Maximum", id="cost"),
    ],
)
def test_it_shows(full: Assembly, namespace: str, metric: str, stat: str) -> None:
    (found,) = drawn(full, namespace, metric)
    assert found.stat == stat
    # AWS tells of cost in one region alone: elsewhere the graph would stay empty.
    assert found.region == ("us-east-1" if namespace == "AWS/Billing" else "eu-west-1")
    assert found.of.keys() == {API: {"ApiId"}, OWN: set(), "AWS/Billing": {"Currency"}}[namespace]


@pytest.mark.parametrize(
    ("namespace", "metric"), [(API, "Latency"), (OWN, "storekeeper_http_request_seconds")]
)
def test_slow_answers_are_seen_beside_usual_ones(
    full: Assembly, namespace: str, metric: str
) -> None:
    """Of the gateway and of the shop: which of the two is slow is the first question."""
    assert [one.stat for one in drawn(full, namespace, metric)] == ["p50", "p95", "p99"]


def test_orders_are_seen_by_what_became_of_them(full: Assembly) -> None:
    found = drawn(full, OWN, "storekeeper_orders_total")
    assert {one.of["outcome"] for one in found} == set(OUTCOMES) >= {"placed", "refused"}
    assert {one.stat for one in found} == {"Sum"}


@pytest.mark.parametrize(
    "metric",
    [
        *("ReadThrottleEvents", "WriteThrottleEvents"),
        *("ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits"),
    ],
)
def test_each_table_is_seen(full: Assembly, metric: str) -> None:
    """One that isn't there may be the one that holds up the shop, or that costs."""
    found = drawn(full, "AWS/DynamoDB", metric)
    assert {one.of["TableName"] for one in found} == {f"{PREFIX}{one.name}" for one in TABLES}
    assert {one.stat for one in found} == {"Sum"}


def test_machines_are_seen_and_how_full_they_are(full: Assembly) -> None:
    shown = {one.metric for one in lines(full)}
    assert shown >= {"HealthyHostCount", "UnHealthyHostCount", "GroupInServiceInstances"}
    assert shown >= {"CPUUtilization", "mem_used_percent", "disk_used_percent"}


def test_the_dashboard_can_be_read(full: Assembly) -> None:
    titles = [one["properties"].get("title", "") for one in widgets(full)]
    for subject in ("Requests", "Orders", "Errors", "Cache", "Cost", "Tables: throttled"):
        assert [title for title in titles if title.startswith(subject)], subject


def test_each_graph_has_a_title_and_lies_over_no_other(full: Assembly) -> None:
    graphs = [one for one in widgets(full) if one["type"] == "metric"]
    titles = [one["properties"]["title"] for one in graphs]
    assert all(titles)
    assert len(set(titles)) == len(titles)
    places = [(x, y) for one in widgets(full) for x, y in squares(one)]
    assert len(set(places)) == len(places)


def squares(widget: dict[str, Any]) -> Iterator[tuple[int, int]]:
    for x in range(widget["x"], widget["x"] + widget["width"]):
        for y in range(widget["y"], widget["y"] + widget["height"]):
            yield x, y
