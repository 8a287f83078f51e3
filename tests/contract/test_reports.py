"""Reports: whoever keeps the books by them relies on every unit and every penny."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.errors import Invalid
from storekeeper.domain.money import Money
from storekeeper.domain.orders import Order
from storekeeper.domain.stock import MAIN
from storekeeper.store.port import (
    OrderQuery,
    SalesQuery,
    SalesRow,
    StockValueQuery,
    StockValueRow,
    Store,
)
from tests.contract.paging import all_items
from tests.support.builders import a_location, a_step, an_order, moving, pounds
from tests.support.shop import Engine, Shop, shop_at

BEGIN = datetime(2026, 2, 26, 22, tzinfo=UTC)  # a Thursday, near the end of a month
SOLD = ("confirmed", "partially_shipped", "shipped", "delivered", "partially_returned", "returned")
EUROS = ("WINE", "BEER")
CATEGORIES = {"MUG": "Cups", "TEA": None, "WINE": "cups", "BEER": "Drinks"}
times = st.one_of(
    st.integers(0, 24 * 45).map(lambda hours: BEGIN + timedelta(hours=hours)),
    st.sampled_from(
        [
            datetime(2026, 3, 1, tzinfo=UTC),
            datetime(2026, 3, 1, tzinfo=UTC) - timedelta(microseconds=1),
            datetime(2026, 3, 2, tzinfo=UTC),
        ]
    ),
)
lines = st.tuples(st.integers(1, 9), st.integers(0, 9), st.integers(0, 9))
sold = st.lists(
    st.tuples(
        st.sampled_from((None, "ada", "bob")),
        st.sampled_from((("MUG", "TEA"), EUROS)),
        st.lists(st.tuples(st.integers(0, 1), lines), min_size=1, max_size=4),
        st.sampled_from((*SOLD, *SOLD, "pending", "cancelled", "expired")),
        times,
    ),
    max_size=10,
)
queries = st.builds(
    SalesQuery,
    by=st.sampled_from(("day", "week", "month", "product", "category", "customer")),
    placed_from=st.one_of(st.none(), times),
    placed_before=st.one_of(st.none(), times),
    limit=st.integers(1, 4),
)


@given(orders=sold, asked=st.lists(queries, min_size=1, max_size=4))
def test_sales_are_what_a_walk_through_the_orders_gives(
    engine: Engine, places: Iterator[Path], orders: list[Any], asked: list[SalesQuery]
) -> None:
    """By every key, in every range, to the unit and the penny, however small the pages."""

    async def run() -> None:
        async with shop_at(engine, next(places)) as shop:
            products = await a_range_of_goods(shop)
            placed = [await an_outcome(shop, products, *one) for one in orders]
            for query in asked:
                assert await sales_of(shop.store, query) == by_hand(placed, query, products)
                if query.by in ("product", "category", "customer"):
                    best = msgspec.structs.replace(query, best_first=True)
                    page = await shop.store.sales(best)
                    assert list(page.items) == best_of(by_hand(placed, query, products), query)
                    assert page.next is None

    asyncio.run(run())


async def a_range_of_goods(shop: Shop) -> dict[str, Product]:
    return {
        sku: await shop.sell(
            sku,
            stock=1_000,
            category=category,
            price=Money(amount=333, currency="EUR") if sku in EUROS else pounds(1_999),
        )
        for sku, category in CATEGORIES.items()
    }


async def an_outcome(
    shop: Shop,
    products: dict[str, Product],
    customer: str | None,
    skus: tuple[str, str],
    wanted: list[Any],
    state: str,
    at: datetime,
) -> Order:
    """An order as it is after a life that left it with these units cancelled and returned."""
    order, change = an_order(
        *((products[skus[which]], quantity) for which, (quantity, _, _) in wanted),
        step=a_step(at),
        customer_id=customer,
    )
    await shop.store.commit(change)
    after = [
        msgspec.structs.replace(
            line, cancelled=min(cancelled, quantity), returned=min(returned, quantity - cancelled)
        )
        if cancelled < quantity
        else line
        for line, (_, (quantity, cancelled, returned)) in zip(order.lines, wanted, strict=True)
    ]
    changed = msgspec.structs.replace(order, version=2, state=state, lines=tuple(after))
    await shop.store.commit(ChangeSet(puts=(Put(changed),)))
    return changed


def by_hand(orders: list[Order], query: SalesQuery, products: dict[str, Product]) -> list[SalesRow]:
    named: dict[str, Product] = {product.id: product for product in products.values()}
    sums: dict[tuple[str, str], list[Any]] = defaultdict(lambda: [set(), 0, 0, 0, 0])
    for order in orders:
        if order.state not in SOLD:
            continue
        if query.placed_from is not None and order.placed_at < query.placed_from:
            continue
        if query.placed_before is not None and order.placed_at >= query.placed_before:
            continue
        for line in order.lines:
            found = sums[key_of(order, named[line.product_id], query.by), order.currency]
            found[0].add(order.id)
            units = line.quantity - line.cancelled
            found[1] += units
            found[2] += units * line.unit_price.amount
            found[3] += line.returned
            found[4] += line.returned * line.unit_price.amount
    return [
        SalesRow(
            key=key,
            sku=named[key].sku if query.by == "product" else None,
            name=name_of(key, query.by, named),
            currency=currency,
            orders=len(orders_of_it),
            units=units,
            revenue=revenue,
            returned_units=returned,
            returned_value=value,
        )
        for (key, currency), (orders_of_it, units, revenue, returned, value) in sorted(sums.items())
    ]


def best_of(rows: list[SalesRow], query: SalesQuery) -> list[SalesRow]:
    """Of each currency as many as asked for, the most revenue first."""
    best = sorted(rows, key=lambda row: (row.currency, -row.revenue, row.key))
    return [
        row
        for currency in ("EUR", "GBP")
        for row in [row for row in best if row.currency == currency][: query.limit]
    ]


def key_of(order: Order, product: Product, by: str) -> str:
    day = order.placed_at.date()
    return {
        "day": day.isoformat(),
        "week": (day - timedelta(days=day.isoweekday() - 1)).isoformat(),
        "month": day.strftime("%Y-%m-01"),
        "product": product.id,
        "category": (product.category or "").casefold(),
        "customer": order.customer_id or "",
    }[by]


def name_of(key: str, by: str, named: dict[str, Product]) -> str | None:
    if by == "product":
        return named[key].name
    # Of the spellings of a category, that of the product whose name comes first.
    return {"cups": "Cups", "drinks": "Drinks"}.get(key) if by == "category" else None


async def sales_of(store: Store, query: SalesQuery) -> list[SalesRow]:
    async def turn(limit: int, at: str | None) -> Any:
        return await store.sales(msgspec.structs.replace(query, limit=limit, cursor=at))

    return await all_items(turn, query.limit)


async def test_sales_by_time_and_the_summary_say_the_same(shop: Shop) -> None:
    products = await a_range_of_goods(shop)
    for number, state in enumerate((*SOLD, "pending", "cancelled")):
        wanted = [(0, (5, 1, 2)), (1, (3, 0, 1))]
        at = BEGIN + timedelta(days=number)
        await an_outcome(shop, products, "ada", ("MUG", "TEA"), wanted, state, at)
    summary = await shop.store.summary()
    rows = (await shop.store.sales(SalesQuery(by="month"))).items
    assert len(rows) == 2, "February and March"
    assert sum(row.orders for row in rows) == summary.sold_orders == len(SOLD)
    assert sum(row.units for row in rows) == summary.sold_units
    assert sum(row.returned_units for row in rows) == summary.returned_units
    assert {"GBP": sum(row.revenue for row in rows)} == summary.revenue
    assert {"GBP": sum(row.returned_value for row in rows)} == summary.returned_value


async def test_an_order_that_is_cancelled_between_two_pages_hides_no_other(shop: Shop) -> None:
    products = await a_range_of_goods(shop)
    one, *_ = [
        await an_outcome(
            shop, products, None, skus, [(0, (1, 0, 0))], "confirmed", BEGIN + timedelta(days=days)
        )
        for skus, days in ((("MUG", "TEA"), 0), (EUROS, 0), (EUROS, 2))
    ]
    first = await shop.store.sales(SalesQuery(limit=1))
    assert [(row.key, row.currency) for row in first.items] == [("2026-02-26", "EUR")]
    gone = msgspec.structs.replace(one, version=3, state="cancelled")
    await shop.store.commit(ChangeSet(puts=(Put(gone),)))
    second = await shop.store.sales(SalesQuery(limit=1, cursor=first.next))
    assert [(row.key, row.currency) for row in second.items] == [("2026-02-28", "EUR")]
    assert second.next is None


@given(
    levels=st.lists(
        st.tuples(
            st.sampled_from(list(CATEGORIES)), st.sampled_from((MAIN, "attic")), st.integers(1, 99)
        ),
        max_size=12,
    ),
    by=st.sampled_from(("category", "location")),
    limit=st.integers(1, 3),
)
def test_the_worth_of_stock_is_units_times_price(
    engine: Engine, places: Iterator[Path], levels: list[Any], by: Any, limit: int
) -> None:
    async def run() -> None:
        async with shop_at(engine, next(places)) as shop:
            attic = a_location("attic")
            await shop.store.commit(ChangeSet(puts=(Put(attic),)))
            products = await a_range_of_goods(shop)
            sums: dict[tuple[str, str], list[Any]] = defaultdict(lambda: [set(), 0, 0])
            stock = [(sku, MAIN, 1_000) for sku in CATEGORIES]
            for sku, place, units in levels:
                await shop.store.commit(moving(products[sku], units, location=place))
            for sku, place, units in (*stock, *levels):
                product = products[sku]
                key = place if by == "location" else (product.category or "").casefold()
                found = sums[key, product.price.currency]
                found[0].add(sku)
                found[1] += units
                found[2] += units * product.price.amount
            names = {"cups": "Cups", "drinks": "Drinks", "attic": attic.name}

            async def turn(limit: int, at: str | None) -> Any:
                return await shop.store.stock_value(StockValueQuery(by=by, limit=limit, cursor=at))

            assert await all_items(turn, limit) == [
                StockValueRow(
                    key=key,
                    name=names.get(key),
                    currency=currency,
                    products=len(skus),
                    units=units,
                    value=value,
                )
                for (key, currency), (skus, units, value) in sorted(sums.items())
            ]

    asyncio.run(run())


async def test_a_cursor_of_another_report_is_refused(shop: Shop) -> None:
    products = await a_range_of_goods(shop)
    for days in (0, 1):
        at = BEGIN + timedelta(days=days)
        one = [(0, (1, 0, 0)), (1, (1, 0, 0))]
        await an_outcome(shop, products, None, ("MUG", "TEA"), one, "confirmed", at)
    of_days = (await shop.store.sales(SalesQuery(by="day", limit=1))).next
    of_products = (await shop.store.sales(SalesQuery(by="product", limit=1))).next
    assert of_days is not None
    assert of_products is not None
    for by, cursor in (("week", of_days), ("product", of_days), ("customer", of_products)):
        with pytest.raises(Invalid, match="cursor"):
            await shop.store.sales(SalesQuery(by=by, cursor=cursor))  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="cursor"):
        await shop.store.stock_value(StockValueQuery(cursor=of_products))


async def test_a_report_that_takes_long_holds_up_nobody_else(shop: Shop) -> None:
    products = await a_range_of_goods(shop)
    store: Any = shop.store
    go_on = threading.Event()
    report_before = asyncio.create_task(store.ask(lambda _: go_on.wait(60), long=True))
    report = asyncio.create_task(store.sales(SalesQuery(by="product")))
    try:
        order, change = an_order((products["MUG"], 1), confirm=True)
        await store.commit(change)
        assert (await store.orders(OrderQuery())).items == (order,)
        assert (await store.listed([products["MUG"].id]))[products["MUG"].id].stock.on_hand == 999
        assert not report.done()
    finally:
        go_on.set()
    assert await report_before
    assert [row.units for row in (await report).items] == [1]
