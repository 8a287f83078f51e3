"""What a shop's requests ask of DynamoDB: no Scan, or every page would cost the whole shop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from storekeeper.app import build_shop, create_tables
from storekeeper.app.serving import make_asgi
from storekeeper.services.base import BY_SYSTEM
from tests.api.shopfront import PASSWORD, settings_at
from tests.contract.engines import prefix_of
from tests.support import local_engines
from tests.support.clock import Clock
from tests.support.faulty_dynamodb import FaultyDynamo
from tests.support.ids import Ids
from tests.support.nodes import REGION

CHEAP = {"PutItem", "Query", "GetItem", "DeleteItem", "DescribeTable"}
ADMIN = "root@example.com"


class Visitor:
    """Asks the shop as an admin, and believes no answer of failure."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._headers: dict[str, str] = {}

    async def ask(self, method: str, path: str, **more) -> httpx.Response:
        answer = await self._http.request(method, path, headers=self._headers, **more)
        assert answer.is_success, f"{method} {path}: {answer.text}"
        return answer

    async def log_in(self) -> None:
        told = await self.ask("POST", "/auth/login", json={"email": ADMIN, "password": PASSWORD})
        self._headers = {"Authorization": f"Bearer {told.json()['access_token']}"}


@asynccontextmanager
async def visited(folder: Path, proxy: FaultyDynamo) -> AsyncIterator[Visitor]:
    """A shop whose calls go through the proxy, from after its tables were made."""
    settings = settings_at(
        folder,
        store="dynamodb",
        dynamodb_prefix=prefix_of(folder),
        aws_region=REGION,
        aws_endpoint_url=proxy.url,
        secret_key="k" * 48,
    )
    await asyncio.to_thread(create_tables, settings)
    proxy.calls.clear()
    shop = await asyncio.to_thread(build_shop, settings, clock=Clock(), new_id=Ids(1))
    app = make_asgi(shop)
    transport = httpx.ASGITransport(app=app, client=("192.0.2.7", 5_000))  # type: ignore[arg-type]
    async with (
        app.lifespan(),
        httpx.AsyncClient(transport=transport, base_url="http://shop.example") as http,
    ):
        await shop.accounts.create(
            BY_SYSTEM, email=ADMIN, name="Root", role="admin", password=PASSWORD
        )
        yield Visitor(http)


async def test_no_request_scans_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local_engines.use_local_credentials(monkeypatch)
    with FaultyDynamo() as proxy:
        async with visited(tmp_path, proxy) as visitor:
            await visitor.log_in()
            await keep_shop(visitor.ask)
        assert proxy.calls["PutItem"] > 5
        assert set(proxy.calls) <= CHEAP, proxy.calls


async def keep_shop(ask: Callable[..., Awaitable[httpx.Response]]) -> None:
    """A little of everything that people do."""
    product = await ask(
        "POST",
        "/products",
        json={
            "sku": "MUG",
            "name": "The mug",
            "price": {"amount": 999, "currency": "GBP"},
            "low_stock_threshold": 1,
        },
    )
    id = product.json()["id"]
    await ask("POST", "/stock/receive", json={"product_id": id, "quantity": 5})
    lines = {"lines": [{"sku": "MUG", "quantity": 1}]}
    order = (await ask("POST", "/orders", json=lines)).json()
    await ask("POST", f"/orders/{order['id']}/confirm")
    await ask("POST", f"/orders/{order['id']}/shipments", json={})
    for path in (
        "/products?q=mug&sort=price&in_stock=true",
        f"/products/{id}",
        "/categories",
        f"/orders/{order['id']}",
        "/orders?sku=MUG",
        "/stock/low",
        "/stock/movements?sku=MUG",
        "/locations",
        "/users/me",
        "/deliveries?state=failing",
        "/webhooks",
        "/readyz",
    ):
        await ask("GET", path)
    figures = (await ask("GET", "/metrics")).text
    assert "storekeeper_replica_lag_seconds" in figures
