"""Integrators manage their endpoints over the API; nobody without the scope sees anything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from litestar import Litestar

from storekeeper.domain.accounts import Principal
from storekeeper.domain.errors import Unauthenticated
from storekeeper.http.app import make_app
from storekeeper.http.webhooks import DeliveriesController, WebhooksController
from storekeeper.notify.relay import Relay
from storekeeper.notify.retry import Retry
from storekeeper.notify.webhook import Endpoints, Sender
from storekeeper.services.deliveries import Deliveries
from storekeeper.services.webhooks import Webhooks
from tests.notify.receiver import Receiver, a_receiver
from tests.notify.sinks import happens, settle
from tests.support.builders import STAFF, a_customer
from tests.support.shop import Shop


class Callers:
    """Knows two callers by their tokens."""

    def remembered(self, authorization: str) -> Principal | None:
        return {"Bearer admin": STAFF, "Bearer customer": a_customer()}.get(authorization)

    async def principal_of(self, authorization: str) -> Principal:
        raise Unauthenticated("nobody")


class Nothing:
    """Counts and limits nothing."""

    def take(self, who: str) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


class Api:
    def __init__(self, shop: Shop, sender: Sender, private_allowed: bool) -> None:
        self.tools = shop.tools
        self.checkout = shop.checkout
        self.authenticator = Callers()
        self.limiter = self.metrics = Nothing()
        self.log_request = None
        self.deliveries = Deliveries(shop.tools)
        self.webhooks = Webhooks(
            shop.tools, self.deliveries, ping=sender.send, private_allowed=private_allowed
        )
        self.relay = Relay(
            store=shop.store,
            clock=shop.clock,
            channels=[],
            endpoints=Endpoints(shop.store, sender),
            retry=Retry(attempts=1),
        )

    def client_of(self, scope: Any) -> str:
        return "127.0.0.1"


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def a_client(
    shop: Shop, *, private_allowed: bool = True
) -> AsyncIterator[tuple[httpx.AsyncClient, Api]]:
    sender = Sender(clock=shop.clock, private_allowed=private_allowed, timeout=5.0)
    api = Api(shop, sender, private_allowed)
    app = make_app(
        api,
        [WebhooksController, DeliveriesController],
        lifespan=lifespan,
        max_body_bytes=100_000,
    )
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(
        transport=transport,
        base_url="http://shop",
        headers={"Authorization": "Bearer admin"},
    ) as client:
        yield client, api
    await sender.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with a_receiver() as receiver:
        yield receiver


async def test_an_endpoint_s_life_over_the_api(shop: Shop, receiver: Receiver) -> None:
    async with a_client(shop) as (client, _):
        made = await client.post("/webhooks", json={"url": receiver.url(), "description": "ERP"})
        assert made.status_code == 201, made.text
        body = made.json()
        assert body["secret"].startswith("whsec_")
        assert made.headers["cache-control"] == "no-store"
        path = made.headers["location"]
        read = await client.get(path)
        assert read.json()["secret"] is None
        assert body["secret"] not in (await client.get("/webhooks")).text

        ping = await client.post(f"{path}/test")
        assert ping.json() == {"delivered": True, "status_code": 204, "error": ""}

        changed = await client.patch(
            path, json={"kinds": ["order.placed"]}, headers={"If-Match": read.headers["etag"]}
        )
        assert (changed.status_code, changed.json()["kinds"]) == (200, ["order.placed"])
        assert changed.json()["description"] == "ERP"
        stale = await client.patch(
            path, json={"active": False}, headers={"If-Match": read.headers["etag"]}
        )
        assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")

        rotated = await client.post(f"{path}/rotate-secret")
        assert rotated.json()["secret"] != body["secret"]
        assert rotated.json()["secrets"] == 2
        dropped = await client.post(f"{path}/drop-old-secrets")
        assert (dropped.json()["secrets"], dropped.json()["secret"]) == (1, None)

        assert (await client.delete(path)).status_code == 204
        assert (await client.get(path)).status_code == 404


async def test_a_retry_with_the_same_key_makes_one_endpoint(shop: Shop, receiver: Receiver) -> None:
    async with a_client(shop) as (client, _):
        headers = {"Idempotency-Key": "once"}
        first, again = [
            await client.post("/webhooks", json={"url": receiver.url()}, headers=headers)
            for _ in range(2)
        ]
        assert again.json() == first.json()
        assert again.headers["idempotent-replayed"] == "true"
        assert len((await client.get("/webhooks")).json()["items"]) == 1
        other = await client.post("/webhooks", json={"url": receiver.url("/b")}, headers=headers)
        assert other.json()["code"] == "idempotency_key_reused"
        path = f"/webhooks/{first.json()['id']}/rotate-secret"
        one, two = [await client.post(path, headers={"Idempotency-Key": "turn"}) for _ in range(2)]
        assert one.json()["secret"] == two.json()["secret"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"url": "https://10.0.0.1/"}, "url"),
        ({"url": "http://example.com/"}, "url"),
        ({"url": "https://example.com/", "kinds": ["account.registered"]}, "kinds[0]"),
        ({"url": "https://example.com/", "kinds": ["order.placed", "nonsense"]}, "kinds[1]"),
        ({"url": 5}, "url"),
        ({"url": "https://example.com/", "secret": "mine"}, None),
        ({}, None),
    ],
)
async def test_what_can_not_be_an_endpoint_is_refused(
    shop: Shop, body: dict[str, Any], field: str | None
) -> None:
    async with a_client(shop, private_allowed=False) as (client, _):
        answer = await client.post("/webhooks", json=body)
        assert answer.status_code == 422, answer.text
        if field is not None:
            assert answer.json()["field"] == field


async def test_there_is_a_limit_to_endpoints(shop: Shop, receiver: Receiver) -> None:
    async with a_client(shop) as (client, _):
        for _ in range(100):
            made = await client.post("/webhooks", json={"url": receiver.url()})
            assert made.status_code == 201
        answer = await client.post("/webhooks", json={"url": receiver.url()})
        assert (answer.status_code, answer.json()["code"]) == (409, "limit_reached")


async def test_dead_deliveries_are_found_filtered_paged_and_replayed(
    shop: Shop, receiver: Receiver
) -> None:
    receiver.answer = lambda hook: (500, {}, b"broken")
    async with a_client(shop) as (client, api):
        endpoint = (await client.post("/webhooks", json={"url": receiver.url()})).json()["id"]
        told = await happens(shop, "order:1", "order:2", "order:3")
        await settle(api.relay)
        page = await client.get("/deliveries", params={"state": "dead", "limit": 2})
        assert len(page.json()["items"]) == 2
        rest = await client.get(page.headers["link"].split(">")[0].lstrip("<"))
        assert len(rest.json()["items"]) == 1
        found = (
            await client.get(f"/webhooks/{endpoint}/deliveries", params={"state": "dead"})
        ).json()["items"]
        assert [one["event_id"] for one in found] == [event.id for event in reversed(told)]
        assert (found[0]["status_code"], found[0]["attempts"]) == (500, 1)
        none = await client.get(f"/webhooks/{endpoint}/deliveries", params={"state": "delivered"})
        assert none.json()["items"] == []

        receiver.answer = lambda hook: (200, {}, b"")
        one = await client.post(f"/deliveries/{quote(found[0]['id'], safe='')}/replay")
        assert (one.status_code, one.json()["state"]) == (200, "failing")
        all_dead = await client.post(
            "/deliveries/replay-dead", json={"sink": f"webhook:{endpoint}"}
        )
        assert all_dead.json() == {"replayed": 2}
        await settle(api.relay)
        done = await client.get("/deliveries", params={"sink": f"webhook:{endpoint}"})
        assert {item["state"] for item in done.json()["items"]} == {"delivered"}
        assert (await client.post("/deliveries/replay-dead")).json() == {"replayed": 0}
        assert (await client.post("/deliveries/nothing/replay")).status_code == 404
