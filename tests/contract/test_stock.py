"""Stock: backorder, several locations, low-stock alerts and orders of a thousand lines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import accumulate, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storekeeper.domain import events
from storekeeper.domain.changes import ChangeSet, LevelIs, LevelMoved, Short
from storekeeper.domain.ordering import cancel, confirm
from storekeeper.domain.orders import Order
from storekeeper.domain.stock import MAIN, is_low
from storekeeper.store.port import MovementQuery, Store
from tests.support.builders import (
    a_movement,
    a_product,
    a_step,
    an_order,
    changing,
    creating,
    moving,
    revised,
)
from tests.support.shop import Engine, Shop, outcomes, shop_at


async def low_events(store: Store) -> list[int]:
    """The available units that each low-stock alert told of."""
    return [
        stored.event.data["available"]
        for stored in await store.events_after(0, 10_000)
        if stored.event.kind == events.STOCK_LOW
    ]


async def test_reserving_confirming_and_cancelling_move_the_units(shop: Shop) -> None:
    mug = await shop.sell("MUG", stock=10)
    order, placing = an_order((mug, 4))
    await shop.store.commit(placing)
    level = await shop.level(mug)
    assert (level.on_hand, level.reserved, level.available) == (10, 4, 6)
    confirmed, change = confirm(order, a_step())
    await shop.store.commit(change)
    level = await shop.level(mug)
    assert (level.on_hand, level.reserved, level.available) == (6, 0, 6)
    _, change = cancel(confirmed, a_step())
    await shop.store.commit(change)
    level = await shop.level(mug)
    assert (level.on_hand, level.reserved, level.available) == (10, 0, 10)
    assert await shop.store.verify() == []


async def test_the_same_product_on_several_lines_is_one_claim(shop: Shop) -> None:
    mug = await shop.sell("MUG", stock=5)
    await shop.store.commit(an_order((mug, 2), (mug, 3))[1])
    with pytest.raises(Short):
        await shop.store.commit(an_order((mug, 1))[1])


async def test_what_is_reserved_for_one_is_not_taken_off_hand_for_another(shop: Shop) -> None:
    """A count or a breakage may not silently break the promise to a customer."""
    mug = await shop.sell("MUG", stock=5)
    await shop.store.commit(an_order((mug, 4))[1])
    with pytest.raises(Short) as caught:
        await shop.store.commit(moving(mug, -2))
    assert [(short.requested, short.available) for short in caught.value.lines] == [(2, 1)]
    await shop.store.commit(moving(mug, -1))


async def test_a_product_without_stock_never_runs_out(shop: Shop) -> None:
    voucher = await shop.sell("VOUCHER", track_stock=False)
    await shop.store.commit(an_order((voucher, 10_000))[1])
    assert await shop.store.levels([voucher.id]) == []


async def test_backorder_sells_what_is_not_there_yet(shop: Shop) -> None:
    mug = await shop.sell("MUG", stock=1, allow_backorder=True)
    await shop.store.commit(an_order((mug, 3))[1])
    await shop.store.commit(an_order((mug, 2), confirm=True)[1])
    level = await shop.level(mug)
    assert (level.on_hand, level.reserved, level.available) == (-1, 3, -4)
    assert await shop.store.verify() == []


async def test_backorder_ends_only_when_what_was_promised_is_there(shop: Shop) -> None:
    mug = await shop.sell("MUG", stock=1, allow_backorder=True)
    await shop.store.commit(an_order((mug, 3))[1])
    strict = revised(mug, allow_backorder=False)
    with pytest.raises(Short) as caught:
        await shop.store.commit(changing(strict))
    assert [(s.product_id, s.location_id, s.requested) for s in caught.value.lines] == [
        (mug.id, MAIN, 2)
    ]
    assert (await shop.store.listed([mug.id]))[mug.id].stock.allow_backorder
    await shop.store.commit(moving(mug, 2))
    await shop.store.commit(changing(strict))
    with pytest.raises(Short):
        await shop.store.commit(an_order((strict, 1))[1])
    assert await shop.store.verify() == []


async def test_backorder_can_end_in_the_change_set_that_brings_the_units(shop: Shop) -> None:
    mug = await shop.sell("MUG", allow_backorder=True)
    await shop.store.commit(an_order((mug, 3))[1])
    strict = revised(mug, allow_backorder=False)
    with pytest.raises(Short):
        await shop.store.commit(changing(strict) + moving(mug, 2))
    await shop.store.commit(changing(strict) + moving(mug, 3))
    assert (await shop.level(mug)).available == 0


async def test_backorder_counts_from_the_change_set_that_allows_it(shop: Shop) -> None:
    mug = await shop.sell("MUG")
    loose = revised(mug, allow_backorder=True)
    told = await outcomes(
        shop.store, [an_order((mug, 1))[1], changing(loose), an_order((loose, 1))[1]]
    )
    assert [answer is None for answer in told] == [False, True, True]


async def test_one_location_running_out_leaves_the_others_alone(shop: Shop) -> None:
    mug = await shop.sell("MUG", stock=2)
    await shop.store.commit(moving(mug, 5, location="attic"))
    _, split = an_order((mug, 6), at={1: {MAIN: 2, "attic": 4}})
    await shop.store.commit(split)
    assert (await shop.level(mug)).available == 0
    assert (await shop.level(mug, "attic")).available == 1
    total = (await shop.store.listed([mug.id]))[mug.id].stock
    assert (total.on_hand, total.reserved, total.available) == (7, 6, 1)
    with pytest.raises(Short) as caught:
        await shop.store.commit(an_order((mug, 2), at={1: {MAIN: 1, "attic": 1}})[1])
    assert [short.location_id for short in caught.value.lines] == [MAIN]
    assert await shop.store.verify() == []


async def test_a_transfer_is_two_movements_or_none(shop: Shop) -> None:
    mug = await shop.sell("MUG", stock=5)
    out_and_in = moving(mug, -3) + moving(mug, 3, location="attic")
    await shop.store.commit(out_and_in)
    with pytest.raises(Short):
        await shop.store.commit(moving(mug, -3) + moving(mug, 3, location="attic"))
    assert (await shop.on_hand(mug), await shop.on_hand(mug, "attic")) == (2, 3)
    assert len((await shop.store.movements(MovementQuery(product_id=mug.id))).items) == 3


async def test_of_two_counts_at_once_one_must_look_again(shop: Shop) -> None:
    mug = await shop.sell("MUG", stock=10)
    count = ChangeSet(levels=(LevelIs(mug.id, MAIN, 10),)) + moving(mug, -1)
    again = ChangeSet(levels=(LevelIs(mug.id, MAIN, 10),)) + moving(mug, -4)
    told = await outcomes(shop.store, [count, again])
    assert told[0] is None
    assert isinstance(told[1], LevelMoved)
    assert await shop.on_hand(mug) == 9


async def test_an_order_of_1114_lines_is_all_or_none(shop: Shop) -> None:
    """The largest real order in the data; half of it would be a wrong delivery."""
    products = [a_product(f"P{number:04}") for number in range(1_114)]
    received = tuple(a_movement(product, 2) for product in products)
    await shop.store.commit(creating(*products) + ChangeSet(movements=received))
    order, placing = an_order(*((product, 1) for product in products))
    await shop.store.commit(placing)
    assert await shop.store.get(Order, order.id) == order
    await shop.store.commit(moving(products[777], -1))
    with pytest.raises(Short) as caught:
        await shop.store.commit(an_order(*((product, 1) for product in products))[1])
    assert [short.product_id for short in caught.value.lines] == [products[777].id]
    levels = await shop.store.levels([product.id for product in products])
    assert {level.reserved for level in levels} == {1}
    _, change = confirm(order, a_step())
    await shop.store.commit(change)
    levels = await shop.store.levels([product.id for product in products])
    assert {level.reserved for level in levels} == {0}
    assert await shop.store.verify() == []


async def test_low_stock_is_told_once_per_crossing_and_again_after_a_refill(shop: Shop) -> None:
    mug = await shop.sell("MUG", stock=10, low_stock_threshold=5)
    for units in (4, 1, 1):
        await shop.store.commit(an_order((mug, units))[1])
    assert await low_events(shop.store) == [5]
    assert [item.product.id for item in (await shop.store.low_stock()).items] == [mug.id]
    assert await shop.store.low_count() == 1
    await shop.store.commit(moving(mug, 2))
    assert await shop.store.low_count() == 0
    await shop.store.commit(moving(mug, -1))
    assert await low_events(shop.store) == [5, 5]


async def test_a_dip_within_one_change_set_is_no_crossing(shop: Shop) -> None:
    """A transfer takes units out at one place and brings them in at another."""
    mug = await shop.sell("MUG", stock=6, low_stock_threshold=5)
    await shop.store.commit(moving(mug, -6) + moving(mug, 6, location="attic"))
    assert await low_events(shop.store) == []


async def test_every_crossing_in_one_batch_is_told(shop: Shop) -> None:
    mug = await shop.sell("MUG", stock=6, low_stock_threshold=5)
    await outcomes(shop.store, [moving(mug, units) for units in (-1, 2, -1, -1, -1)])
    assert await low_events(shop.store) == [5, 5]


async def test_a_new_reorder_point_is_no_crossing_but_shows_in_the_list(shop: Shop) -> None:
    mug = await shop.sell("MUG", stock=10)
    await shop.store.commit(changing(revised(mug, low_stock_threshold=20)))
    assert await low_events(shop.store) == []
    assert await shop.store.low_count() == 1
    assert (await shop.store.listed([mug.id]))[mug.id].stock.threshold == 20


async def test_an_archived_product_is_in_no_list_of_what_is_low(shop: Shop) -> None:
    mug = await shop.sell("MUG", low_stock_threshold=5)
    assert await shop.store.low_count() == 1
    await shop.store.commit(changing(revised(mug, status="archived")))
    assert await shop.store.low_count() == 0
    assert (await shop.store.low_stock()).items == ()


@given(
    threshold=st.integers(0, 6),
    moves=st.lists(
        st.tuples(st.integers(-6, 6), st.booleans(), st.booleans()), min_size=1, max_size=30
    ),
)
def test_one_alert_per_downward_crossing_however_changes_are_batched(
    moves: list[tuple[int, bool, bool]],
    threshold: int,
    engine: Engine,
    places: Iterator[Path],
) -> None:
    """Available units over time, some moves together in one batch, some refused: an alert for
    each time that they come from above the reorder point to or below it, and only then."""

    async def run() -> None:
        async with shop_at(engine, next(places)) as shop:
            mug = await shop.sell("MUG", stock=7, low_stock_threshold=threshold)
            batches: list[list[ChangeSet]] = [[]]
            for units, is_elsewhere, ends_batch in moves:
                place = "attic" if is_elsewhere else MAIN
                batches[-1].append(moving(mug, units, location=place))
                if ends_batch:
                    batches.append([])
            for batch in batches:
                for answer in await outcomes(shop.store, batch):
                    assert answer is None or isinstance(answer, Short)
            ledger = await shop.store.movements(MovementQuery(product_id=mug.id, limit=200))
            history = list(accumulate(movement.on_hand for movement in reversed(ledger.items)))
            assert await low_events(shop.store) == [
                after
                for before, after in pairwise(history)
                if is_low(after, threshold) and not is_low(before, threshold)
            ]
            assert await shop.store.low_count() == is_low(history[-1], threshold)
            assert await shop.store.verify() == []

    asyncio.run(run())
