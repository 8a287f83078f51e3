"""The dashboard of an environment: what to look at first, from traffic down to cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from deploy.aws import machines, runbook
from deploy.aws.alarms import AWAY, ERRORS, ORDERS, Watched
from deploy.aws.rights import MACHINE_NAMESPACE
from deploy.aws.settings import Environment
from storekeeper.store.dynamodb.tables import TABLES
from storekeeper.telemetry import alarms as of_shop
from storekeeper.telemetry.metrics import OUTCOMES

COLUMNS, WIDTH, HEIGHT = 3, 8, 6
# Of the runbook, under the graphs; longer text is scrolled.
TEXT_HEIGHT = 24
# Namespace, name, then dimensions in turn, then how it is drawn.
Line = list[Any]
Graph = tuple[str, str, list[Line]]


def body(given: Environment, at: Watched) -> str:
    """As CloudWatch takes it."""
    graphs = [*_of_traffic(given, at), *_of_shop(given), *_around(given, at)]
    widgets = [_widget(given.region, *graph) for graph in graphs]
    widgets.append(_cost())
    placed = [
        {
            **widget,
            "x": place % COLUMNS * WIDTH,
            "y": place // COLUMNS * HEIGHT,
            "width": WIDTH,
            "height": HEIGHT,
        }
        for place, widget in enumerate(widgets)
    ]
    written = {
        "type": "text",
        "x": 0,
        "y": -(-len(widgets) // COLUMNS) * HEIGHT,
        "width": COLUMNS * WIDTH,
        "height": TEXT_HEIGHT,
        "properties": {"markdown": runbook.text(given)},
    }
    return json.dumps({"widgets": [*placed, written]}, ensure_ascii=False)


def _of_traffic(given: Environment, at: Watched) -> Sequence[Graph]:
    api = ["AWS/ApiGateway", "ApiId", at.api]
    return [
        ("Requests", "Sum", [_line(api, "Count"), _line(api, "4xx"), _line(api, "5xx")]),
        (
            "Time to answer, as customers see it",
            "p50",
            [_line(api, "Latency", stat=one, label=one) for one in ("p50", "p95", "p99")],
        ),
        (
            "Time to answer, of the shop",
            "p50",
            [
                [given.namespace, of_shop.SECONDS, {"stat": one, "label": one}]
                for one in ("p50", "p95", "p99")
            ],
        ),
    ]


def _of_shop(given: Environment) -> Sequence[Graph]:
    own = given.namespace
    return [
        ("Orders", "Sum", [[own, ORDERS, "outcome", one, {"label": one}] for one in OUTCOMES]),
        ("Errors", "Sum", [[own, of_shop.FAULTS], [own, ERRORS]]),
        ("Products that run low", "Maximum", [[own, "storekeeper_low_stock_products"]]),
        (
            "Events that wait, in seconds",
            "Maximum",
            [[own, of_shop.LAG], [own, "storekeeper_replica_lag_seconds"]],
        ),
        (
            "Deliveries",
            "Maximum",
            [[own, of_shop.DEAD], [own, "storekeeper_deliveries_failing"]],
        ),
        (
            "Change sets that wait, and commits",
            "Maximum",
            [[own, of_shop.QUEUE], [own, "storekeeper_commit_batch_size"]],
        ),
        ("Cache away", "Maximum", [[own, AWAY]]),
    ]


def _around(given: Environment, at: Watched) -> Sequence[Graph]:
    names = [given.prefix + table.name for table in TABLES]
    hosts = ["AWS/ApplicationELB", "LoadBalancer", at.balancer, "TargetGroup", at.targets]
    group = ["AWS/AutoScaling", "AutoScalingGroupName", at.group]
    here = [MACHINE_NAMESPACE, "environment", given.name]
    return [
        (
            "Tables: units used",
            "Sum",
            [
                ["AWS/DynamoDB", f"Consumed{kind}CapacityUnits", "TableName", name]
                for name in names
                for kind in ("Read", "Write")
            ],
        ),
        (
            "Tables: throttled",
            "Sum",
            [
                ["AWS/DynamoDB", f"{kind}ThrottleEvents", "TableName", name]
                for name in names
                for kind in ("Read", "Write")
            ],
        ),
        (
            "Machines",
            "Maximum",
            [
                _line(hosts, "HealthyHostCount"),
                _line(hosts, "UnHealthyHostCount"),
                _line(group, "GroupInServiceInstances"),
            ],
        ),
        (
            "Machines: processor, memory, disk, %",
            "Maximum",
            [
                ["AWS/EC2", "CPUUtilization", "AutoScalingGroupName", at.group],
                _line(here, machines.MEMORY),
                _line(here, machines.DISK),
            ],
        ),
    ]


def _line(where: Sequence[str], metric: str, **drawn: str) -> Line:
    namespace, *dimensions = where
    return [namespace, metric, *dimensions, *([drawn] if drawn else [])]


def _widget(region: str, title: str, statistic: str, lines: list[Line]) -> dict[str, Any]:
    return {
        "type": "metric",
        "properties": {
            "title": title,
            "region": region,
            "stat": statistic,
            "period": 60,
            "metrics": lines,
        },
    }


def _cost() -> dict[str, Any]:
    """AWS tells it in one region alone, some times a day, where billing alerts are switched on."""
    line: Line = ["AWS/Billing", "EstimatedCharges", "Currency", "USD"]
    widget = _widget("us-east-1", "Cost of the account this month, USD", "Maximum", [line])
    widget["properties"]["period"] = 21_600
    return widget
