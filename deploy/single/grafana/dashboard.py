"""The dashboard for Grafana: the graphs of the one at AWS, read off it, as questions to Prometheus.

The shop's own figures are translated by their kind. What AWS measures around the shop has its
counterpart in `_AROUND` or a reason in `LEFT_OUT`; a graph of which nothing is left isn't drawn.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any, Literal, NamedTuple

from deploy.aws import machines
from deploy.aws.alarms import ERRORS
from deploy.aws.dashboard import COLUMNS, HEIGHT, WIDTH
from deploy.aws.rights import MACHINE_NAMESPACE
from deploy.single.prometheus.as_on_aws import GIVEN, Graph, Line, graphs
from deploy.single.prometheus.figures import MACHINE, READY, disk, memory, probed
from storekeeper.telemetry import alarms as of_shop
from storekeeper.telemetry.metrics import GAUGES, Metrics

# Variables of the dashboard: the shop's first job, and a time with some values in it.
JOB = "$job"
RECENT = "[$__rate_interval]"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# Grafana's version 10 and newer; it updates older ones when it reads them.
SCHEMA_VERSION = 38
Kind = Literal["counter", "gauge", "histogram"]


class Query(NamedTuple):
    expression: str
    label: str


def _counted(name: str, **labels: str) -> str:
    """A counter's growth in a minute."""
    return f"60 * sum(rate({name}{_where(**labels)}{RECENT}))"


def _where(**labels: str) -> str:
    """Those whose value begins with = hold by a pattern."""
    found = [f'job="{JOB}"', *(f'{name}="{value}"' for name, value in labels.items())]
    return "{" + ",".join(found).replace('="~', '=~"') + "}"


# By namespace and metric at AWS.
_AROUND: dict[tuple[str, str], Query] = {
    ("AWS/ApiGateway", "Count"): Query(_counted(of_shop.REQUESTS), "requests"),
    ("AWS/ApiGateway", "4xx"): Query(_counted(of_shop.REQUESTS, status="~4.."), "4xx"),
    ("AWS/ApiGateway", "5xx"): Query(_counted(of_shop.FAULTS), "5xx"),
    ("AWS/ApplicationELB", "HealthyHostCount"): Query(f"sum({probed(JOB, READY)})", "ready"),
    ("AWS/ApplicationELB", "UnHealthyHostCount"): Query(
        f"sum(1 - {probed(JOB, READY)})", "not ready"
    ),
    ("AWS/AutoScaling", "GroupInServiceInstances"): Query(f'sum(up{{job="{JOB}"}})', "up"),
    ("AWS/EC2", "CPUUtilization"): Query(
        "100 - 100 * avg(rate(node_cpu_seconds_total"
        f'{{job="{JOB}-{MACHINE}",mode="idle"}}{RECENT}))',
        "processor",
    ),
    (MACHINE_NAMESPACE, machines.MEMORY): Query(f"max({memory(JOB)})", "memory"),
    (MACHINE_NAMESPACE, machines.DISK): Query(f"max(\n  {disk(JOB)}\n)", "disk"),
}
# By namespace and metric at AWS, or by namespace alone.
LEFT_OUT: dict[tuple[str, str], str] = {
    ("AWS/ApiGateway", "Latency"): "there is no gateway; the proxy's log has its times",
    ("AWS/DynamoDB", ""): "there are no tables of DynamoDB",
    ("AWS/Billing", ""): "nothing is billed by use",
    (GIVEN.namespace, ERRORS): "CloudWatch counts them in the log; the shop has no figure of them",
}


def text() -> str:
    """The file that Grafana imports."""
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


def dashboard() -> dict[str, Any]:
    drawn = [(graph, kept) for graph in graphs() if (kept := _queries(graph))]
    return {
        "uid": "storekeeper-shop",
        "title": "Storekeeper",
        "description": "What to look at first, from traffic down to the machine.",
        "tags": ["storekeeper"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "timezone": "browser",
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "1m",
        "graphTooltip": 1,
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": _variables()},
        "panels": [_panel(place, graph, queries) for place, (graph, queries) in enumerate(drawn)],
    }


def reason(line: Line) -> str:
    """Why the line has no counterpart; empty where it has one."""
    by_name = LEFT_OUT.get((line.namespace, line.metric), "")
    return by_name or LEFT_OUT.get((line.namespace, ""), "")


def query(line: Line) -> Query:
    """Raises `KeyError` for what is neither the shop's nor known of AWS."""
    if line.namespace != GIVEN.namespace:
        return _AROUND[line.namespace, line.metric]
    label = line.label or line.metric.removeprefix("storekeeper_").removesuffix("_total")
    return Query(_of_shop(line), label.replace("_", " "))


def _queries(graph: Graph) -> list[Query]:
    return [query(line) for line in graph.lines if not reason(line)]


def _of_shop(line: Line) -> str:
    match _kinds()[line.metric]:
        case "counter":
            return _counted(line.metric, **line.dimensions)
        case "gauge":
            return f"max(max_over_time({line.metric}{_where(**line.dimensions)}{RECENT}))"
        case "histogram":
            share = 1.0 if line.statistic == "Maximum" else float(line.statistic[1:]) / 100
            buckets = f"{line.metric}_bucket{_where(**line.dimensions)}"
            return f"histogram_quantile({share:g}, sum by (le) (rate({buckets}{RECENT})))"


@functools.cache
def _kinds() -> dict[str, Kind]:
    """By the names that CloudWatch and alarms use."""
    kinds: dict[str, Kind] = dict.fromkeys(GAUGES, "gauge")
    for family in Metrics().registry.collect():
        if family.type == "counter":
            kinds[f"{family.name}_total"] = "counter"
        else:
            kinds[family.name] = "histogram"
    return kinds


def _variables() -> list[dict[str, Any]]:
    # A counter without labels is there from the first second on.
    shops = f"label_values({of_shop.FAULTS}, job)"
    return [
        {
            "name": "datasource",
            "label": "Prometheus",
            "type": "datasource",
            "query": "prometheus",
            "refresh": 1,
            "hide": 0,
        },
        {
            "name": "job",
            "label": "Shop",
            "type": "query",
            "datasource": SOURCE,
            "definition": shops,
            "query": {"query": shops, "refId": "shops"},
            "refresh": 2,
            "sort": 1,
            "hide": 0,
        },
    ]


def _panel(place: int, graph: Graph, queries: Sequence[Query]) -> dict[str, Any]:
    return {
        "id": place + 1,
        "type": "timeseries",
        "title": graph.title,
        "datasource": SOURCE,
        "gridPos": {
            "x": place % COLUMNS * WIDTH,
            "y": place // COLUMNS * HEIGHT,
            "w": WIDTH,
            "h": HEIGHT,
        },
        "fieldConfig": {
            "defaults": {
                "unit": _unit(graph),
                "min": 0,
                "custom": {
                    "drawStyle": "line",
                    "fillOpacity": 8,
                    "showPoints": "never",
                    "axisLabel": "a minute" if _counts(graph) else "",
                },
            },
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "none"},
        },
        "targets": [
            {
                "refId": ascii_uppercase[number],
                "datasource": SOURCE,
                "editorMode": "code",
                "expr": one.expression,
                "legendFormat": one.label,
                "range": True,
            }
            for number, one in enumerate(queries)
        ],
    }


def _unit(graph: Graph) -> str:
    if graph.title.endswith("%"):
        return "percent"
    in_seconds = all(line.metric.endswith("_seconds") for line in graph.lines)
    return "s" if in_seconds or graph.title.endswith("in seconds") else "short"


def _counts(graph: Graph) -> bool:
    return all(line.statistic == "Sum" for line in graph.lines)
