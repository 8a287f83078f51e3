"""What was answered stays, too much is refused clearly, and closing finishes what waits."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.errors import Overloaded, StoreUnavailable
from storekeeper.domain.orders import Order
from storekeeper.domain.work import Setting
from storekeeper.store.port import MovementQuery, OrderQuery, ProductQuery
from tests.support.builders import an_event, an_order, moving
from tests.support.shop import Engine, Shop, outcomes, shop_at


def a_note(number: int) -> ChangeSet:
    return ChangeSet(puts=(Put(Setting(id=f"note-{number}", version=1, value="x")),))


async def test_everything_is_there_after_a_restart(engine: Engine, tmp_path: Path) -> None:
    async with shop_at(engine, tmp_path) as shop:
        mug = await shop.sell("MUG", stock=5, tags=("new",), low_stock_threshold=4)
        order, change = an_order((mug, 2))
        await shop.store.commit(change + ChangeSet(events=(an_event(),)))
        before = await picture(shop, mug, order)
    async with shop_at(engine, tmp_path) as shop:
        assert await picture(shop, mug, order) == before
        assert await shop.store.verify() == []
        await shop.store.commit(moving(mug, 1))


async def picture(shop: Shop, mug: Product, order: Order) -> object:
    store = shop.store
    return (
        await store.get(Product, mug.id),
        await store.get(Order, order.id),
        await store.levels([mug.id]),
        (await store.products(ProductQuery(words="mug", tag="new"))).items,
        (await store.orders(OrderQuery(sku="mug"))).items,
        (await store.movements(MovementQuery())).items,
        await store.claims("sku", ["mug"]),
        await store.events_after(0, 100),
        await store.low_count(),
        await store.summary(),
    )


async def test_too_much_at_once_is_refused_and_the_rest_is_done(
    engine: Engine, tmp_path: Path
) -> None:
    """A queue without a bound turns a busy minute into an outage."""
    async with shop_at(engine, tmp_path, capacity=50, batch=8) as shop:
        told = await outcomes(shop.store, [a_note(number) for number in range(200)])
        refused = [answer for answer in told if isinstance(answer, Overloaded)]
        assert len(refused) == 150
        assert all(answer.members["retry_after"] >= 1 for answer in refused)
        kept = await shop.store.list_all(Setting, limit=1_000)
        assert len(kept.items) == 50
        await shop.store.commit(a_note(999))
        assert shop.store.queue_depth() == 0


async def test_closing_finishes_what_waits(engine: Engine, tmp_path: Path) -> None:
    async with shop_at(engine, tmp_path, batch=4) as shop:
        waiting = [asyncio.create_task(shop.store.commit(a_note(number))) for number in range(100)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*waiting) == [None] * 100
    async with shop_at(engine, tmp_path) as shop:
        assert len((await shop.store.list_all(Setting, limit=1_000)).items) == 100


async def test_a_commit_after_closing_is_refused(engine: Engine, tmp_path: Path) -> None:
    async with shop_at(engine, tmp_path) as shop:
        store = shop.store
    with pytest.raises(StoreUnavailable):
        await store.commit(a_note(1))
    with pytest.raises(StoreUnavailable):
        await store.get(Setting, "note-1")


async def test_commits_that_race_with_closing_are_done_or_refused_never_left_hanging(
    engine: Engine, tmp_path: Path
) -> None:
    done: list[int] = []

    async def keep_on(shop: Shop, start: int) -> None:
        for number in range(start, start + 10_000):
            try:
                await shop.store.commit(a_note(number))
            except StoreUnavailable:
                return
            done.append(number)

    async with asyncio.timeout(20):
        async with shop_at(engine, tmp_path, batch=4) as shop:
            tasks = [
                asyncio.create_task(keep_on(shop, start)) for start in range(0, 200_000, 10_000)
            ]
            await asyncio.sleep(0.05)
        await asyncio.gather(*tasks)
    async with shop_at(engine, tmp_path) as shop:
        kept = await shop.store.get_many(Setting, [f"note-{number}" for number in done])
        assert len(kept) == len(done)


async def test_a_caller_who_gives_up_does_no_harm(engine: Engine, tmp_path: Path) -> None:
    async with shop_at(engine, tmp_path) as shop:
        tasks = [asyncio.create_task(shop.store.commit(a_note(number))) for number in range(20)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert answers[1::2] == [None] * 10
        await shop.store.commit(a_note(99))


async def test_a_writable_shop_says_so(engine: Engine, tmp_path: Path) -> None:
    async with shop_at(engine, tmp_path) as shop:
        await shop.store.check_writable()
        before = await shop.store.last_event_seq()
        await shop.store.check_writable()
        assert await shop.store.last_event_seq() == before
