"""What is read for CloudWatch: a figure told twice, or not at all, would be believed."""

from __future__ import annotations

import ast
import importlib
import math
import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from storekeeper.telemetry.alarms import alarms
from storekeeper.telemetry.cloudwatch.figures import Key, Spread, Totals
from storekeeper.telemetry.cloudwatch.reading import DIMENSIONS, Reader, unit_of
from storekeeper.telemetry.metrics import GAUGES, OUTCOMES, SHOP_WIDE, Metrics

REQUESTS = "storekeeper_http_requests_total"
SECONDS = "storekeeper_http_request_seconds"
_BOUNDS = (0.01, 0.1, 1.0, 10.0)


def test_each_look_tells_what_happened_since_the_last() -> None:
    metrics = Metrics()
    metrics.order("placed")
    reader = Reader(metrics.registry)
    placed = Key("storekeeper_orders_total", (("outcome", "placed"),))
    assert reader.read({})[placed] == Totals.of(0), "it was there before the first look"
    metrics.order("placed")
    metrics.order("placed")
    assert reader.read({})[placed] == Totals.of(2)
    assert reader.read({})[placed] == Totals.of(0)


def test_that_nobody_orders_is_told_and_not_left_out() -> None:
    """An alarm on too few orders would have nothing to look at, just when there are none."""
    metrics = Metrics()
    found = Reader(metrics.registry).read({})
    of_orders = {key: figure for key, figure in found.items() if "orders" in key.name}
    placed = Key("storekeeper_orders_total", (("outcome", "placed"),))
    assert of_orders == {placed: Totals.of(0)}


def test_routes_and_methods_make_no_metrics_of_their_own() -> None:
    """Each combination would be a metric on AWS's bill: some hundred routes times statuses."""
    metrics = Metrics()
    reader = Reader(metrics.registry)
    for number in range(200):
        for status in (200, 201, 204, 304, 404, 409, 500, 503):
            metrics.observe("GET", f"/route-{number}", status, 0.01)
    found = reader.read(dict.fromkeys(GAUGES, 1.0))
    by_status = {key.dimensions: figure for key, figure in found.items() if key.name == REQUESTS}
    assert by_status == {
        (): Totals.of(1_600),
        (("status", "2xx"),): Totals.of(600),
        (("status", "3xx"),): Totals.of(200),
        (("status", "4xx"),): Totals.of(400),
        (("status", "5xx"),): Totals.of(400),
    }
    assert found[Key("storekeeper_http_faults_total")] == Totals.of(400)
    assert len(found) < 25


def test_all_that_metrics_tells_is_sent_under_its_own_name() -> None:
    metrics = Metrics()
    reader = Reader(metrics.registry)
    metrics.observe("GET", "/orders", 503, 0.3)
    metrics.batch(4)
    metrics.dropped(1)
    for outcome in OUTCOMES:
        metrics.order(outcome)
    sent = {key.name for key in reader.read(dict.fromkeys(GAUGES, 1.0))}
    shown = {
        re.sub("_(bucket|sum|count)$", "", re.split("[{ ]", line)[0])
        for line in metrics.text(dict.fromkeys(GAUGES, 1.0)).decode().splitlines()
        if not line.startswith("#") and "_created" not in line
    }
    assert sent == shown
    assert set(DIMENSIONS) <= {name.removesuffix("_total") for name in sent}
    assert set(GAUGES) >= SHOP_WIDE
    assert {name: unit_of(name) for name in sent if unit_of(name) != "Count"} == {
        SECONDS: "Seconds",
        "storekeeper_backup_lag_seconds": "Seconds",
        "storekeeper_outbox_lag_seconds": "Seconds",
        "storekeeper_replica_lag_seconds": "Seconds",
    }


def test_a_node_is_told_besides_so_that_alarms_over_all_go_on() -> None:
    metrics = Metrics()
    reader = Reader(metrics.registry, node="eu-1")
    metrics.order("refused")
    found = reader.read({"storekeeper_write_queue_depth": 7.0})
    assert found[Key("storekeeper_write_queue_depth")] == Totals.of(7)
    assert found[Key("storekeeper_write_queue_depth", (("node", "eu-1"),))] == Totals.of(7)
    of_node = (("outcome", "refused"), ("node", "eu-1"))
    assert found[Key("storekeeper_orders_total", of_node)] == Totals.of(1)


@given(st.lists(st.floats(0.0001, 9.9), min_size=1, max_size=200))
def test_a_histogram_keeps_number_and_sum_and_each_percentile_in_its_bucket(
    seconds: list[float],
) -> None:
    metrics = Metrics()
    reader = Reader(metrics.registry)
    for one in seconds:
        metrics.observe("GET", "/products", 200, one)
    spread = reader.read({})[Key(SECONDS)]
    assert isinstance(spread, Spread)
    values = spread.values()
    assert sum(values.values()) == len(seconds)
    total = sum(value * count for value, count in values.items())
    assert math.isclose(total, sum(seconds), rel_tol=1e-6)
    ordered = sorted(seconds)
    told = sorted(value for value, count in values.items() for _ in range(int(count)))
    for share in (0.5, 0.99):
        place = int(share * (len(ordered) - 1))
        bucket = next(bound for bound in spread.bounds if ordered[place] <= bound)
        below = max((bound for bound in spread.bounds if bound < bucket), default=0.0)
        assert below <= told[place] <= bucket * (1 + 1e-9)


def test_what_is_above_all_buckets_gets_what_the_others_leave() -> None:
    spread = Spread(_BOUNDS, (0.0, 0.0, 2.0, 0.0, 1.0), 41.1)
    assert spread.values() == {0.55: 2.0, 40.0: 1.0}
    assert len(Spread(_BOUNDS, (1.0,) * 5, 60.0).values()) == 5


def test_every_alarm_looks_at_something_that_is_sent() -> None:
    """An alarm on a name that nobody sends never rings."""
    metrics = Metrics()
    reader = Reader(metrics.registry)
    metrics.observe("GET", "/orders", 200, 0.1)
    sent = set(reader.read(dict.fromkeys(GAUGES, 0.0)))
    for alarm in alarms("Shop"):
        asked = [one["MetricStat"]["Metric"] for one in alarm.get("Metrics", ())[1:]] or [alarm]
        for metric in asked:
            dimensions = [(one["Name"], one["Value"]) for one in metric.get("Dimensions", ())]
            assert Key(metric["MetricName"], tuple(dimensions)) in sent


def test_the_alarms_are_made_with_what_is_installed() -> None:
    page = Path(__file__).parents[2] / "docs" / "cloudwatch.md"
    (snippet,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    imported = [one for one in ast.walk(ast.parse(snippet)) if isinstance(one, ast.ImportFrom)]
    # boto3 is there for the tests' engines only; `storekeeper[aws]` doesn't bring it.
    assert "boto3" not in snippet
    assert imported
    for one in imported:
        module = importlib.import_module(str(one.module))
        assert all(hasattr(module, name.name) for name in one.names)
