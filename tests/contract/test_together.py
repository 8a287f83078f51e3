"""Change sets that arrive together are decided in their order, and none suffers from another."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import ChangeSet, Delete, Put, Referenced, Short, Stale
from storekeeper.domain.errors import NotFound
from storekeeper.domain.orders import Order
from storekeeper.domain.work import Setting
from tests.support.builders import (
    a_product,
    an_order,
    changing,
    creating,
    deleting,
    moving,
    revised,
)
from tests.support.shop import Engine, Shop, outcomes, shop_at


async def test_a_refusal_in_the_middle_hurts_no_neighbour(shop: Shop) -> None:
    mug = await shop.sell("MUG", stock=10)
    asked = [an_order((mug, 1))[1] for _ in range(9)]
    asked.insert(4, an_order((mug, 11))[1])
    asked.insert(7, ChangeSet(puts=(Put(Setting(id="x", version=5, value="")),)))
    told = await outcomes(shop.store, asked)
    assert [type(answer) for answer in told if answer] == [Short, Stale]
    assert told[4] is not None
    assert told[7] is not None
    assert (await shop.level(mug)).reserved == 9
    assert await shop.store.verify() == []


async def test_a_fault_in_one_change_set_hurts_no_neighbour(shop: Shop) -> None:
    """An order whose change set forgot to check its product is a fault of ours; others go on."""
    mug = await shop.sell("MUG", stock=10)
    other = a_product("GHOST")
    faulty = ChangeSet(puts=an_order((other, 1))[1].puts)
    told = await outcomes(shop.store, [an_order((mug, 1))[1], faulty, an_order((mug, 1))[1]])
    assert told[0] is None
    assert isinstance(told[1], Exception)
    assert told[2] is None
    assert (await shop.level(mug)).reserved == 2
    assert await shop.store.verify() == []


async def test_two_orders_of_one_number_are_told_apart(shop: Shop) -> None:
    """Numbers are for people on the phone: the second draw of one is refused, not its batch."""
    mug = await shop.sell("MUG", stock=10)
    told = await outcomes(
        shop.store,
        [an_order((mug, 1), number=number)[1] for number in ("A", "B", "A", "C")],
    )
    assert [answer is None for answer in told] == [True, True, False, True]
    assert (await shop.level(mug)).reserved == 3


@pytest.mark.parametrize("confirm", [False, True], ids=["reserving", "confirming"])
async def test_a_flash_sale_sells_exactly_what_there_is_to_who_came_first(
    shop: Shop, confirm: bool
) -> None:
    mug = await shop.sell("MUG", stock=1_000)
    told = await outcomes(
        shop.store, [an_order((mug, 1), confirm=confirm)[1] for _ in range(3_000)]
    )
    assert all(answer is None for answer in told[:1_000])
    assert all(isinstance(answer, Short) for answer in told[1_000:])
    level = await shop.level(mug)
    assert (level.on_hand, level.reserved) == ((0, 0) if confirm else (1_000, 1_000))
    assert await shop.store.verify() == []


async def test_a_small_order_gets_what_a_large_one_before_it_could_not(shop: Shop) -> None:
    mug = await shop.sell("MUG", stock=5)
    told = await outcomes(shop.store, [an_order((mug, units))[1] for units in (3, 4, 2, 1)])
    assert [answer is None for answer in told] == [True, False, True, False]


async def test_units_that_come_in_serve_the_orders_behind_them(shop: Shop) -> None:
    mug = await shop.sell("MUG")
    told = await outcomes(
        shop.store, [an_order((mug, 1))[1], moving(mug, 1), an_order((mug, 1))[1]]
    )
    assert [answer is None for answer in told] == [False, True, True]


async def test_what_one_makes_the_next_can_use(shop: Shop) -> None:
    mug = a_product("MUG")
    order, placing = an_order((mug, 2))
    told = await outcomes(shop.store, [creating(mug), moving(mug, 2), placing])
    assert told == [None, None, None]
    assert await shop.store.get(Order, order.id) == order
    assert await shop.store.verify() == []


async def test_of_two_changes_of_one_record_the_first_wins(shop: Shop) -> None:
    mug = await shop.sell("MUG")
    first, second = revised(mug, price=1), revised(mug, price=2)
    told = await outcomes(shop.store, [changing(first), changing(second)])
    assert told[0] is None
    assert isinstance(told[1], Stale)
    assert await shop.store.get(Product, mug.id) == first


async def test_a_product_is_not_deleted_under_an_order_that_came_just_before(shop: Shop) -> None:
    """The order leaves no unit behind that would keep the product; the order itself has to."""
    voucher = await shop.sell("VOUCHER", track_stock=False)
    order, placing = an_order((voucher, 1), confirm=True)
    told = await outcomes(shop.store, [placing, deleting(voucher)])
    assert told[0] is None
    assert isinstance(told[1], Referenced)
    assert await shop.store.get(Product, voucher.id) == voucher
    assert await shop.store.get(Order, order.id) == order


async def test_an_order_just_after_the_deletion_is_refused(shop: Shop) -> None:
    voucher = await shop.sell("VOUCHER", track_stock=False)
    told = await outcomes(shop.store, [deleting(voucher), an_order((voucher, 1))[1]])
    assert told[0] is None
    assert isinstance(told[1], Stale)


async def test_stock_just_after_the_deletion_is_refused(shop: Shop) -> None:
    """Otherwise units would lie on hand that no list shows."""
    mug = await shop.sell("MUG")
    told = await outcomes(
        shop.store, [moving(mug, 2), moving(mug, -2), deleting(mug), moving(mug, 5)]
    )
    assert told[:3] == [None, None, None]
    assert isinstance(told[3], NotFound)
    assert await shop.store.verify() == []


async def test_a_product_deleted_and_made_again_is_there(shop: Shop) -> None:
    mug = await shop.sell("MUG")
    again = a_product("MUG", name="Another mug")
    told = await outcomes(shop.store, [deleting(mug), creating(again), moving(again, 4)])
    assert told == [None, None, None]
    assert await shop.store.products_by_sku(["mug"]) == {"mug": again}
    assert await shop.on_hand(again) == 4
    assert await shop.store.verify() == []


async def test_a_product_made_and_deleted_at_once_is_not_there(shop: Shop) -> None:
    mug = a_product("MUG")
    told = await outcomes(shop.store, [creating(mug), deleting(mug)])
    assert told == [None, None]
    assert await shop.store.get(Product, mug.id) is None
    assert await shop.store.claim("sku", "mug") is None


async def test_records_written_and_removed_at_once_end_as_the_last_one_says(shop: Shop) -> None:
    def put(version: int, value: str) -> ChangeSet:
        return ChangeSet(puts=(Put(Setting(id="theme", version=version, value=value)),))

    gone = ChangeSet(deletes=(Delete("Setting", "theme", 2),))
    told = await outcomes(shop.store, [put(1, "a"), put(2, "b"), gone, put(1, "c")])
    assert told == [None] * 4
    assert await shop.store.get(Setting, "theme") == Setting(id="theme", version=1, value="c")


async def test_many_writers_and_readers_at_once_lose_nothing(shop: Shop) -> None:
    """Readers see levels of some moment, never more sold than there was."""
    products = [await shop.sell(f"P{number}", stock=50) for number in range(5)]

    async def read() -> None:
        for _ in range(40):
            for level in await shop.store.levels([product.id for product in products]):
                assert 0 <= level.reserved <= level.on_hand

    async def write(number: int) -> int:
        done = 0
        for turn in range(12):
            pair = ((products[(number + turn) % 5], 1), (products[(number * turn) % 5], 1))
            try:
                await shop.store.commit(an_order(*pair)[1])
                done += 2
            except Short:
                continue
        return done

    results = await asyncio.gather(*(write(number) for number in range(30)), read(), read())
    sold = sum(units for units in results if units)
    levels = await shop.store.levels([product.id for product in products])
    assert sum(level.reserved for level in levels) == sold
    assert await shop.store.verify() == []


async def test_what_another_process_did_is_seen_at_once(engine: Engine, tmp_path: Path) -> None:
    """A store that remembers stock between its commits must not sell what others have sold."""
    async with shop_at(engine, tmp_path) as here, shop_at(engine, tmp_path) as there:
        mug = await here.sell("MUG", stock=10)
        for shop, units in ((here, 3), (there, 4), (here, 2)):
            await shop.store.commit(an_order((mug, units))[1])
        with pytest.raises(Short) as short:
            await there.store.commit(an_order((mug, 2))[1])
        assert [line.available for line in short.value.lines] == [1]
        dearer = revised(mug, description="new")
        await there.store.commit(changing(dearer))
        with pytest.raises(Stale):
            await here.store.commit(an_order((mug, 1))[1])
        await here.store.commit(an_order((dearer, 1))[1])
        assert (await there.level(mug)).reserved == 10
        assert await here.store.verify() == []


async def test_a_commit_that_failed_is_not_remembered(shop: Shop) -> None:
    """What a batch would have left counts only when the batch was kept."""
    mug = await shop.sell("MUG", stock=5)
    ghost = a_product("GHOST")
    faulty = ChangeSet(puts=an_order((ghost, 1))[1].puts)
    for _ in range(3):
        told = await outcomes(shop.store, [an_order((mug, 1))[1], faulty])
        assert [answer is None for answer in told] == [True, False]
    level = await shop.level(mug)
    assert (level.on_hand, level.reserved) == (5, 3)
    assert await shop.store.verify() == []
