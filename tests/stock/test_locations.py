"""A shop always has a place for its stock, and no place is closed on units that are still there."""

from __future__ import annotations

import asyncio

import pytest

from storekeeper.domain.audit import AuditEntry
from storekeeper.domain.errors import AlreadyExists, InUse, Invalid, PreconditionFailed
from storekeeper.domain.stock import MAIN
from storekeeper.domain.types import LocationId, OrderId
from storekeeper.services.base import BY_SYSTEM
from storekeeper.services.inventory import ReceiveRequest, TransferRequest
from storekeeper.services.locations import LocationInput, LocationPatch
from tests.catalog.desk import BY_ADMIN, Desk

SHOP = LocationId("shop-2")
CLOSE = LocationPatch(active=False)


async def open_place(desk: Desk, id: str, **fields) -> None:
    await desk.locations.create(BY_ADMIN, LocationInput(id=id, name=id.title(), **fields))


async def test_a_new_shop_has_main_and_asking_twice_makes_no_second(desk: Desk) -> None:
    await desk.locations.ensure_defaults()
    assert [place.id for place in await desk.locations.all()] == ["main"]


async def test_locations_come_by_priority_and_closed_ones_last(desk: Desk) -> None:
    await open_place(desk, "far", priority=9)
    await open_place(desk, "near", priority=1)
    await desk.locations.change(BY_ADMIN, "main", CLOSE)
    assert [place.id for place in await desk.locations.all()] == ["near", "far", "main"]


async def test_a_code_names_one_location(desk: Desk) -> None:
    await open_place(desk, "shop-2")
    with pytest.raises(AlreadyExists) as refusal:
        await open_place(desk, "shop-2")
    assert refusal.value.field == "id"


async def test_a_location_with_units_can_not_be_closed(desk: Desk) -> None:
    await open_place(desk, "shop-2")
    await desk.create("MUG", stock=1)
    with pytest.raises(InUse):
        await desk.locations.change(BY_ADMIN, "main", CLOSE)
    await desk.inventory.transfer(
        BY_ADMIN,
        TransferRequest(sku="MUG", quantity=1, from_location_id=MAIN, to_location_id=SHOP),
    )
    assert not (await desk.locations.change(BY_ADMIN, "main", CLOSE)).active


async def test_the_last_open_location_stays_open_even_when_two_close_at_once(desk: Desk) -> None:
    with pytest.raises(InUse, match="last"):
        await desk.locations.change(BY_ADMIN, "main", CLOSE)
    await open_place(desk, "shop-2")
    await asyncio.gather(
        desk.locations.change(BY_ADMIN, "main", CLOSE),
        desk.locations.change(BY_ADMIN, "shop-2", CLOSE),
        return_exceptions=True,
    )
    assert sum(place.active for place in await desk.locations.all()) == 1


async def test_a_closed_location_takes_nothing_but_lets_go_of_what_is_left(desk: Desk) -> None:
    await open_place(desk, "shop-2")
    await desk.create("MUG")
    await desk.locations.change(BY_ADMIN, "main", CLOSE)
    with pytest.raises(Invalid) as refusal:
        await desk.inventory.receive(BY_ADMIN, ReceiveRequest(sku="MUG", quantity=1))
    assert refusal.value.field == "location_id"


async def test_units_that_arrive_while_a_location_closes_are_never_shut_in(desk: Desk) -> None:
    await desk.create("MUG")
    for number in range(10):
        place = f"place-{number}"
        await open_place(desk, place)
        await asyncio.gather(
            desk.locations.change(BY_ADMIN, place, CLOSE),
            desk.inventory.receive(
                BY_ADMIN, ReceiveRequest(sku="MUG", quantity=1, location_id=LocationId(place))
            ),
            return_exceptions=True,
        )
        location = await desk.locations.location(place)
        assert location.active or not await desk.store.holds_stock(LocationId(place))


async def test_two_admins_do_not_overwrite_each_other(desk: Desk) -> None:
    await desk.locations.change(BY_ADMIN, "main", LocationPatch(name="Back room"), if_match=1)
    with pytest.raises(PreconditionFailed):
        await desk.locations.change(BY_ADMIN, "main", LocationPatch(priority=3), if_match=1)
    place = await desk.locations.change(BY_ADMIN, "main", LocationPatch(priority=3), if_match=2)
    assert (place.name, place.priority, place.version) == ("Back room", 3, 3)


async def test_a_change_of_nothing_makes_no_new_version(desk: Desk) -> None:
    place = await desk.locations.change(BY_ADMIN, "main", LocationPatch())
    assert place.version == 1


async def confirmed_at_main_then_closed(desk: Desk, quantity: int = 2) -> OrderId:
    """A confirmed, unshipped order from a location that closes after it."""
    await open_place(desk, "shop-2", priority=1)
    await desk.create("MUG", stock=quantity)
    order_id = OrderId(await desk.order("MUG", quantity))
    await desk.order_changes.confirm(BY_SYSTEM, order_id)
    await desk.locations.change(BY_ADMIN, "main", CLOSE)
    return order_id


async def on_hand(desk: Desk) -> dict[str, int]:
    product = (await desk.store.products_by_sku(["mug"]))["mug"]
    levels = await desk.store.levels([product.id])
    return {level.location_id: level.on_hand for level in levels if level.on_hand}


async def test_a_location_with_reserved_units_stays_open(desk: Desk) -> None:
    await open_place(desk, "shop-2")
    await desk.create("MUG", allow_backorder=True)
    await desk.order("MUG", 1)
    with pytest.raises(InUse):
        await desk.locations.change(BY_ADMIN, "main", CLOSE)


async def test_units_of_a_cancelled_order_can_be_sold_although_their_location_closed(
    desk: Desk,
) -> None:
    order_id = await confirmed_at_main_then_closed(desk)
    await desk.order_changes.cancel(BY_SYSTEM, order_id)
    assert await on_hand(desk) == {"shop-2": 2}
    await desk.order("MUG", 2)
    assert await desk.store.verify() == []


async def test_shipping_what_a_closed_location_promised_strands_nothing(desk: Desk) -> None:
    order_id = await confirmed_at_main_then_closed(desk)
    await desk.order_changes.ship(BY_SYSTEM, order_id, lines=None, location_id=SHOP)
    assert await on_hand(desk) == {}
    with pytest.raises(Invalid, match="takes no stock"):
        await desk.order_changes.take_back(BY_SYSTEM, order_id, lines=None)
    await desk.order_changes.take_back(BY_SYSTEM, order_id, lines=None, location_id=SHOP)
    assert await on_hand(desk) == {"shop-2": 2}
    assert await desk.store.verify() == []


async def test_cancelling_while_the_location_closes_strands_nothing(desk: Desk) -> None:
    await open_place(desk, "shop-2", priority=1)
    for number in range(10):
        await desk.create(f"P{number}", stock=1)
        order_id = OrderId(await desk.order(f"P{number}", 1))
        await desk.order_changes.confirm(BY_SYSTEM, order_id)
        await asyncio.gather(
            desk.order_changes.cancel(BY_SYSTEM, order_id),
            desk.locations.change(BY_ADMIN, "main", CLOSE),
            return_exceptions=True,
        )
        await desk.order(f"P{number}", 1)
        await desk.locations.change(BY_ADMIN, "main", LocationPatch(active=True))
    assert await desk.store.verify() == []


async def test_the_audit_log_tells_of_a_location_that_had_to_open_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reads that it was closed has to read that it isn't."""
    await open_place(desk, "shop-2")
    answers = iter((False, True))

    async def holds_stock(location: str) -> bool:
        return next(answers)

    monkeypatch.setattr(desk.store, "holds_stock", holds_stock)
    with pytest.raises(InUse):
        await desk.locations.change(BY_ADMIN, "shop-2", CLOSE)
    page = await desk.store.find(AuditEntry, "subject", "location:shop-2")
    told = [(one.action, one.fields) for one in page.items if one.action == "location.changed"]
    assert [[(one.before, one.after) for one in fields] for _, fields in told] == [
        [("true", "false")],
        [("false", "true")],
    ]
