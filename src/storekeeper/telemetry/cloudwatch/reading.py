"""From this process's Prometheus figures to what happened since the last look.

The names are those of `telemetry.metrics`, found in its registry, so that a new figure there is
sent from here without a word. Of its labels only those in `DIMENSIONS` become dimensions: each
combination of values is a metric of its own on AWS's bill, and routes would make hundreds.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from storekeeper.telemetry.cloudwatch.figures import Figures, Key, Spread, Totals, add

# By family: the sets of labels under which its figures are added up; others have no dimension.
DIMENSIONS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "storekeeper_http_requests": ((), ("status",)),
    "storekeeper_orders": (("outcome",),),
}
# Told even when nothing happened: that no order is placed is what an alarm looks for.
ALWAYS = frozenset({Key("storekeeper_orders_total", (("outcome", "placed"),))})
_PLAIN: tuple[tuple[str, ...], ...] = ((),)


class Reader:
    """What one process did between two looks. `node`: sent under this name too, if any.

    In a process of several it sees the process's own figures only, so that all together count
    everything once.
    """

    def __init__(self, registry: CollectorRegistry, node: str = "") -> None:
        self._registry = registry
        self._node = node
        self._before: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self.read({})

    def read(self, gauges: Mapping[str, float]) -> Figures:
        """What happened since the last look, and `gauges` as they are.

        A figure without dimensions is told even when nothing happened, so that an alarm on it has
        something to look at; one with them only when something did, or where it is in `ALWAYS`.
        """
        found: Figures = {}
        for family in self._registry.collect():
            if family.type == "counter":
                self._count(family, found)
            elif family.type == "histogram":
                self._spread(family, found)
            else:
                raise TypeError(f"{family.name} is a {family.type}, which nothing sends")
        for name, value in gauges.items():
            add(found, Key(name), Totals.of(value))
        if self._node:
            of_node = ("node", self._node)
            found |= {
                key._replace(dimensions=(*key.dimensions, of_node)): figure
                for key, figure in found.items()
            }
        return found

    def _count(self, family: Metric, found: Figures) -> None:
        always = [key for key in ALWAYS if key.name == f"{family.name}_total"]
        sums: dict[Key, float] = defaultdict(float, dict.fromkeys(always, 0.0))
        for sample in family.samples:
            if sample.name.endswith("_total"):
                grown = self._grown(sample.name, sample.labels, sample.value)
                for labels in DIMENSIONS.get(family.name, _PLAIN):
                    sums[_key(sample.name, sample.labels, labels)] += grown
        for key, total in sums.items():
            if total or not key.dimensions or key in ALWAYS:
                add(found, key, Totals.of(total))

    def _spread(self, family: Metric, found: Figures) -> None:
        totals: dict[Key, float] = defaultdict(float)
        up_to: dict[Key, dict[float, float]] = defaultdict(lambda: defaultdict(float))
        for sample in family.samples:
            if not sample.name.endswith(("_bucket", "_sum")):
                continue
            grown = self._grown(sample.name, sample.labels, sample.value)
            for labels in DIMENSIONS.get(family.name, _PLAIN):
                key = _key(family.name, sample.labels, labels)
                if "le" in sample.labels:
                    up_to[key][float(sample.labels["le"])] += grown
                else:
                    totals[key] += grown
        for key, cumulative in up_to.items():
            bounds = sorted(cumulative)
            reached = [cumulative[bound] for bound in bounds]
            counts = [now - last for now, last in zip(reached, [0.0, *reached], strict=False)]
            if any(counts):
                finite = tuple(bound for bound in bounds if math.isfinite(bound))
                add(found, key, Spread(finite, tuple(counts), totals[key]))

    def _grown(self, name: str, labels: Mapping[str, str], value: float) -> float:
        at = (name, tuple(labels.items()))
        grown = value - self._before.get(at, 0.0)
        self._before[at] = value
        return grown


def unit_of(name: str) -> str:
    """CloudWatch's unit, from the name: Prometheus's end in theirs."""
    base = name.removesuffix("_total")
    if base.endswith("_seconds"):
        return "Seconds"
    return "Bytes" if base.endswith("_bytes") else "Count"


def _key(name: str, labels: Mapping[str, str], wanted: tuple[str, ...]) -> Key:
    return Key(name, tuple((label, _value(label, labels[label])) for label in wanted))


def _value(label: str, value: str) -> str:
    """Statuses by class (`5xx`), so that there are five of them at most."""
    return f"{value[:1]}xx" if label == "status" else value
