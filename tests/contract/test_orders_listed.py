"""Finding orders and ledger lines: every filter alone and together, newest first."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from storekeeper.domain import ordering
from storekeeper.domain.changes import ChangeSet
from storekeeper.domain.orders import Order
from storekeeper.domain.stock import MAIN, Movement
from storekeeper.store.port import MovementQuery, OrderQuery, Store
from tests.contract.paging import all_items
from tests.support.builders import (
    a_movement,
    a_step,
    an_order,
    changing,
    creating,
    deleting,
    moving,
    revised,
)
from tests.support.clock import START
from tests.support.shop import Engine, Shop, shop_at

CUSTOMERS = (None, "ada", "bob")
SKUS = ("MUG", "TEA")
hours = st.integers(0, 4).map(lambda count: START + timedelta(hours=count))
maybe_hours = st.one_of(st.none(), hours)
ledger_lines = st.lists(
    st.tuples(
        st.sampled_from(SKUS),
        st.sampled_from((MAIN, "attic")),
        st.sampled_from(("received", "counted", "imported")),
        st.sampled_from(("", "import:1", "import:2")),
        hours,
    ),
    max_size=15,
)
placings = st.lists(
    st.tuples(
        st.sampled_from(CUSTOMERS),
        st.lists(st.sampled_from(SKUS), min_size=1, max_size=3),
        st.sampled_from(("pending", "confirmed", "cancelled")),
        hours,
    ),
    max_size=12,
)
order_queries = st.builds(
    OrderQuery,
    customer_id=st.sampled_from(CUSTOMERS),
    state=st.sampled_from((None, "pending", "confirmed", "cancelled", "shipped")),
    sku=st.sampled_from((None, "mug", "tea", "none")),
    placed_from=maybe_hours,
    placed_before=maybe_hours,
    limit=st.integers(1, 4),
)
movement_queries = st.builds(
    MovementQuery,
    product_id=st.sampled_from((None, "product-MUG", "product-TEA", "none")),
    sku=st.sampled_from((None, None, "mug", "tea", "none")),
    location_id=st.sampled_from((None, MAIN, "attic")),
    reason=st.sampled_from((None, "received", "counted")),
    reference=st.sampled_from((None, "import:1", "import:3")),
    at_from=maybe_hours,
    at_before=maybe_hours,
    limit=st.integers(1, 4),
)


def within(at: datetime, start: datetime | None, end: datetime | None) -> bool:
    return (start is None or at >= start) and (end is None or at < end)


@given(placed=placings, asked=st.lists(order_queries, min_size=1, max_size=5))
def test_every_filter_of_orders_gives_what_a_look_by_hand_gives(
    engine: Engine, places: Iterator[Path], placed: list[Any], asked: list[OrderQuery]
) -> None:
    def belongs(order: Order, query: OrderQuery) -> bool:
        return (
            query.customer_id in (None, order.customer_id)
            and query.state in (None, order.state)
            and (query.sku is None or query.sku in {line.sku.casefold() for line in order.lines})
            and within(order.placed_at, query.placed_from, query.placed_before)
        )

    async def run() -> None:
        async with shop_at(engine, next(places)) as shop:
            products = {sku: await shop.sell(sku, stock=100) for sku in SKUS}
            orders = []
            for customer, skus, state, at in placed:
                order, change = an_order(
                    *((products[sku], 1) for sku in skus),
                    step=a_step(at),
                    customer_id=customer,
                    confirm=state == "confirmed",
                )
                await shop.store.commit(change)
                if state == "cancelled":
                    order, change = ordering.cancel(order, a_step(at))
                    await shop.store.commit(change)
                orders.append(order)
            orders.reverse()
            orders.sort(key=lambda order: order.placed_at, reverse=True)
            for query in asked:
                assert await orders_of(shop.store, query) == [
                    order for order in orders if belongs(order, query)
                ]

    asyncio.run(run())


async def orders_of(store: Store, query: OrderQuery) -> list[Order]:
    fields = {name: getattr(query, name) for name in OrderQuery.__struct_fields__}
    return await all_items(
        lambda limit, at: store.orders(OrderQuery(**{**fields, "limit": limit, "cursor": at})),
        query.limit,
    )


@given(lines=ledger_lines, asked=st.lists(movement_queries, min_size=1, max_size=5))
def test_every_filter_of_the_ledger_gives_what_a_look_by_hand_gives(
    engine: Engine, places: Iterator[Path], lines: list[Any], asked: list[MovementQuery]
) -> None:
    def belongs(movement: Movement, query: MovementQuery) -> bool:
        return (
            query.product_id in (None, movement.product_id)
            and (query.sku is None or movement.product_id == f"product-{query.sku.upper()}")
            and query.location_id in (None, movement.location_id)
            and query.reason in (None, movement.reason)
            and query.reference in (None, movement.reference)
            and within(movement.at, query.at_from, query.at_before)
        )

    async def run() -> None:
        async with shop_at(engine, next(places)) as shop:
            for sku in SKUS:
                await shop.sell(sku)
            movements = [
                a_movement(f"product-{sku}", 1, location=place, reason=why, reference=ref, at=at)
                for sku, place, why, ref, at in lines
            ]
            for movement in movements:
                await shop.store.commit(ChangeSet(movements=(movement,)))
            movements.reverse()
            for query in asked:
                assert await movements_of(shop.store, query) == [
                    movement for movement in movements if belongs(movement, query)
                ]

    asyncio.run(run())


async def movements_of(store: Store, query: MovementQuery) -> list[Movement]:
    fields = {name: getattr(query, name) for name in MovementQuery.__struct_fields__}
    return await all_items(
        lambda limit, at: store.movements(
            MovementQuery(**{**fields, "limit": limit, "cursor": at})
        ),
        query.limit,
    )


async def test_an_order_is_found_by_its_number(shop: Shop) -> None:
    mug = await shop.sell("MUG", stock=5)
    order, change = an_order((mug, 1), number="ABCDE-12345")
    await shop.store.commit(change)
    await shop.store.commit(an_order((mug, 1))[1])
    assert (await shop.store.orders(OrderQuery(number="ABCDE-12345"))).items == (order,)
    assert (await shop.store.orders(OrderQuery(number="XXXXX-12345"))).items == ()


async def test_orders_of_a_state_are_counted_up_to_a_bound(shop: Shop) -> None:
    mug = await shop.sell("MUG", stock=5)
    made = [an_order((mug, 1)) for _ in range(4)]
    for _, change in made:
        await shop.store.commit(change)
    await shop.store.commit(ordering.confirm(made[-1][0], a_step())[1])
    counted = {
        state: await shop.store.order_count(state, at_most=2)
        for state in ("pending", "confirmed", "shipped")
    }
    assert counted == {"pending": 2, "confirmed": 1, "shipped": 0}


async def test_an_order_with_a_product_twice_is_found_once(shop: Shop) -> None:
    mug = await shop.sell("MUG", stock=5)
    order, change = an_order((mug, 1), (mug, 2))
    await shop.store.commit(change)
    assert (await shop.store.orders(OrderQuery(sku="mug"))).items == (order,)


async def test_the_ledger_follows_its_product_to_a_new_sku(shop: Shop) -> None:
    mug = await shop.sell("MUG", stock=5)
    await shop.sell("TEA", stock=2)
    renamed = revised(mug, sku="CUP")
    await shop.store.commit(
        changing(renamed)
        + ChangeSet(releases=deleting(mug).releases, claims=creating(renamed).claims)
    )
    (line,) = (await shop.store.movements(MovementQuery(sku="cup"))).items
    assert (line.product_id, line.on_hand) == (mug.id, 5)
    assert (await shop.store.movements(MovementQuery(sku="mug"))).items == ()


async def test_orders_follow_their_product_to_a_new_sku(shop: Shop) -> None:
    """Staff look for what the product is called now; the order keeps what it was called then."""
    mug = await shop.sell("MUG", stock=5)
    order, change = an_order((mug, 1))
    await shop.store.commit(change)
    renamed = revised(mug, sku="CUP")
    await shop.store.commit(
        changing(renamed)
        + ChangeSet(releases=deleting(mug).releases, claims=creating(renamed).claims)
    )
    assert (await shop.store.orders(OrderQuery(sku="cup"))).items == (order,)
    assert (await shop.store.orders(OrderQuery(sku="mug"))).items == ()
    assert order.lines[0].sku == "MUG"


async def test_a_changed_order_stays_in_its_place_and_moves_between_states(shop: Shop) -> None:
    mug = await shop.sell("MUG", stock=5)
    order, change = an_order((mug, 1), step=a_step(START))
    await shop.store.commit(change)
    await shop.store.commit(an_order((mug, 1), step=a_step(START + timedelta(hours=1)))[1])
    confirmed, change = ordering.confirm(order, a_step(START + timedelta(minutes=5)))
    await shop.store.commit(change)
    assert (await shop.store.orders(OrderQuery())).items[-1] == confirmed
    assert (await shop.store.orders(OrderQuery(state="confirmed"))).items == (confirmed,)
    assert len((await shop.store.orders(OrderQuery(state="pending"))).items) == 1


async def test_expired_orders_come_oldest_first_and_only_when_due(shop: Shop) -> None:
    mug = await shop.sell("MUG", stock=50)
    due = {}
    for minutes in (30, 10, 20, 40):
        order, change = an_order((mug, 1), expires_at=START + timedelta(minutes=minutes))
        await shop.store.commit(change)
        due[minutes] = order
    await shop.store.commit(an_order((mug, 1), confirm=True)[1])

    async def expired(minutes: int, limit: int = 10) -> list[Order]:
        return await shop.store.expired_orders(START + timedelta(minutes=minutes), limit)

    assert await expired(9) == []
    assert await expired(35) == [due[10], due[20], due[30]]
    assert await expired(35, limit=2) == [due[10], due[20]]
    await shop.store.commit(ordering.confirm(due[10], a_step(START))[1])
    await shop.store.commit(ordering.cancel(due[20], a_step(START))[1])
    assert await expired(60) == [due[30], due[40]]


async def test_times_come_back_to_the_microsecond(shop: Shop) -> None:
    at = START + timedelta(microseconds=123_457)
    mug = await shop.sell("MUG", now=at)
    await shop.store.commit(moving(mug, 1) + ChangeSet(movements=(a_movement(mug, 1, at=at),)))
    assert (await shop.store.movements(MovementQuery(limit=1))).items[0].at == at
