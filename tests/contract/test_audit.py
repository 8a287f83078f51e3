"""The shop in figures, its proof, and the scans that exports are made from."""

from __future__ import annotations

from itertools import chain
from typing import Any

from storekeeper.domain import fulfilment, ordering
from storekeeper.domain.accounts import Account
from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.orders import LineQuantity, Order
from storekeeper.domain.stock import MAIN, Movement
from storekeeper.store.port import Store, Summary
from tests.support.builders import a_movement, a_step, an_account, an_order, moving
from tests.support.shop import Shop


async def test_an_empty_shop_is_all_zeros_and_in_order(store: Store) -> None:
    assert await store.summary() == Summary(
        products=0,
        accounts=0,
        orders={},
        sold_orders=0,
        sold_units=0,
        revenue={},
        returns=0,
        returned_units=0,
        returned_value={},
        units_on_hand=0,
        units_reserved=0,
        low_products=0,
        movements=0,
    )
    assert await store.verify() == []


async def test_the_summary_counts_what_was_sold_and_what_came_back(shop: Shop) -> None:
    mug = await shop.sell("MUG", stock=20, price=500, low_stock_threshold=12)
    pen = await shop.sell("PEN", stock=5, price=100)
    await shop.store.commit(ChangeSet(puts=(Put(an_account()),)))
    await shop.store.commit(an_order((mug, 1))[1])
    sold, change = an_order((mug, 4), (pen, 2), confirm=True)
    await shop.store.commit(change)
    shipped, change = fulfilment.ship(sold, [LineQuantity(line_id=1, quantity=3)], MAIN, a_step())
    await shop.store.commit(change)
    returned, change = fulfilment.take_back(
        shipped, [LineQuantity(line_id=1, quantity=1)], MAIN, a_step(), restock=False
    )
    await shop.store.commit(change)
    _, change = ordering.cancel(returned, a_step())
    await shop.store.commit(change)
    gone, change = an_order((pen, 1), confirm=True)
    await shop.store.commit(change)
    await shop.store.commit(ordering.cancel(gone, a_step())[1])

    summary = await shop.store.summary()
    assert summary.products == 2
    assert summary.accounts == 1
    assert summary.orders == {"pending": 1, "partially_returned": 1, "cancelled": 1}
    assert (summary.sold_orders, summary.sold_units) == (1, 3)
    assert summary.revenue == {"GBP": 1_500}
    assert (summary.returns, summary.returned_units) == (1, 1)
    assert summary.returned_value == {"GBP": 500}
    assert (summary.units_on_hand, summary.units_reserved) == (22, 1)
    assert summary.low_products == 0
    assert await shop.store.verify() == []


async def test_low_products_and_customers_are_counted(shop: Shop) -> None:
    await shop.sell("MUG", stock=2, low_stock_threshold=2)
    await shop.store.commit(ChangeSet(puts=(Put(an_account("a")), Put(an_account("b")))))
    assert await shop.store.low_count() == 1
    assert await shop.store.customer_count() == 2


async def collected(batches: Any) -> list[Any]:
    found = [list(batch) async for batch in batches]
    assert all(found), "an empty batch says nothing"
    return list(chain.from_iterable(found))


async def test_a_scan_gives_every_record_once(shop: Shop) -> None:
    """What an export leaves out is lost with the next import."""
    products = [await shop.sell(f"P{number:02}", stock=9) for number in range(11)]
    orders = []
    for product in products:
        order, change = an_order((product, 1))
        await shop.store.commit(change)
        orders.append(order)
    accounts = [an_account(f"a{number}") for number in range(5)]
    await shop.store.commit(ChangeSet(puts=tuple(Put(account) for account in accounts)))
    assert await collected(shop.store.scan(Product, batch=3)) == products
    assert await collected(shop.store.scan(Order, batch=4)) == orders
    assert await collected(shop.store.scan(Account, batch=2)) == accounts
    movements = await collected(shop.store.scan_movements(batch=4))
    assert len(movements) == 22
    assert sum(movement.on_hand for movement in movements) == 99


async def test_a_scan_of_nothing_ends(store: Store) -> None:
    assert await collected(store.scan(Product)) == []
    assert await collected(store.scan_movements()) == []


async def test_a_scan_beside_writers_gives_what_was_there_at_its_start(shop: Shop) -> None:
    mug = await shop.sell("MUG")
    first = [a_movement(mug, 1) for _ in range(10)]
    await shop.store.commit(ChangeSet(movements=tuple(first)))
    seen: list[Movement] = []
    async for batch in shop.store.scan_movements(batch=4):
        seen += batch
        if len(seen) < 20:
            await shop.store.commit(moving(mug, 1))
    assert seen[:10] == first
    assert len({movement.id for movement in seen}) == len(seen)
