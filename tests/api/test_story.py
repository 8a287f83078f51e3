"""The ways that people go through the whole shop, on either store, with all its work switched on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from storekeeper.domain import events
from tests.api.shopfront import PASSWORD, Front, Seed, front_at
from tests.notify.receiver import a_receiver

ADA = {"email": "grace@example.com", "name": "Grace", "password": PASSWORD}
PATIENCE_S = 30.0
GOODS = "sku,name,price,category,tags\nKETTLE,The kettle,29.00,Kitchen,new\nMUG,A mug,10.49,Home,\n"


@pytest.fixture
def seed(seed_of_each_store: Seed) -> Seed:
    return seed_of_each_store


async def until(answer: Callable[[], Awaitable[Any]]) -> Any:
    """What `answer` answers once it is true; fails when it never is."""
    async with asyncio.timeout(PATIENCE_S):
        while not (found := await answer()):
            await asyncio.sleep(0.02)
    return found


async def send(front: Front, path: str, body: Any = None, **headers: str) -> Any:
    """A request that has to be answered well; its answer."""
    answer = await front.http.post(path, json={} if body is None else body, headers=headers)
    assert answer.status_code < 300, answer.text
    return answer.json() if answer.content else None


async def enter(front: Front, email: str, password: str) -> dict[str, str]:
    tokens = await send(front, "/auth/login", {"email": email, "password": password})
    return {"Authorization": f"Bearer {tokens['access_token']}"}


async def test_a_customer_registers_orders_gets_the_goods_and_sends_some_back(front: Front) -> None:
    staff = front.who("sam")
    await send(front, "/users", ADA)
    grace = await enter(front, ADA["email"], PASSWORD)
    lines = [{"sku": "MUG", "quantity": 3}, {"sku": "LAMP", "quantity": 2}]
    order = await send(front, "/orders", {"lines": lines}, **grace)
    at = f"/orders/{order['id']}"
    assert (order["state"], await front.available("LAMP")) == ("pending", 8)
    assert (await send(front, f"{at}/confirm", **grace))["state"] == "confirmed"
    assert (await send(front, f"{at}/shipments", **staff))["state"] == "shipped"
    assert (await send(front, f"{at}/deliveries", **staff))["state"] == "delivered"
    back = {"lines": [{"line_id": 2, "quantity": 1}]}
    assert (await send(front, f"{at}/returns", back, **staff))["state"] == "partially_returned"

    other = await send(front, "/orders", {"lines": lines, "confirm": True}, **grace)
    dropped = await send(front, f"/orders/{other['id']}/cancel", {"reason": "too many"}, **grace)
    assert dropped["state"] == "cancelled"
    assert (await front.available("MUG"), await front.available("LAMP")) == (97, 9)
    mine = (await front.http.get("/orders", headers=grace)).json()["items"]
    assert [one["id"] for one in mine] == [other["id"], order["id"]]
    assert await front.shop.store.verify() == []


async def test_a_reservation_that_nobody_confirms_comes_back_by_itself(
    tmp_path: Path, seed: Seed
) -> None:
    async with front_at(tmp_path, seed, sweep_seconds=1) as front:
        await front.placed("ada", ("LAMP", 10))
        assert await front.available("LAMP") == 0
        front.clock.advance(minutes=16)

        async def is_back() -> bool:
            return await front.available("LAMP") == 10

        await until(is_back)


async def test_a_forgotten_password_is_set_anew_and_ends_all_sessions(front: Front) -> None:
    await send(front, "/auth/forgot", {"email": "ada@example.com"})
    told = [one.event for one in await front.shop.store.events_after(0, 100)]
    (link,) = [one.data["link"] for one in told if one.kind == events.PASSWORD_RESET_REQUESTED]
    token = front.shop.credentials.reset_secret(link)
    await send(front, "/auth/reset", {"token": token, "new_password": "another good one"})
    assert (await front.http.get("/users/me", headers=front.who("ada"))).status_code == 401
    again = await enter(front, "ada@example.com", "another good one")
    assert (await front.http.get("/users/me", headers=again)).status_code == 200


async def test_goods_come_in_by_csv_under_an_api_key(front: Front) -> None:
    scopes = ["products:write", "stock:write"]
    made = await send(front, "/api-keys", {"name": "till", "scopes": scopes}, **front.who("root"))
    key = {"Authorization": f"Bearer {made['key']}"}
    answer = await front.http.post(
        "/products/import", content=GOODS, headers=key | {"Content-Type": "text/csv"}
    )
    assert answer.status_code == 202, answer.text

    async def done() -> Any:
        job = (await front.http.get(f"/jobs/{answer.json()['id']}", headers=key)).json()
        return job if job["state"] in ("done", "failed") else None

    job = await until(done)
    assert (job["state"], job["created"], job["updated"]) == ("done", 1, 1)
    await send(front, "/stock/receive", {"sku": "KETTLE", "quantity": 5}, **key)
    (found,) = (await front.http.get("/products", params={"q": "kettle"})).json()["items"]
    assert (found["sku"], found["price"]["amount"]) == ("KETTLE", 2_900)
    assert (await front.placed("ada", ("KETTLE", 5), confirm=True))["total"]["amount"] == 14_500


async def test_an_integrator_is_told_of_an_order_in_the_order_of_what_happened(
    tmp_path: Path, seed: Seed
) -> None:
    async with (
        a_receiver() as receiver,
        front_at(tmp_path, seed, webhook_private_addresses=True) as front,
    ):
        await send(front, "/webhooks", {"url": receiver.url()}, **front.who("root"))
        order = await front.placed("ada", ("MUG", 1))
        await send(front, f"/orders/{order['id']}/confirm", **front.who("ada"))

        def heard() -> list[str]:
            bodies = [json.loads(hook.body) for hook in receiver.hooks]
            return [one["type"] for one in bodies if one["type"].startswith("order.")]

        async def all_of_it() -> bool:
            return len(heard()) >= 2

        await until(all_of_it)
        assert heard() == ["order.placed", "order.confirmed"]


async def test_what_was_done_is_there_after_a_restart(tmp_path: Path, seed: Seed) -> None:
    """On DynamoDB also without the replica, which a lost machine takes with it."""
    async with front_at(tmp_path, seed) as front:
        order = await front.placed("ada", ("MUG", 2), confirm=True)
    if seed.store == "dynamodb":
        for file in tmp_path.glob("*replica.db*"):
            file.unlink()
    async with front_at(tmp_path, seed, node=3) as front:
        found = await front.http.get(f"/orders/{order['id']}", headers=front.who("ada"))
        assert (found.json(), await front.available("MUG")) == (order, 98)
        assert await front.shop.store.verify() == []
