"""What the deployment at AWS says of alarms and graphs, read off it so that it is written once."""

from __future__ import annotations

import functools
import json
from typing import Any, NamedTuple

from deploy.aws import dashboard
from deploy.aws.alarms import Watched, all_alarms
from deploy.aws.settings import Environment

# Any environment with everything on; what differs between two isn't read.
GIVEN = Environment(
    name="any",
    region="eu-west-1",
    domain="shop.example.com",
    hosted_zone="Z0123456789ABCDEFGHIJ",
    size="small",
    operators=("ops@example.com",),
    cache=True,
)
_AT = Watched(api="", balancer="", targets="", group="", undelivered="")
_COMPARED = {
    "GreaterThanThreshold": ">",
    "GreaterThanOrEqualToThreshold": ">=",
    "LessThanThreshold": "<",
}


class Terms(NamedTuple):
    """An alarm rings when `needed` of the last `periods` values of `period` seconds each are
    `compared` to `threshold` (`>`, `>=`, `<`)."""

    compared: str
    threshold: float
    period: int
    periods: int
    needed: int


class Line(NamedTuple):
    """Of a graph. `statistic`: Sum, Maximum, p50 …, over a minute."""

    namespace: str
    metric: str
    dimensions: dict[str, str]
    statistic: str
    label: str


class Graph(NamedTuple):
    title: str
    lines: tuple[Line, ...]


@functools.cache
def alarms() -> dict[str, dict[str, Any]]:
    return all_alarms(GIVEN, _AT, topic="")


def terms(name: str) -> Terms:
    """Of the alarm with this name; of one that learns what is usual, no threshold but 0."""
    alarm = alarms()[name]
    period = alarm.get("Period") or next(
        one["MetricStat"]["Period"] for one in alarm["Metrics"] if "MetricStat" in one
    )
    periods = alarm["EvaluationPeriods"]
    return Terms(
        compared=_COMPARED.get(alarm["ComparisonOperator"], "<"),
        threshold=alarm.get("Threshold", 0.0),
        period=period,
        periods=periods,
        needed=alarm.get("DatapointsToAlarm", periods),
    )


def graphs() -> list[Graph]:
    """All of the dashboard, in its order."""
    widgets = json.loads(dashboard.body(GIVEN, _AT))["widgets"]
    return [_graph(widget["properties"]) for widget in widgets if widget["type"] == "metric"]


def _graph(properties: dict[str, Any]) -> Graph:
    return Graph(
        properties["title"],
        tuple(_line(parts, properties["stat"]) for parts in properties["metrics"]),
    )


def _line(parts: list[Any], statistic: str) -> Line:
    drawn = parts[-1] if isinstance(parts[-1], dict) else {}
    namespace, metric, *rest = parts[:-1] if drawn else parts
    return Line(
        namespace=namespace,
        metric=metric,
        dimensions=dict(zip(rest[::2], rest[1::2], strict=True)),
        statistic=drawn.get("stat", statistic),
        label=drawn.get("label", ""),
    )
