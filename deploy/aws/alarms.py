"""Every alarm of an environment, as CloudFormation takes it.

Those on the shop's own figures are the application's (`storekeeper.telemetry.alarms`); here are
those on what stands around it. Each is named after its part of the runbook.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from deploy.aws import machines, runbook
from deploy.aws.rights import MACHINE_NAMESPACE
from deploy.aws.settings import Environment
from storekeeper.store.dynamodb.rights import OF_LOG, OF_VIEWS, Rights
from storekeeper.store.dynamodb.tables import TABLES
from storekeeper.telemetry import alarms as of_shop

ORDERS = "storekeeper_orders_total"
AWAY = "storekeeper_cache_away"
ERRORS = "storekeeper_log_errors"
# Those that mean that customers can't order now, or soon can't.
WAKING = frozenset(
    {
        "error-rate",
        "fault-burst",
        "gateway-errors",
        "log-errors",
        "no-machine",
        "no-orders",
        "silent",
    }
)
# Alarms look at what was asked of the gateway only where so many asked in a minute.
LEAST_REQUESTS = of_shop.LEAST_REQUESTS
MOST_PERCENT = of_shop.MOST_PERCENT
GATEWAY_SLOW_MS = 2_000.0
FULL_DISK, FULL_MEMORY = 80.0, 90.0
LOGGED_ERRORS = 5
TABLE_FAULTS = 5.0
QUARTER_S = 900
AGENT_PERIOD_S = 300
Properties = dict[str, Any]


class Watched(NamedTuple):
    """What the alarms look at, by the names that CloudWatch knows."""

    api: str
    balancer: str
    targets: str
    group: str
    undelivered: str


def all_alarms(given: Environment, at: Watched, topic: str) -> dict[str, Properties]:
    """By name, without the environment's prefix. `topic` is told of each alarm and of its end."""
    shop = {
        one["AlarmName"]: one for one in of_shop.alarms(given.namespace, topics=[topic], prefix="")
    }
    around = {**_machines(given, at), **_gateway(at), **_tables(given), **_rest(given, at)}
    told = {"AlarmActions": [topic], "OKActions": [topic]}
    found = {**shop, **{name: {**one, **told} for name, one in around.items()}}
    return {name: _named(given, name, one) for name, one in found.items()}


def waking_rule(given: Environment, names: Sequence[str]) -> str:
    """Of the composite alarm."""
    return " OR ".join(f'ALARM("{given.prefix}{name}")' for name in sorted(names) if name in WAKING)


def _named(given: Environment, name: str, properties: Properties) -> Properties:
    text = f"{properties['AlarmDescription']} What to do: {runbook.link(given, name)}"
    return {**properties, "AlarmName": given.prefix + name, "AlarmDescription": text}


def _machines(given: Environment, at: Watched) -> dict[str, Properties]:
    of_targets = {"LoadBalancer": at.balancer, "TargetGroup": at.targets}
    here = {"environment": given.name}
    return {
        "unhealthy-machine": _plain(
            "A machine doesn't answer /readyz with 200.",
            ("AWS/ApplicationELB", "UnHealthyHostCount", of_targets),
            EvaluationPeriods=5,
            DatapointsToAlarm=3,
        ),
        "no-machine": _plain(
            "No machine can serve customers.",
            ("AWS/ApplicationELB", "HealthyHostCount", of_targets),
            ComparisonOperator="LessThanThreshold",
            Threshold=1.0,
            EvaluationPeriods=2,
            TreatMissingData="breaching",
        ),
        "few-machines": _plain(
            "Fewer machines are in service than there should be at least.",
            ("AWS/AutoScaling", "GroupInServiceInstances", {"AutoScalingGroupName": at.group}),
            Statistic="Minimum",
            ComparisonOperator="LessThanThreshold",
            Threshold=float(given.machines.least),
            EvaluationPeriods=15,
            TreatMissingData="breaching",
        ),
        "disk": _plain(
            f"A machine's disk is more than {FULL_DISK:g} % full.",
            (MACHINE_NAMESPACE, machines.DISK, here),
            Threshold=FULL_DISK,
            EvaluationPeriods=5,
        ),
        "memory": _plain(
            f"A machine's memory is more than {FULL_MEMORY:g} % in use.",
            (MACHINE_NAMESPACE, machines.MEMORY, here),
            Threshold=FULL_MEMORY,
            EvaluationPeriods=10,
        ),
        "agent-silent": _agent_silent(given, at),
    }


def _agent_silent(given: Environment, at: Watched) -> Properties:
    """How many machines' values are missing. A machine counts where it was in service for a whole
    period, so that new ones have time to start; where the group says nothing, few-machines rings.
    The newest values may not be there yet, which FILL takes for none: so three of four, either way.
    """
    sent = AGENT_PERIOD_S // machines.AGENT_S
    figures: dict[str, Figure] = {
        "machines": (
            "AWS/AutoScaling",
            "GroupInServiceInstances",
            {"AutoScalingGroupName": at.group},
        ),
        "samples": (MACHINE_NAMESPACE, machines.MEMORY, {"environment": given.name}),
    }
    return _computed(
        "A machine's CloudWatch agent sends nothing: its disk, its memory and its log are unwatched.",
        f"FILL(machines, 0) - FILL(samples, 0) / {sent}",
        figures,
        stats={"machines": "Minimum", "samples": "SampleCount"},
        period=AGENT_PERIOD_S,
        # Most of a machine's values; a single one may come a moment late.
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        Threshold=0.5,
        EvaluationPeriods=4,
        DatapointsToAlarm=3,
        TreatMissingData="breaching",
    )


def _gateway(at: Watched) -> dict[str, Properties]:
    api = {"ApiId": at.api}
    return {
        "gateway-errors": _computed(
            f"More than {MOST_PERCENT} % of at least {LEAST_REQUESTS} requests a minute failed, "
            "as customers see it.",
            f"IF(asked >= {LEAST_REQUESTS}, 100 * failed / asked, 0)",
            {
                "asked": ("AWS/ApiGateway", "Count", api),
                "failed": ("AWS/ApiGateway", "5xx", api),
            },
            Threshold=float(MOST_PERCENT),
            EvaluationPeriods=3,
            DatapointsToAlarm=2,
        ),
        "gateway-slow": _plain(
            f"One request in a hundred takes more than {GATEWAY_SLOW_MS / 1_000:g} s, as customers "
            "see it.",
            ("AWS/ApiGateway", "Latency", api),
            ExtendedStatistic="p99",
            EvaluateLowSampleCountPercentile="ignore",
            Threshold=GATEWAY_SLOW_MS,
            EvaluationPeriods=5,
        ),
    }


def _tables(given: Environment) -> dict[str, Properties]:
    names = [given.prefix + table.name for table in TABLES]
    throttled: dict[str, Figure] = {
        f"{kind.lower()}{place}": ("AWS/DynamoDB", f"{kind}ThrottleEvents", {"TableName": name})
        for place, name in enumerate(names)
        for kind in ("Read", "Write")
    }
    # An index that can't follow holds up its table. An alarm takes ten figures at most.
    throttled |= {
        f"index{place}": (
            "AWS/DynamoDB",
            "WriteThrottleEvents",
            {"TableName": given.prefix + table.name, "GlobalSecondaryIndexName": index.name},
        )
        for place, (table, index) in enumerate(
            (table, index) for table in TABLES for index in table.indexes
        )
    }
    return {
        "table-throttled": _computed(
            "DynamoDB refuses requests because there are too many.",
            _sum(throttled),
            throttled,
            EvaluationPeriods=3,
            DatapointsToAlarm=2,
        ),
        "table-errors": _faults(
            given, "DynamoDB answers with faults of its own for the log of all commits.", OF_LOG
        ),
        "view-errors": _faults(
            given,
            "DynamoDB answers with faults of its own for the tables that other programs read.",
            OF_VIEWS,
        ),
    }


def _faults(given: Environment, text: str, called: Rights) -> Properties:
    """Of what is `called`: DynamoDB counts them for each operation of a table."""
    failed: dict[str, Figure] = {
        f"{action.lower()}_{table.name}": (
            "AWS/DynamoDB",
            "SystemErrors",
            {"TableName": given.prefix + table.name, "Operation": action},
        )
        for table, actions in called.items()
        for action in actions
    }
    return _computed(
        text,
        _sum(failed),
        failed,
        Threshold=TABLE_FAULTS,
        EvaluationPeriods=3,
        DatapointsToAlarm=2,
    )


def _sum(figures: Iterable[str]) -> str:
    """DynamoDB tells only of what happens: one figure without a value would leave the sum without
    one, and the alarm would see nothing."""
    return f"SUM([{', '.join(f'FILL({one}, 0)' for one in figures)}])"


def _rest(given: Environment, at: Watched) -> dict[str, Properties]:
    found = {
        "undelivered": _plain(
            "A message couldn't be delivered to a subscription.",
            ("AWS/SQS", "ApproximateNumberOfMessagesVisible", {"QueueName": at.undelivered}),
        ),
        "log-errors": _plain(
            f"{LOGGED_ERRORS} or more errors were logged within five minutes.",
            (given.namespace, ERRORS, {}),
            Statistic="Sum",
            Period=300,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
            Threshold=float(LOGGED_ERRORS),
        ),
        "no-orders": _no_orders(given),
    }
    if given.cache:
        found["cache-away"] = _plain(
            "The shared cache can't be used; the shop goes on without it.",
            (given.namespace, AWAY, {}),
            EvaluationPeriods=5,
        )
    return found


def placed(given: Environment) -> list[Properties]:
    """Orders in a quarter of an hour, 0 where there were none; CloudWatch learns what is usual."""
    figure = _stat(
        "placed", (given.namespace, ORDERS, {"outcome": "placed"}), period=QUARTER_S, shown=False
    )
    return [
        figure,
        {"Id": "orders", "Label": "orders placed", "Expression": "FILL(placed, 0)"},
    ]


def _no_orders(given: Environment) -> Properties:
    figure, orders = placed(given)
    return {
        "AlarmDescription": "Fewer orders are placed than usual at this time of the week.",
        "Metrics": [
            figure,
            {**orders, "ReturnData": True},
            {
                "Id": "usual",
                "Label": "usual",
                "Expression": "ANOMALY_DETECTION_BAND(orders, 3)",
                "ReturnData": True,
            },
        ],
        "ThresholdMetricId": "usual",
        "ComparisonOperator": "LessThanLowerThreshold",
        "EvaluationPeriods": 4,
        "DatapointsToAlarm": 4,
        "TreatMissingData": "notBreaching",
    }


Figure = tuple[str, str, dict[str, str]]


def _plain(text: str, figure: Figure, **more: Any) -> Properties:
    """The largest value of a minute above 0, unless `more` says otherwise."""
    namespace, name, dimensions = figure
    statistic = {} if "ExtendedStatistic" in more else {"Statistic": "Maximum"}
    return {
        "AlarmDescription": text,
        "Namespace": namespace,
        "MetricName": name,
        "Dimensions": _dimensions(dimensions),
        "Period": 60,
        **statistic,
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": 0.0,
        "EvaluationPeriods": 1,
        "TreatMissingData": "notBreaching",
        **more,
    }


def _computed(
    text: str,
    expression: str,
    figures: dict[str, Figure],
    *,
    stats: Mapping[str, str] | None = None,
    period: int = 60,
    **more: Any,
) -> Properties:
    """An expression over sums of a minute, above 0 unless `more` says otherwise. `stats`: by figure,
    where it is another than the sum."""
    of = stats or {}
    return {
        "AlarmDescription": text,
        "Metrics": [
            {"Id": "value", "Label": text, "Expression": expression, "ReturnData": True},
            *(
                _stat(id, figure, period=period, shown=False, stat=of.get(id, "Sum"))
                for id, figure in figures.items()
            ),
        ],
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": 0.0,
        "TreatMissingData": "notBreaching",
        **more,
    }


def _stat(id: str, figure: Figure, *, period: int, shown: bool, stat: str = "Sum") -> Properties:
    namespace, name, dimensions = figure
    metric = {
        "Namespace": namespace,
        "MetricName": name,
        "Dimensions": _dimensions(dimensions),
    }
    return {
        "Id": id,
        "MetricStat": {"Metric": metric, "Period": period, "Stat": stat},
        "ReturnData": shown,
    }


def _dimensions(dimensions: dict[str, str]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in dimensions.items()]
