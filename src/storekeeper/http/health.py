"""`/healthz`, `/readyz`, `/metrics`: for load balancers, supervisors and Prometheus."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from litestar import Controller, Request, get
from litestar.openapi.datastructures import ResponseSpec

from storekeeper.domain.errors import ShopError
from storekeeper.domain.types import Struct
from storekeeper.http.answers import Answer
from storekeeper.http.openapi import problems_of
from storekeeper.http.security import PUBLIC
from storekeeper.telemetry.metrics import CONTENT_TYPE

# A supervisor that asks wants an answer before it gives up itself.
PATIENCE_S = 2
ApiRequest = Request[Any, Any, Any]


class Health(Struct, frozen=True, kw_only=True):
    status: Literal["ok"] = "ok"


class Readiness(Struct, frozen=True, kw_only=True):
    """What this process needs to serve, each `ok` or what is wrong with it."""

    status: Literal["ready", "not ready"]
    store: str
    relay: str


class Operation(Controller):
    tags = ["operation"]
    security: list[dict[str, list[str]]] = [{}]

    @get("/healthz", access=PUBLIC, summary="Is the process alive", responses=problems_of())
    async def health(self) -> Answer[Health]:
        """Answers as long as the process does; says nothing of the store."""
        return Answer(Health())

    @get(
        "/readyz",
        access=PUBLIC,
        summary="Can requests be served",
        response_description="Both are well.",
        responses={
            **problems_of(),
            503: ResponseSpec(Readiness, description="One of them isn't; it says which and why."),
        },
    )
    async def ready(self, request: ApiRequest) -> Answer[Readiness]:
        """200 when the store takes writes and the relay of events is alive, otherwise 503."""
        shop = request.app.state.shop
        store = "ok"
        try:
            async with asyncio.timeout(PATIENCE_S):
                await shop.store.check_writable()
        except ShopError as error:
            store = error.detail
        except TimeoutError:
            store = f"no write got through in {PATIENCE_S} s"
        relay = "ok" if shop.background.is_alive() else "not running"
        is_ready = store == relay == "ok"
        return Answer(
            Readiness(status="ready" if is_ready else "not ready", store=store, relay=relay),
            status_code=200 if is_ready else 503,
        )

    @get(
        "/metrics",
        access=PUBLIC,
        summary="Figures for Prometheus",
        media_type="text/plain",
        responses=problems_of(),
    )
    async def metrics(self, request: ApiRequest) -> Answer[bytes]:
        """Requests, latency, orders, commit batches, queue depth, outbox lag, failing and dead
        deliveries, low stock, and what the store's engine adds."""
        shop = request.app.state.shop
        lag = await shop.relay.lag()
        gauges = {
            "storekeeper_write_queue_depth": float(shop.store.queue_depth()),
            "storekeeper_outbox_lag_events": float(lag.events),
            "storekeeper_outbox_lag_seconds": float(lag.seconds),
            "storekeeper_deliveries_failing": float(lag.failing),
            "storekeeper_dead_letters": float(lag.dead),
            "storekeeper_low_stock_products": float(await shop.store.low_count()),
            **await shop.store.gauges(),
        }
        return Answer(shop.metrics.text(gauges), media_type=CONTENT_TYPE)
