"""Invoices: each under a number of its own, and no number without an invoice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from storekeeper.domain.errors import OrderState
from storekeeper.domain.invoices import SERIES, Series, lines_of
from storekeeper.domain.orders import LineQuantity, Order
from storekeeper.domain.types import OrderId
from storekeeper.services.base import BY_SYSTEM
from storekeeper.services.invoices import Invoices
from tests.support.builders import a_call, a_request, pounds
from tests.support.shop import Engine, Shop, shop_at


@pytest.fixture
def invoices(shop: Shop) -> Invoices:
    return Invoices(shop.tools)


async def sold(shop: Shop, quantity: int = 1, *, confirm: bool = True) -> Order:
    request = a_request(("MUG", quantity), confirm=confirm)
    return (await shop.checkout.place(a_call(), request)).order


async def last_number(shop: Shop) -> int:
    series = await shop.store.get(Series, SERIES)
    return 0 if series is None else series.last


async def test_an_invoice_is_made_once_and_numbers_follow_each_other(
    shop: Shop, invoices: Invoices
) -> None:
    await shop.sell(stock=10)
    first, second = await sold(shop, 2), await sold(shop)
    made = await invoices.of(second)
    assert (made.number, made.total, made.issued_at) == (1, pounds(999), shop.clock())
    shop.clock.advance(days=1)
    assert await invoices.of(second) == made, "whenever it is asked for again"
    assert (await invoices.of(first)).number == 2
    assert await last_number(shop) == 2


async def test_many_who_ask_at_once_on_two_nodes_get_all_numbers_without_a_gap(
    engine: Engine, tmp_path: Path
) -> None:
    """Each order is asked for twice on each node; a gap is what a tax office asks about."""
    async with (
        shop_at(engine, tmp_path, node=1) as here,
        shop_at(engine, tmp_path, node=2) as there,
    ):
        await here.sell(stock=100)
        orders = await asyncio.gather(*(sold(here) for _ in range(12)))
        await there.store.catch_up()
        nodes = [Invoices(here.tools), Invoices(there.tools)]
        asked = [node.of(order) for order in orders for node in nodes for _ in range(2)]
        found = await asyncio.gather(*asked)
        by_order: dict[str, set[int]] = {}
        for invoice in found:
            by_order.setdefault(invoice.id, set()).add(invoice.number)
        assert all(len(numbers) == 1 for numbers in by_order.values())
        assert sorted(n for (n,) in by_order.values()) == list(range(1, len(orders) + 1))
        assert await last_number(here) == len(orders)


async def test_nothing_sold_draws_no_number(shop: Shop, invoices: Invoices) -> None:
    await shop.sell(stock=10)
    pending = await sold(shop, confirm=False)
    cancelled = await sold(shop)
    await shop.order_changes.cancel(BY_SYSTEM, cancelled.id)
    for order in (pending, cancelled):
        with pytest.raises(OrderState):
            await invoices.of(order)
    assert await last_number(shop) == 0


async def test_what_was_cancelled_before_is_not_on_it_and_what_comes_later_changes_nothing(
    shop: Shop, invoices: Invoices
) -> None:
    await shop.sell(stock=20)
    before, after = await sold(shop, 5), await sold(shop, 5)
    invoice_of_after = await invoices.of(after)
    for id in (before.id, after.id):
        part = [LineQuantity(line_id=1, quantity=2)]
        await shop.order_changes.ship(BY_SYSTEM, id, lines=part)
        await shop.order_changes.cancel(BY_SYSTEM, id)

    async def units(id: OrderId) -> list[int]:
        order = await shop.order_changes.order(BY_SYSTEM.principal, id)
        invoice = await invoices.of(order)
        lines = lines_of(order, invoice)
        assert sum(line.total.amount for line in lines) == invoice.total.amount
        return [line.quantity for line in lines]

    assert await units(before.id) == [2]
    assert await units(after.id) == [5]
    assert await invoices.of(after) == invoice_of_after


async def test_an_order_that_is_cancelled_in_the_same_moment_gets_none(
    shop: Shop, invoices: Invoices
) -> None:
    """Whichever comes first: never an invoice over units that had been cancelled before it."""
    await shop.sell(stock=100)
    orders = [await sold(shop) for _ in range(8)]
    asked, _ = await asyncio.gather(
        asyncio.gather(*(invoices.of(order) for order in orders), return_exceptions=True),
        asyncio.gather(*(shop.order_changes.cancel(BY_SYSTEM, order.id) for order in orders)),
    )
    numbers = sorted(one.number for one in asked if not isinstance(one, BaseException))
    refusals = [one for one in asked if isinstance(one, BaseException)]
    assert all(isinstance(one, OrderState) for one in refusals), refusals
    assert numbers == list(range(1, len(numbers) + 1))
    assert await last_number(shop) == len(numbers)
