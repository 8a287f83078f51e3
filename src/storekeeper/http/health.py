"""`/healthz`, `/readyz`, `/metrics`: for load balancers, supervisors and Prometheus."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from litestar import Controller, Request, get
from litestar.openapi.datastructures import ResponseSpec
from msgspec import UNSET, UnsetType

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
    """What this process needs to serve, each `ok` or what is wrong with it. `cache`, where one is
    shared, can be `degraded`: requests are served without it, slower. `server` is there once the
    process has been told to end: what comes is served still, and should go elsewhere."""

    status: Literal["ready", "not ready"]
    store: str
    relay: str
    cache: str | UnsetType = UNSET
    server: Literal["ending"] | UnsetType = UNSET


async def readiness_of(shop: Any, *, is_ending: bool = False) -> Readiness:
    """How this process is, within `PATIENCE_S`."""
    store = "ok"
    try:
        async with asyncio.timeout(PATIENCE_S):
            await shop.store.check_writable()
    except ShopError as error:
        store = error.detail
    except TimeoutError:
        store = f"no write got through in {PATIENCE_S} s"
    relay = "ok" if shop.background.is_alive() else "not running"
    return Readiness(
        status="ready" if store == relay == "ok" and not is_ending else "not ready",
        store=store,
        relay=relay,
        cache=_cache_of(shop.cache_trouble()),
        server="ending" if is_ending else UNSET,
    )


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
        """200 when the store takes writes, the relay of events is alive and the process stays,
        otherwise 503."""
        state = request.app.state
        found = await readiness_of(state.shop, is_ending=state.get("is_ending", False))
        return Answer(found, status_code=200 if found.status == "ready" else 503)

    @get(
        "/metrics",
        access=PUBLIC,
        summary="Figures for Prometheus",
        media_type="text/plain",
        responses=problems_of(),
    )
    async def metrics(self, request: ApiRequest) -> Answer[bytes]:
        """Requests, latency, orders, commit batches, queue depth, replica and outbox lag, failing
        and dead deliveries, low stock, looks into the cache."""
        shop = request.app.state.shop
        gauges = {**shop.gauges.of_process(), **await shop.gauges.of_shop()}
        return Answer(shop.metrics.text(gauges), media_type=CONTENT_TYPE)


def _cache_of(trouble: str | None) -> str | UnsetType:
    if trouble is None:
        return UNSET
    return f"degraded: {trouble}" if trouble else "ok"
