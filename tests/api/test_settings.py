"""What a shop's owners set while it is open holds for the next order, on every process."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.shopfront import Front, Seed, front_at


@pytest.fixture
def seed(seed_of_each_store: Seed) -> Seed:
    return seed_of_each_store


async def read(front: Front) -> httpx.Response:
    answer = await front.http.get("/settings", headers=front.who("root"))
    assert answer.status_code == 200
    return answer


async def change(front: Front, values: dict[str, Any], etag: str | None = None) -> httpx.Response:
    headers = front.who("root") | ({"If-Match": etag} if etag else {})
    return await front.http.put("/settings", json=values, headers=headers)


async def reserved(front: Front) -> timedelta:
    """For how long a new order holds its stock."""
    order = await front.placed("ada", ("MUG", 1))
    until = datetime.fromisoformat(order["expires_at"])
    return until - datetime.fromisoformat(order["placed_at"])


async def test_a_setting_holds_for_the_next_order_and_goes_back(front: Front):
    usual = await reserved(front)
    assert (await change(front, {"reservation_minutes": 7})).status_code == 200
    assert await reserved(front) == timedelta(minutes=7)
    assert (await change(front, {"shop_name": "Ada's"})).status_code == 200
    assert await reserved(front) == usual
    home = await front.http.get("/shop")
    assert "Ada&#39;s" in home.text


async def test_another_process_hears_of_it(front: Front, tmp_path: Path, seed: Seed):
    async with front_at(tmp_path, seed, node=3) as other:
        usual = await reserved(other)
        await change(front, {"reservation_minutes": 7})
        async with asyncio.timeout(30):
            while await reserved(other) == usual:
                await asyncio.sleep(0.05)
        assert await reserved(other) == timedelta(minutes=7)


async def test_who_comes_second_overwrites_nothing(front: Front):
    seen = (await read(front)).headers["etag"]
    assert (await change(front, {"shop_name": "One"}, seen)).status_code == 200
    second = await change(front, {"shop_name": "Two"}, seen)
    assert (second.status_code, second.json()["code"]) == (412, "precondition_failed")
    assert (await read(front)).json()["values"]["shop_name"] == "One"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"reservation_minutes": 0}, "reservation_minutes"),
        ({"reservation_minutes": "7"}, "reservation_minutes"),
        ({"contact_email": "nobody"}, "contact_email"),
        # A mail that can't name it would never be sent, and none would go out any more.
        ({"contact_email": "käthe@example.com"}, "contact_email"),
        ({"contact_email": "help..desk@example.com"}, "contact_email"),
        ({"contact_email": "a(b)@example.com"}, "contact_email"),
        ({"shop_name": ""}, "shop_name"),
        ({"currency": "EUR"}, "currency"),
    ],
)
async def test_nonsense_changes_nothing(front: Front, values: dict[str, Any], field: str):
    before = (await read(front)).json()
    answer = await change(front, values)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert (await read(front)).json() == before


async def test_a_change_is_in_the_audit_log_with_what_it_was_before(front: Front):
    await change(front, {"shop_name": "One"})
    await change(front, {"shop_name": "One"})
    await change(front, {"shop_name": "Two"})
    log = await front.http.get(
        "/audit", params={"subject": "settings:shop"}, headers=front.who("root")
    )
    told = [one["fields"] for one in log.json()["items"]]
    assert [[(one["before"], one["after"]) for one in fields] for fields in told] == [
        [("One", "Two")],
        [("Storekeeper", "One")],
    ]
