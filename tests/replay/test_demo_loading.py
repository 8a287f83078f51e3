"""The first look at a demo shop: it is alive, its figures are right, and loading doubles nothing."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from storekeeper.app import open_shop
from storekeeper.cli.shops import opened
from storekeeper.config import Settings
from storekeeper.demo import open_sample
from storekeeper.demo.loader import demo_script, is_loaded, load_demo, whole_days
from storekeeper.domain.accounts import Account
from storekeeper.domain.errors import InUse
from storekeeper.domain.orders import Order
from storekeeper.replay.figures import figures_of
from storekeeper.replay.source import rows_from
from storekeeper.services.base import BY_SYSTEM
from storekeeper.store.port import OrderQuery, ProductQuery
from tests.support.builders import details


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(database=str(tmp_path / "shop.db"))


def opener(settings: Settings):
    return lambda clock: opened(settings, clock)


def sample_figures():
    with open_sample() as sample:
        return figures_of(list(rows_from(sample)), {}).total


async def test_the_demo_is_a_living_shop(settings):
    started = time.perf_counter()
    loaded = await load_demo(opener(settings), customer_email="customer@example.com")
    assert time.perf_counter() - started < 20
    expected = sample_figures()
    now = datetime.now(UTC)
    async with open_shop(settings) as shop:
        summary = await shop.store.summary()
        newest = (await shop.store.orders(OrderQuery(limit=15))).items
        listed = (await shop.store.products(ProductQuery(limit=200))).items
        customers = (await shop.store.find(Account, "status", "active", limit=1_000)).items
        customer = [one for one in customers if one.email == "customer@example.com"]
        own = await shop.store.orders(OrderQuery(customer_id=customer[0].id))
        assert await shop.store.verify() == []
    assert sum(summary.orders.values()) == loaded.orders == expected.sale_orders
    assert summary.orders["pending"] == 2
    assert summary.orders["confirmed"] == 10
    assert summary.sold_orders == expected.sale_orders - 2
    assert [order.state for order in newest[:12]] == ["pending"] * 2 + ["confirmed"] * 10
    assert all(order.expires_at and order.expires_at > now for order in newest[:2])
    # The sample's last row is moved into the past day; its last orders took some days.
    assert now - newest[2].placed_at < timedelta(days=6)
    assert all(order.placed_at <= now for order in newest)
    stock = Counter(
        "out" if one.stock.available == 0 else "low" if one.stock.is_low else "enough"
        for one in listed
        if one.product.track_stock
    )
    assert stock["enough"] > stock["low"] > 0
    assert stock["out"] > 0
    assert len({one.product.category for one in listed}) > 8
    assert not any(one.product.name.isupper() for one in listed)
    assert own.items, "the demo's customer has a history"


async def test_loading_again_changes_nothing(settings):
    first = await load_demo(opener(settings))
    again = await load_demo(opener(settings))
    assert (first.is_new, again.is_new) == (True, False)
    async with open_shop(settings) as shop:
        assert sum((await shop.store.summary()).orders.values()) == first.orders


async def test_a_load_that_was_broken_off_is_finished_by_the_next(settings):
    class Interrupted(Exception):
        pass

    def interrupt(stage: str, done: int, total: int, unit: str = "") -> None:
        if stage == "Playing" and done > total // 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        await load_demo(opener(settings), watch=interrupt)
    async with open_shop(settings) as shop:
        assert not await is_loaded(shop.store)
    loaded = await load_demo(opener(settings))
    async with open_shop(settings) as shop:
        placed = [order async for batch in shop.store.scan(Order) for order in batch]
        assert len(placed) == loaded.orders
        assert await shop.store.verify() == []


async def test_a_shop_with_products_of_its_own_is_left_alone(settings):
    async with opened(settings) as shop:
        await shop.catalog.create(BY_SYSTEM, details("MUG"))
    with pytest.raises(InUse):
        await load_demo(opener(settings))
    async with open_shop(settings) as shop:
        assert (await shop.store.summary()).products == 1


def test_times_move_by_whole_days_so_that_the_shop_was_busy_yesterday_and_hours_stay():
    last = datetime(2011, 8, 31, 16, 15, tzinfo=UTC)
    now = datetime(2030, 1, 1, 9, 0, tzinfo=UTC)
    shift = whole_days(last, now)
    assert (last + shift).time() == last.time()
    assert timedelta(0) <= now - (last + shift) < timedelta(days=1)


def test_nothing_in_the_demo_lies_in_the_future():
    now = datetime(2030, 1, 1, 9, 0, tzinfo=UTC)
    assert all(happening.at <= now for happening in demo_script(now).played())
