"""What stands at the moment, for `/metrics` and whoever else watches the shop."""

from __future__ import annotations

from collections.abc import Callable

from storekeeper.notify.relay import Relay
from storekeeper.store.port import Store


class Gauges:
    """Read when somebody asks; the names are those of `telemetry.metrics.GAUGES`."""

    def __init__(self, store: Store, relay: Relay, cache_trouble: Callable[[], str | None]) -> None:
        self._store = store
        self._relay = relay
        self._cache_trouble = cache_trouble

    def of_process(self) -> dict[str, float]:
        """What each process has of its own."""
        found = {
            "storekeeper_write_queue_depth": float(self._store.queue_depth()),
            "storekeeper_replica_lag_seconds": self._store.lag(),
        }
        trouble = self._cache_trouble()
        if trouble is not None:
            found["storekeeper_cache_away"] = float(bool(trouble))
        return found

    async def of_shop(self) -> dict[str, float]:
        """What every process would answer alike (`SHOP_WIDE`). Raises what the store raises."""
        lag = await self._relay.lag()
        return {
            "storekeeper_outbox_lag_events": float(lag.events),
            "storekeeper_outbox_lag_seconds": float(lag.seconds),
            "storekeeper_deliveries_failing": float(lag.failing),
            "storekeeper_dead_letters": float(lag.dead),
            "storekeeper_low_stock_products": float(await self._store.low_count()),
            **await self._store.gauges(),
        }
