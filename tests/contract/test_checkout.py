"""Placing through the services: retries, races and stale knowledge never harm an order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from storekeeper.domain.accounts import GUEST, Principal
from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import ChangeSet, Claim, Put, Release
from storekeeper.domain.errors import (
    Conflict,
    Forbidden,
    InsufficientStock,
    Invalid,
    KeyReused,
    NotFound,
    OrderExpired,
    OrderState,
    PreconditionFailed,
    ProductUnavailable,
    TotalChanged,
)
from storekeeper.domain.orders import LineQuantity, Order
from storekeeper.domain.types import AccountId, LocationId, OrderId
from storekeeper.services.base import Call
from storekeeper.services.catalog_cache import CatalogCache
from storekeeper.services.checkout import Checkout, LineRequest, Placed, PlaceOrder
from storekeeper.store.port import OrderQuery, Store
from tests.support.builders import (
    BY_STAFF,
    a_call,
    a_customer,
    a_location,
    a_product,
    a_request,
    an_account,
    changing,
    creating,
    deleting,
    moving,
    pounds,
    revised,
)
from tests.support.shop import SECRETS, Engine, Shop, shop_at

BY_GUEST = Call(principal=GUEST)


async def count_of_orders(store: Store) -> int:
    return sum((await store.summary()).orders.values())


async def test_an_order_keeps_prices_and_names_as_they_were(shop: Shop) -> None:
    mug = await shop.sell("MUG", stock=5, price=250)
    order = (await shop.checkout.place(a_call(), a_request(("mug", 2)))).order
    await shop.store.commit(changing(revised(mug, price=999, name="Dearer")))
    kept = await shop.order_changes.order(a_customer(), order.id)
    assert (kept.lines[0].unit_price, kept.lines[0].name) == (pounds(250), "The MUG")
    assert kept.total == pounds(500)


async def test_retries_of_one_key_at_the_same_moment_are_one_order(shop: Shop) -> None:
    mug = await shop.sell("MUG", stock=100)
    call = a_call("key", "hash")
    answers = await asyncio.gather(
        *(shop.checkout.place(call, a_request(("MUG", 1))) for _ in range(20))
    )
    assert len({answer.order.id for answer in answers}) == 1
    assert [answer.is_replay for answer in answers].count(False) == 1
    assert (await shop.level(mug)).reserved == 1


async def test_a_retry_on_another_node_after_a_restart_is_the_same_order(
    engine: Engine, tmp_path: Path
) -> None:
    call = a_call("key", "hash")
    async with shop_at(engine, tmp_path) as shop:
        await shop.sell("MUG", stock=1)
        first = await shop.checkout.place(call, a_request(("MUG", 1)))
    async with shop_at(engine, tmp_path, node=1) as shop:
        again = await shop.checkout.place(call, a_request(("MUG", 1)))
        assert again.order == first.order
        assert again.is_replay
        with pytest.raises(KeyReused):
            await shop.checkout.place(a_call("key", "other"), a_request(("MUG", 1)))


async def test_a_retry_is_answered_whatever_became_of_the_product(shop: Shop) -> None:
    """Price changed, sold out, archived: the order that stands is still the answer."""
    mug = await shop.sell("MUG", stock=1, price=250)
    call, request = a_call("key", "hash"), a_request(("MUG", 1), expected_total=pounds(250))
    first = await shop.checkout.place(call, request)
    dearer = revised(mug, price=300)
    await shop.store.commit(changing(dearer))
    assert (await shop.checkout.place(call, request)).order == first.order
    await shop.store.commit(changing(revised(dearer, status="archived")))
    assert (await shop.checkout.place(call, request)).order == first.order


async def test_one_customer_s_keys_are_no_other_s(shop: Shop) -> None:
    await shop.sell("MUG", stock=5)
    ada = await shop.checkout.place(a_call("key", "hash", "ada"), a_request(("MUG", 1)))
    bob = await shop.checkout.place(a_call("key", "hash", "bob"), a_request(("MUG", 1)))
    assert ada.order.id != bob.order.id


async def test_a_refused_order_can_be_tried_again_with_its_key(shop: Shop) -> None:
    mug = await shop.sell("MUG")
    call = a_call("key", "hash")
    with pytest.raises(InsufficientStock):
        await shop.checkout.place(call, a_request(("MUG", 1)))
    await shop.store.commit(moving(mug, 1))
    assert not (await shop.checkout.place(call, a_request(("MUG", 1)))).is_replay


async def test_every_short_product_is_named_with_what_its_lines_ask_for_together(
    shop: Shop,
) -> None:
    """Two lines that each would do but together don't: the figures must not contradict it."""
    await shop.sell("MUG", stock=2)
    await shop.sell("PEN", stock=9)
    await shop.sell("TEA")
    with pytest.raises(InsufficientStock) as caught:
        await shop.checkout.place(
            a_call(), a_request(("MUG", 2), ("PEN", 1), ("TEA", 1), ("MUG", 1))
        )
    assert [
        (line["sku"], line["line_numbers"], line["requested"], line["available"])
        for line in caught.value.members["lines"]
    ] == [("MUG", [1, 4], 3, 2), ("TEA", [3], 1, 0)]
    assert "MUG (3 ordered on 2 lines together, 2 available)" in caught.value.detail
    assert await count_of_orders(shop.store) == 0


async def test_a_rush_over_two_locations_sells_every_unit_once(shop: Shop) -> None:
    mug = await shop.sell("MUG", stock=30)
    await shop.store.commit(
        ChangeSet(puts=(Put(a_location("main")), Put(a_location("attic", 1))))
        + moving(mug, 20, location="attic")
    )
    answers = await asyncio.gather(
        *(shop.checkout.place(a_call(), a_request(("MUG", 1))) for _ in range(80)),
        return_exceptions=True,
    )
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert all(isinstance(answer, InsufficientStock) for answer in refused)
    assert len(refused) == 30
    assert await shop.store.verify() == []


async def test_a_product_changed_next_door_is_sold_as_it_is_now(
    engine: Engine, tmp_path: Path
) -> None:
    async with shop_at(engine, tmp_path) as shop, shop_at(engine, tmp_path, node=1) as neighbour:
        mug = await shop.sell("MUG", stock=9, price=100)
        await shop.checkout.place(a_call(), a_request(("MUG", 1)))
        await neighbour.store.commit(changing(revised(mug, price=200)))
        order = (await shop.checkout.place(a_call(), a_request(("MUG", 1)))).order
        assert order.total == pounds(200)


class Overtaken:
    """A store whose catalogue somebody changes just after each of the first reads."""

    def __init__(self, store: Store, changes: list[ChangeSet]) -> None:
        self._store = store
        self._changes = changes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def products_by_sku(self, skus: Sequence[str]) -> dict[str, Product]:
        found: dict[str, Product] = await self._then_change(self._store.products_by_sku(skus))
        return found

    async def get_many(self, kind: Any, ids: Sequence[str]) -> Any:
        return await self._then_change(self._store.get_many(kind, ids))

    async def _then_change(self, read: Any) -> Any:
        found = await read
        if self._changes:
            await self._store.commit(self._changes.pop(0))
        return found


@pytest.mark.parametrize("by", ["sku", "id"])
async def test_a_product_that_keeps_changing_under_the_order_is_still_sold(
    shop: Shop, by: str
) -> None:
    """Somebody edits the product while it is being ordered, several times over: the customer
    gets the product as it is in the end, no "there is no such product" and no endless conflict."""
    mug = await shop.sell("MUG", stock=5, price=100)
    changes = []
    last = mug
    for price in (101, 102, 103, 104):
        last = revised(last, price=price)
        changes.append(changing(last))
    cache = CatalogCache(Overtaken(shop.store, changes))
    checkout = Checkout(shop.tools, cache, secrets=SECRETS)
    line = LineRequest(quantity=1, **({"sku": "mug"} if by == "sku" else {"product_id": mug.id}))
    for _ in range(4):
        order = (await checkout.place(a_call(), PlaceOrder(lines=(line,)))).order
        kept = await shop.store.get(Product, mug.id)
        assert kept is not None
        assert order.total == kept.price
    assert changes == []


async def test_a_sku_that_went_to_another_product_sells_that_one(shop: Shop) -> None:
    mug = await shop.sell("MUG", stock=5)
    cup = await shop.sell("CUP", stock=5)
    await shop.checkout.place(a_call(), a_request(("MUG", 1), ("CUP", 1)))
    old, new = revised(mug, sku="OLD-MUG"), revised(cup, sku="MUG")
    await shop.store.commit(
        ChangeSet(
            puts=(Put(old), Put(new)),
            releases=(Release("sku", "mug"), Release("sku", "cup")),
            claims=(
                Claim(scope="sku", value="old-mug", owner=mug.id),
                Claim(scope="sku", value="mug", owner=cup.id),
            ),
        )
    )
    order = (await shop.checkout.place(a_call(), a_request(("MUG", 1)))).order
    assert order.lines[0].product_id == cup.id
    with pytest.raises(Invalid):
        await shop.checkout.place(a_call(), a_request(("CUP", 1)))


async def test_a_cache_smaller_than_the_order_serves_it_all_the_same(shop: Shop) -> None:
    for number in range(6):
        await shop.sell(f"P{number}", stock=1)
    checkout = Checkout(shop.tools, CatalogCache(shop.store, size=2), secrets=SECRETS)
    order = (
        await checkout.place(a_call(), a_request(*((f"P{number}", 1) for number in range(6))))
    ).order
    assert [line.sku for line in order.lines] == [f"P{number}" for number in range(6)]


async def test_what_is_not_for_sale_is_refused(shop: Shop) -> None:
    await shop.sell("OLD", stock=1, status="archived")
    await shop.sell("SHIRT", is_parent=True)
    gone = await shop.sell("GONE", stock=1)
    await shop.checkout.place(a_call("k", "h"), a_request(("GONE", 1)))
    await shop.sell("BRIEF")
    brief = a_product("BRIEF")
    with pytest.raises(InsufficientStock):
        await shop.checkout.place(a_call(), a_request(("BRIEF", 1)))
    await shop.store.commit(deleting(brief))
    for sku in ("OLD", "SHIRT"):
        with pytest.raises(ProductUnavailable):
            await shop.checkout.place(a_call(), a_request((sku, 1)))
    for sku in ("NONE", "BRIEF"):
        with pytest.raises(Invalid) as caught:
            await shop.checkout.place(a_call(), a_request(("GONE", 1), (sku, 1)))
        assert caught.value.field == "lines[1]"
    assert gone.status == "active"


async def test_the_total_that_was_shown_is_the_total_that_is_charged(shop: Shop) -> None:
    await shop.sell("MUG", stock=5, price=250)
    with pytest.raises(TotalChanged) as caught:
        await shop.checkout.place(a_call(), a_request(("MUG", 2), expected_total=pounds(499)))
    assert caught.value.members["total"] == pounds(500)
    await shop.checkout.place(a_call(), a_request(("MUG", 2), expected_total=pounds(500)))


async def test_a_customer_s_order_is_nobody_else_s(shop: Shop) -> None:
    await shop.sell("MUG", stock=5)
    order = (await shop.checkout.place(a_call(), a_request(("MUG", 1)))).order
    stranger = a_call(customer="eve")
    for attempt in (
        shop.order_changes.order(stranger.principal, order.id),
        shop.order_changes.confirm(stranger, order.id),
        shop.order_changes.cancel(stranger, order.id),
        shop.order_changes.confirm(BY_GUEST, order.id),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert (await shop.order_changes.order(a_customer(), order.id)).state == "pending"
    assert (await shop.order_changes.order(BY_STAFF.principal, order.id)) == order


async def test_a_guest_reaches_the_own_order_and_no_other(shop: Shop) -> None:
    await shop.sell("MUG", stock=5)
    one, two = [
        (await shop.checkout.place(BY_GUEST, a_request(("MUG", 1), email=email))).order
        for email in ("a@b.c", "d@e.f")
    ]
    token = shop.checkout.guest_token(one.id)
    assert shop.checkout.is_guest_token(one.id, token)
    assert not shop.checkout.is_guest_token(two.id, token)
    with pytest.raises(Invalid):
        await shop.checkout.place(BY_GUEST, a_request(("MUG", 1)))


async def test_only_staff_set_prices_ship_or_order_for_others(shop: Shop) -> None:
    await shop.sell("MUG", stock=5)
    await shop.store.commit(ChangeSet(puts=(Put(an_account("bob")), Put(a_location("main")))))
    cheap = PlaceOrder(lines=(LineRequest(sku="MUG", quantity=1, unit_price=pounds(1)),))
    for_bob = a_request(("MUG", 1), customer_id=AccountId("bob"))
    for request in (cheap, for_bob):
        with pytest.raises(Forbidden):
            await shop.checkout.place(a_call(), request)
    assert (await shop.checkout.place(BY_STAFF, cheap)).order.total == pounds(1)
    order = (await shop.checkout.place(BY_STAFF, for_bob)).order
    assert (await shop.order_changes.order(a_customer("bob"), order.id)) == order
    await shop.order_changes.confirm(a_call(customer="bob"), order.id)
    with pytest.raises(Forbidden):
        await shop.order_changes.ship(a_call(customer="bob"), order.id, lines=None)


async def test_an_old_if_match_changes_nothing(shop: Shop) -> None:
    await shop.sell("MUG", stock=5)
    order = (await shop.checkout.place(a_call(), a_request(("MUG", 1)))).order
    with pytest.raises(PreconditionFailed):
        await shop.order_changes.confirm(a_call(), order.id, if_match=7)
    confirmed = await shop.order_changes.confirm(a_call(), order.id, if_match=1)
    assert confirmed.version == 2


async def test_confirming_and_cancelling_at_the_same_moment_end_in_one_of_the_two(
    shop: Shop,
) -> None:
    mug = await shop.sell("MUG", stock=5)
    for _ in range(5):
        order = (await shop.checkout.place(a_call(), a_request(("MUG", 1)))).order
        await asyncio.gather(
            shop.order_changes.confirm(a_call(), order.id),
            shop.order_changes.cancel(a_call(), order.id),
            shop.order_changes.cancel(a_call(), order.id),
            return_exceptions=True,
        )
        assert (await shop.order_changes.order(a_customer(), order.id)).state == "cancelled"
    level = await shop.level(mug)
    assert (level.on_hand, level.reserved) == (5, 0)
    assert await shop.store.verify() == []


async def test_a_key_makes_a_shipment_happen_once(shop: Shop) -> None:
    """The parcel is on its way; a repeated click may not send the second half as well."""
    await shop.sell("MUG", stock=5)
    await shop.store.commit(ChangeSet(puts=(Put(a_location("main")),)))
    order = (await shop.checkout.place(a_call(), a_request(("MUG", 4), confirm=True))).order
    call = Call(principal=BY_STAFF.principal, key="ship-1", fingerprint="hash")
    one = [LineQuantity(line_id=1, quantity=1)]

    async def ship(call: Call) -> Order:
        return await shop.order_changes.ship(
            call, order.id, lines=one, location_id=LocationId("main")
        )

    answers = await asyncio.gather(*(ship(call) for _ in range(4)))
    assert {answer.lines[0].fulfilled for answer in answers} == {1}
    assert (await ship(call)).version == answers[0].version
    with pytest.raises(KeyReused):
        await ship(Call(principal=BY_STAFF.principal, key="ship-1", fingerprint="other"))
    assert (await ship(BY_STAFF)).lines[0].fulfilled == 2


async def test_a_reservation_that_ran_out_is_for_sale_again(shop: Shop) -> None:
    await shop.sell("MUG", stock=1)
    order = (await shop.checkout.place(a_call(), a_request(("MUG", 1)))).order
    shop.clock.advance(minutes=14, seconds=59)
    assert await shop.order_changes.expire_due() == 0
    shop.clock.advance(seconds=1)
    with pytest.raises(OrderExpired):
        await shop.order_changes.confirm(a_call(), order.id)
    assert await shop.order_changes.expire_due() == 1
    assert await shop.order_changes.expire_due() == 0
    await shop.checkout.place(a_call(customer="bob"), a_request(("MUG", 1)))
    expired = await shop.order_changes.order(a_customer(), order.id)
    assert [entry.kind for entry in expired.timeline] == ["placed", "expired"]


async def test_two_sweepers_release_each_order_once(engine: Engine, tmp_path: Path) -> None:
    async with shop_at(engine, tmp_path) as shop, shop_at(engine, tmp_path, node=1) as neighbour:
        mug = await shop.sell("MUG", stock=20)
        for _ in range(20):
            await shop.checkout.place(a_call(), a_request(("MUG", 1)))
        for each in (shop, neighbour):
            each.clock.advance(minutes=16)
        counts = await asyncio.gather(
            *(each.order_changes.expire_due() for each in (shop, neighbour, shop))
        )
        assert sum(counts) == 20
        assert (await shop.level(mug)).available == 20
        assert await shop.store.verify() == []


async def test_a_customer_can_t_cancel_what_is_partly_on_its_way(shop: Shop) -> None:
    await shop.sell("MUG", stock=5)
    await shop.store.commit(ChangeSet(puts=(Put(a_location("main")),)))
    order = (await shop.checkout.place(a_call(), a_request(("MUG", 2), confirm=True))).order
    await shop.order_changes.ship(BY_STAFF, order.id, lines=[LineQuantity(line_id=1, quantity=1)])
    with pytest.raises(OrderState):
        await shop.order_changes.cancel(a_call(), order.id)
    assert (await shop.order_changes.cancel(BY_STAFF, order.id)).state == "shipped"


async def test_an_order_that_is_not_there_is_not_found(shop: Shop) -> None:
    with pytest.raises(NotFound):
        await shop.order_changes.order(BY_STAFF.principal, OrderId("none"))


async def test_every_refusal_is_one_that_the_api_can_explain(shop: Shop) -> None:
    """Whatever goes wrong under load is a problem with a code, never a fault."""
    products = [await shop.sell(f"P{number}", stock=3) for number in range(3)]

    async def edit() -> None:
        for turn in range(10):
            for number, product in enumerate(products):
                products[number] = revised(product, price=turn)
                await shop.store.commit(changing(products[number]))

    async def buy(number: int) -> Placed:
        basket = [(f"P{(number + step) % 3}", 1) for step in range(2)]
        return await shop.checkout.place(a_call(), a_request(*basket))

    answers = await asyncio.gather(
        edit(), *(buy(number) for number in range(60)), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert all(isinstance(answer, InsufficientStock | Conflict) for answer in refused)
    orders = await shop.store.orders(OrderQuery(limit=100))
    assert 0 < len(orders.items) <= 4
    assert await shop.store.verify() == []


async def test_creating_a_product_twice_at_once_makes_one(shop: Shop) -> None:
    answers = await asyncio.gather(
        *(shop.store.commit(creating(a_product("MUG", id=f"id-{n}"))) for n in range(3)),
        return_exceptions=True,
    )
    assert [answer is None for answer in answers].count(True) == 1


async def test_a_refusal_counts_the_units_of_every_location(shop: Shop) -> None:
    mug = await shop.sell("MUG", stock=3)
    await shop.store.commit(
        ChangeSet(puts=(Put(a_location("main")), Put(a_location("attic", 1))))
        + moving(mug, 2, location="attic")
    )
    with pytest.raises(InsufficientStock) as caught:
        await shop.checkout.place(a_call(), a_request(("MUG", 10)))
    assert [line["available"] for line in caught.value.members["lines"]] == [5]


async def test_a_key_that_changed_nothing_is_spent_all_the_same(shop: Shop) -> None:
    """Else a retry of the confirmation could be taken for a cancellation, or the reverse."""
    await shop.sell("MUG", stock=2)
    order = (await shop.checkout.place(a_call(), a_request(("MUG", 1), confirm=True))).order
    await shop.order_changes.confirm(a_call("key", "confirm"), order.id)
    with pytest.raises(KeyReused):
        await shop.order_changes.cancel(a_call("key", "cancel"), order.id)
    assert (await shop.order_changes.confirm(a_call("key", "confirm"), order.id)) == order


async def test_a_key_does_only_what_it_was_made_for(shop: Shop) -> None:
    """A leaked key for reading the catalogue must not place orders in its owner's name."""
    await shop.sell("MUG", stock=5)
    own = (await shop.checkout.place(a_call(), a_request(("MUG", 1)))).order
    reads = Call(principal=a_customer(scopes=frozenset({"products:read"}), api_key_id="reads"))
    for refused in (
        shop.checkout.place(reads, a_request(("MUG", 1))),
        shop.order_changes.confirm(reads, own.id),
        shop.order_changes.cancel(reads, own.id),
    ):
        with pytest.raises(Forbidden) as caught:
            await refused
        assert caught.value.members["scope"] == "orders:write"
    writes = Call(
        principal=Principal(
            account_id=AccountId("sam"),
            role="staff",
            scopes=frozenset({"orders:write"}),
            api_key_id="writes",
        )
    )
    await shop.store.commit(ChangeSet(puts=(Put(a_location("main")),)))
    request = a_request(("MUG", 1), confirm=True)
    order = (await shop.checkout.place(writes, request)).order
    assert (await shop.order_changes.ship(writes, order.id, lines=None)).state == "shipped"
