"""Every list comes in pages that lose nothing, double nothing and stay put while it grows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from storekeeper.domain.accounts import Account
from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.errors import Invalid
from storekeeper.domain.stock import Location
from storekeeper.store.port import MovementQuery, OrderQuery, Page, ProductQuery, Store
from tests.contract.paging import all_items, pages
from tests.support.builders import (
    a_location,
    a_product,
    a_step,
    an_account,
    an_order,
    creating,
    moving,
)
from tests.support.clock import START
from tests.support.shop import Shop

COUNT = 11


@dataclass(frozen=True)
class Listing:
    """A list of the port: how a page is asked for, and what adds one item to it."""

    name: str
    page: Callable[[Store, int, str | None], Awaitable[Page[Any]]]
    item: Callable[[int], ChangeSet]

    @property
    def family(self) -> str:
        """Lists of one family differ in their filters alone; their positions are comparable."""
        return self.name.split(" with ")[0].split(" of ")[0].split(" in ")[0]


def products(**fields: Any) -> Callable[[Store, int, str | None], Awaitable[Page[Any]]]:
    return lambda store, limit, cursor: store.products(
        ProductQuery(limit=limit, cursor=cursor, **fields)
    )


def orders(**fields: Any) -> Callable[[Store, int, str | None], Awaitable[Page[Any]]]:
    return lambda store, limit, cursor: store.orders(
        OrderQuery(limit=limit, cursor=cursor, **fields)
    )


def movements(**fields: Any) -> Callable[[Store, int, str | None], Awaitable[Page[Any]]]:
    return lambda store, limit, cursor: store.movements(
        MovementQuery(limit=limit, cursor=cursor, **fields)
    )


def one_product(number: int) -> ChangeSet:
    """Many share a name, a price and a moment, so that a sort order alone can't tell them apart."""
    return creating(
        a_product(
            f"P{number:03}",
            name=f"Mug {number % 2}",
            price=number % 3,
            category="China",
            tags=("blue",),
            low_stock_threshold=1,
            now=START + timedelta(seconds=number % 2),
        )
    )


VOUCHER = a_product("VOUCHER", track_stock=False, status="active")


def one_order(number: int) -> ChangeSet:
    step = a_step(START + timedelta(seconds=number // 3))
    return an_order((VOUCHER, 1), step=step, customer_id="ada")[1]


def one_movement(number: int) -> ChangeSet:
    return moving(VOUCHER, 1)


def one_account(number: int) -> ChangeSet:
    return ChangeSet(puts=(Put(an_account(f"account-{number:03}")),))


def one_location(number: int) -> ChangeSet:
    return ChangeSet(puts=(Put(a_location(f"place-{number:03}")),))


LISTINGS = [
    *(
        Listing(f"products by {sort}", products(sort=sort, status=None), one_product)
        for sort in ("name", "-name", "price", "-price", "created", "-created")
    ),
    Listing("products by relevance", products(sort="relevance", words="mug"), one_product),
    Listing("products by name with a word", products(words="mug"), one_product),
    Listing("products by name of a category", products(category="china"), one_product),
    Listing("products by price with a tag", products(tag="Blue", sort="price"), one_product),
    Listing(
        "low stock", lambda store, limit, at: store.low_stock(limit=limit, cursor=at), one_product
    ),
    Listing("orders", orders(), one_order),
    Listing("orders of a customer", orders(customer_id="ada"), one_order),
    Listing("orders in a state", orders(state="pending"), one_order),
    Listing("orders of a SKU", orders(sku="voucher"), one_order),
    Listing("movements", movements(), one_movement),
    Listing("movements of a product", movements(product_id=VOUCHER.id), one_movement),
    Listing("movements of a SKU", movements(sku="voucher"), one_movement),
    Listing(
        "accounts of a role",
        lambda store, limit, at: store.find(
            Account, "role", "active:customer", limit=limit, cursor=at
        ),
        one_account,
    ),
    Listing(
        "locations",
        lambda store, limit, at: store.list_all(Location, limit=limit, cursor=at),
        one_location,
    ),
    Listing(
        "newest locations",
        lambda store, limit, at: store.list_all(
            Location, limit=limit, cursor=at, newest_first=True
        ),
        one_location,
    ),
]
every_list = pytest.mark.parametrize("listing", LISTINGS, ids=lambda listing: listing.name)


async def fill(shop: Shop, listing: Listing) -> None:
    if listing.item in (one_order, one_movement):
        await shop.store.commit(creating(VOUCHER))
    for number in range(COUNT):
        await shop.store.commit(listing.item(number))


def key(item: Any) -> str:
    return str(item.product.id if hasattr(item, "product") else item.id)


@every_list
@pytest.mark.parametrize("limit", [1, 3, COUNT - 1, COUNT, COUNT + 1])
async def test_pages_hold_every_item_once_in_one_order(
    shop: Shop, listing: Listing, limit: int
) -> None:
    await fill(shop, listing)
    whole = [key(item) for item in (await listing.page(shop.store, 100, None)).items]
    assert len(set(whole)) == COUNT
    found = await pages(lambda limit, at: listing.page(shop.store, limit, at), limit)
    assert [key(item) for page in found for item in page] == whole
    assert all(len(page) == limit for page in found[:-1])
    assert len(found[-1]) > 0


@every_list
async def test_an_empty_list_is_one_empty_page(shop: Shop, listing: Listing) -> None:
    assert await listing.page(shop.store, 10, None) == Page(items=())


@every_list
async def test_turning_pages_while_the_list_grows_misses_and_doubles_nothing(
    shop: Shop, listing: Listing
) -> None:
    await fill(shop, listing)
    before = {key(item) for item in (await listing.page(shop.store, 100, None)).items}
    seen: list[str] = []
    cursor = None
    added = COUNT
    while True:
        page = await listing.page(shop.store, 3, cursor)
        seen += [key(item) for item in page.items]
        if page.next is None:
            break
        cursor = page.next
        if added < 2 * COUNT:
            await shop.store.commit(listing.item(added))
            added += 1
    assert len(seen) == len(set(seen))
    assert before <= set(seen)


@every_list
async def test_another_lists_cursor_is_refused_and_not_misread(
    shop: Shop, listing: Listing
) -> None:
    await shop.store.commit(creating(VOUCHER))
    for number in range(3):
        for add in (one_product, one_order, one_movement, one_account, one_location):
            await shop.store.commit(add(number))
    for other in LISTINGS:
        cursor = (await other.page(shop.store, 1, None)).next
        assert cursor is not None
        if other.family != listing.family:
            with pytest.raises(Invalid) as caught:
                await listing.page(shop.store, 1, cursor)
            assert caught.value.field == "cursor"


@every_list
async def test_a_made_up_cursor_is_refused(shop: Shop, listing: Listing) -> None:
    for cursor in ("x", "%%%", "AAAA", "kqRuYW1lAQ", "é", "gA", "wA", "k6Vwcmlj", "=" * 9, " "):
        with pytest.raises(Invalid):
            await listing.page(shop.store, 2, cursor)


async def test_a_cursor_of_another_sort_order_is_refused(shop: Shop) -> None:
    for number in range(3):
        await shop.store.commit(one_product(number))
    cursor = (await shop.store.products(ProductQuery(sort="price", limit=1))).next
    for sort in ("name", "-name", "-price", "created", "-created"):
        with pytest.raises(Invalid):
            await shop.store.products(ProductQuery(sort=sort, limit=1, cursor=cursor))


async def test_a_cursor_of_another_kind_or_index_is_refused(store: Store) -> None:
    for number in range(3):
        await store.commit(one_account(number))
        await store.commit(one_location(number))
    places = (await store.list_all(Location, limit=1)).next
    with pytest.raises(Invalid):
        await store.list_all(Account, limit=1, cursor=places)
    by_role = (await store.find(Account, "role", "active:customer", limit=1)).next
    with pytest.raises(Invalid):
        await store.find(Account, "status", "active", limit=1, cursor=by_role)


async def test_items_of_a_page_are_whole(shop: Shop) -> None:
    mug = await shop.sell("MUG", stock=3, low_stock_threshold=1)
    (item,) = await all_items(lambda limit, at: products()(shop.store, limit, at))
    assert item.product == mug
    assert (item.stock.on_hand, item.stock.reserved, item.stock.threshold) == (3, 0, 1)
