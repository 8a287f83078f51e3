"""Counters and histograms for Prometheus, joined over worker processes where there are several."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, multiprocess

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_FAULT = 500
_BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256)
# Asked by machines all day; a store that is away would be counted by each of them.
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
OUTCOMES = ("placed", "confirmed", "refused", "expired", "cancelled")

GAUGES = {
    "storekeeper_write_queue_depth": "Change sets that wait to be committed.",
    "storekeeper_replica_lag_seconds": "Since this node last knew what all nodes had committed.",
    "storekeeper_outbox_lag_events": "Events that a channel has not delivered yet.",
    "storekeeper_outbox_lag_seconds": "Age of the oldest event not delivered yet.",
    "storekeeper_deliveries_failing": "Deliveries to be tried again, at most 100,000 counted.",
    "storekeeper_dead_letters": "Deliveries given up, at most 100,000 counted.",
    "storekeeper_cache_away": "1 while the shared cache isn't asked, or takes no writes.",
    "storekeeper_low_stock_products": "Active products at or below their reorder point.",
    "storekeeper_views_lag_entries": "Entries of the log that other programs don't see yet.",
    "storekeeper_backup_lag_seconds": "Since the newest moment that the backup can restore.",
    "storekeeper_erasure_waiting_accounts": "Deleted accounts that the log may still tell of.",
}
# Those that are the same wherever they are read; the others tell of one process.
SHOP_WIDE = frozenset(
    {
        "storekeeper_outbox_lag_events",
        "storekeeper_outbox_lag_seconds",
        "storekeeper_deliveries_failing",
        "storekeeper_dead_letters",
        "storekeeper_low_stock_products",
        "storekeeper_views_lag_entries",
        "storekeeper_backup_lag_seconds",
        "storekeeper_erasure_waiting_accounts",
    }
)


class Metrics:
    """One process's figures."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "storekeeper_http_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._faults = Counter(
            "storekeeper_http_faults",
            "Requests answered with a status of 500 or more.",
            registry=self.registry,
        )
        self._seconds = Histogram(
            "storekeeper_http_request_seconds",
            "Time to answer.",
            ["method", "route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        orders = Counter(
            "storekeeper_orders",
            "Orders by what became of them.",
            ["outcome"],
            registry=self.registry,
        )
        self._orders = {outcome: orders.labels(outcome) for outcome in OUTCOMES}
        self._batches = Histogram(
            "storekeeper_commit_batch_size",
            "Change sets flushed to disk together.",
            buckets=_BATCH,
            registry=self.registry,
        )
        self._dropped = Counter(
            "storekeeper_cloudwatch_dropped",
            "Figures given up because CloudWatch didn't take them.",
            registry=self.registry,
        )
        self._cache_reads = Counter(
            "storekeeper_cache_reads",
            "Looks into the cache: near (this process), far (shared), miss, stale.",
            ["what", "outcome"],
            registry=self.registry,
        )
        self._cache_errors = Counter(
            "storekeeper_cache_errors",
            "Troubles with the shared cache: unreachable, refused, garbage, too_large.",
            ["trouble"],
            registry=self.registry,
        )
        self._children: dict[tuple[str, str, int], tuple[Any, Any]] = {}
        # Of this process since it began, without those of probes.
        self.answered = 0
        self.faulted = 0

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts a request. `route` is the pattern, so that labels stay few."""
        key = (method, route, status)
        children = self._children.get(key)
        if children is None:
            known = method if method in _METHODS else "other"
            children = self._children[key] = (
                self._requests.labels(known, route, str(status)),
                self._seconds.labels(known, route),
            )
        children[0].inc()
        children[1].observe(seconds)
        if route not in PROBES:
            self.answered += 1
            self.faulted += status >= _FAULT
        if status >= _FAULT:
            self._faults.inc()

    def order(self, outcome: str) -> None:
        self._orders[outcome].inc()

    def batch(self, size: int) -> None:
        self._batches.observe(size)

    def dropped(self, figures: int) -> None:
        """Counts figures that CloudWatch will never see."""
        self._dropped.inc(figures)

    def cache_read(self, what: str, outcome: str) -> None:
        self._cache_reads.labels(what, outcome).inc()

    def cache_error(self, trouble: str) -> None:
        self._cache_errors.labels(trouble).inc()

    def text(self, gauges: Mapping[str, float]) -> bytes:
        """The exposition format over all worker processes, with `gauges` as they are now."""
        registry = self.registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry) + b"".join(
            _family(name, GAUGES[name], value) for name, value in gauges.items()
        )


def _family(name: str, text: str, value: float) -> bytes:
    return f"# HELP {name} {text}\n# TYPE {name} gauge\n{name} {value:g}\n".encode()


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
