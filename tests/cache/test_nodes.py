"""Two nodes over one shop and one cache: what one does, the other must not contradict."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from storekeeper.app import Shop, build_shop, create_tables
from storekeeper.app.serving import make_asgi
from storekeeper.config import Settings
from storekeeper.domain.accounts import Role
from storekeeper.services.base import BY_SYSTEM
from storekeeper.services.catalog import ProductInput
from storekeeper.services.inventory import ReceiveRequest
from tests.cache.server import eventually, url_of
from tests.support import local_engines
from tests.support.builders import pounds
from tests.support.clock import Clock
from tests.support.ids import Ids
from tools.engines.launch import CREDENTIALS, Running

PASSWORD = "correct horse battery"


@dataclass
class Node:
    """One process of the shop and a client of its API."""

    shop: Shop
    http: httpx.AsyncClient

    async def price(self, id: str) -> int:
        answer = await self.http.get(f"/products/{id}")
        assert answer.status_code == 200, answer.text
        return int(answer.json()["price"]["amount"])

    async def log_in(self, name: str, password: str = PASSWORD) -> httpx.Response:
        body = {"email": f"{name}@example.com", "password": password}
        return await self.http.post("/auth/login", json=body)

    async def bearer(self, name: str) -> dict[str, str]:
        answer = await self.log_in(name)
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    async def me(self, bearer: dict[str, str]) -> httpx.Response:
        return await self.http.get("/users/me", headers=bearer)


@asynccontextmanager
async def a_node(
    kind: str, place: Path, number: int, clock: Clock, **settings: Any
) -> AsyncIterator[Node]:
    if kind == "dynamodb":
        os.environ.update(CREDENTIALS)
        folder = place / f"node-{number}"
        settings |= {
            "store": "dynamodb",
            "aws_region": "eu-west-1",
            "aws_endpoint_url": local_engines.url("dynamodb"),
            "dynamodb_prefix": f"c{abs(hash(str(place))):x}-",
        }
    else:
        folder = place
    settings = {"requests_per_minute": 60_000, **settings}
    made = Settings(
        database=str(folder / "shop.db"),
        secret_key="the same on every node " * 2,
        notify_console=False,
        **settings,
    )
    folder.mkdir(parents=True, exist_ok=True)
    create_tables(made)
    shop = build_shop(made, clock=clock, new_id=Ids(number))
    app = make_asgi(shop)
    transport = httpx.ASGITransport(app=app, client=("192.0.2.7", 5_000))  # type: ignore[arg-type]
    async with (
        app.lifespan(),
        httpx.AsyncClient(transport=transport, base_url="http://shop.example") as http,
    ):
        yield Node(shop, http)


@asynccontextmanager
async def two_nodes(
    kind: str, place: Path, server: Running, **settings: Any
) -> AsyncIterator[tuple[Node, Node]]:
    clock = Clock()
    async with AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(
                a_node(kind, place, number, clock, cache_url=url_of(server), **settings)
            )
            for number in (1, 2)
        ]
        assert first.shop.store.identity == second.shop.store.identity
        yield first, second


async def a_mug(node: Node, price: int = 999) -> str:
    details = ProductInput(sku="MUG", name="The mug", price=pounds(price))
    listed = await node.shop.catalog.create(BY_SYSTEM, details)
    id = listed.product.id
    await node.shop.inventory.receive(BY_SYSTEM, ReceiveRequest(product_id=id, quantity=50))
    return id


async def person(node: Node, name: str, role: Role) -> str:
    account = await node.shop.accounts.create(
        BY_SYSTEM, email=f"{name}@example.com", name=name, role=role, password=PASSWORD
    )
    return account.id


def far(node: Node, what: str) -> float:
    found = node.shop.metrics.registry.get_sample_value(
        "storekeeper_cache_reads_total", {"what": what, "outcome": "far"}
    )
    return found or 0.0


both = pytest.mark.parametrize("kind", ["sqlite", "dynamodb"])


@both
async def test_a_new_price_is_shown_and_asked_for_on_both(
    kind: str, tmp_path: Path, server: Running
) -> None:
    async with two_nodes(kind, tmp_path, server) as (first, second):
        mug = await a_mug(first)
        await person(first, "root", "admin")
        await person(first, "ada", "customer")
        root, ada = await first.bearer("root"), await first.bearer("ada")
        await second.shop.store.catch_up()
        assert [await first.price(mug), await second.price(mug)] == [999, 999]
        edited = await first.http.patch(
            f"/products/{mug}", json={"price": {"amount": 1_500}}, headers=root
        )
        assert edited.status_code == 200, edited.text
        assert await first.price(mug) == 1_500
        # Before the second node has looked, its page may be old; what it takes for an order isn't.
        placed = await second.http.post(
            "/orders", json={"lines": [{"sku": "MUG", "quantity": 2}]}, headers=ada
        )
        assert placed.status_code == 201, placed.text
        assert placed.json()["total"]["amount"] == 3_000
        assert await second.price(mug) == 1_500
        assert await second.shop.store.verify() == []


@both
async def test_a_page_of_one_node_serves_the_other(
    kind: str, tmp_path: Path, server: Running
) -> None:
    async with two_nodes(kind, tmp_path, server) as (first, second):
        mug = await a_mug(first)
        await second.shop.store.catch_up()
        for path in (f"/products/{mug}", "/products?sku=mug", "/products?q=mug"):
            told = await first.http.get(path)
            await first.shop.product_reads.settle()
            before = far(second, "product") + far(second, "page")
            assert (await second.http.get(path)).json() == told.json()
            assert far(second, "product") + far(second, "page") == before + 1


@both
async def test_whoever_logs_out_on_one_node_is_out_on_both(
    kind: str, tmp_path: Path, server: Running
) -> None:
    """Also where the cache still holds that the session was good."""
    async with two_nodes(kind, tmp_path, server) as (first, second):
        await person(first, "ada", "customer")
        ada, other = await first.bearer("ada"), await first.bearer("ada")
        await second.shop.store.catch_up()
        assert (await first.me(ada)).status_code == 200
        assert first.shop.proofs is not None
        await first.shop.proofs.settle()
        assert (await second.me(ada)).status_code == 200
        assert far(second, "caller") == 1
        left = await first.http.post("/auth/logout", headers=ada)
        assert left.status_code == 204, left.text
        assert (await first.me(ada)).status_code == 401
        await second.shop.store.catch_up()
        assert (await second.me(ada)).status_code == 401
        # A process that begins now finds the old proof in the cache, and doesn't believe it.
        async with a_node(kind, tmp_path, 3, Clock(), cache_url=url_of(server)) as third:
            assert (await third.me(ada)).status_code == 401
            assert (await third.me(other)).status_code == 200


@both
async def test_a_role_is_that_of_now_whatever_the_cache_holds(
    kind: str, tmp_path: Path, server: Running
) -> None:
    async with two_nodes(kind, tmp_path, server) as (first, second):
        sam = await person(first, "sam", "admin")
        await person(first, "root", "admin")
        bearer = await first.bearer("sam")
        await second.shop.store.catch_up()
        for node in (first, second):
            assert (await node.http.get("/users", headers=bearer)).status_code == 200
        await first.shop.accounts.set_role(BY_SYSTEM, sam, "customer")
        assert (await first.http.get("/users", headers=bearer)).status_code == 403
        await second.shop.store.catch_up()
        assert (await second.http.get("/users", headers=bearer)).status_code == 403


async def test_a_log_follower_sees_a_new_price_without_being_asked_to(
    tmp_path: Path, server: Running
) -> None:
    """Within the time in which a node looks at the log by itself."""
    async with two_nodes("dynamodb", tmp_path, server) as (first, second):
        mug = await a_mug(first)
        await person(first, "root", "admin")
        root = await first.bearer("root")
        await second.shop.store.catch_up()
        assert await second.price(mug) == 999
        body = {"price": {"amount": 1_500}}
        await first.http.patch(f"/products/{mug}", json=body, headers=root)
        moment = first.shop.store.moment() or 0
        await eventually(lambda: (second.shop.store.moment() or 0) >= moment)
        assert await second.price(mug) == 1_500


async def test_one_budget_is_shared(tmp_path: Path, server: Running) -> None:
    async with two_nodes("sqlite", tmp_path, server, requests_per_minute=6) as (first, second):
        began = time.monotonic()
        answers = [
            (await node.http.get("/categories")).status_code for node in (first, second) * 12
        ]
        refilled = (time.monotonic() - began) * 6 / 60
        assert 6 <= answers.count(200) <= 6 + refilled + 1
        assert answers.count(429) == 24 - answers.count(200)


@both
async def test_guessing_is_slowed_down_on_both(kind: str, tmp_path: Path, server: Running) -> None:
    """And a cache that forgets lets nobody guess: the failures are in the store."""
    async with two_nodes(kind, tmp_path, server) as (first, second):
        await person(first, "ada", "customer")
        while (answer := await first.log_in("ada", "wrong password")).status_code == 401:
            pass
        assert answer.status_code == 429
        for node in (second, first):
            assert (await node.log_in("ada", "wrong password")).status_code == 429
        server.process.kill()
        server.process.wait()
        for node in (second, first):
            assert (await node.log_in("ada")).status_code == 429
        second.shop.tools.clock.advance(hours=1)  # type: ignore[attr-defined]
        assert (await second.log_in("ada")).status_code == 200
