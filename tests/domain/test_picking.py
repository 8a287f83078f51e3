"""The picking list sends people to the right shelves for exactly what has to leave."""

from __future__ import annotations

from storekeeper.domain import fulfilment, ordering
from storekeeper.domain.orders import LineQuantity
from storekeeper.domain.picking import picks
from storekeeper.domain.types import LocationId
from tests.support.builders import a_product, a_step, an_order

MUG, LAMP, VOUCHER = a_product("MUG"), a_product("LAMP"), a_product("VOUCHER", track_stock=False)


def confirmed(*lines, **fields):
    order, _ = an_order(*lines, **fields)
    return ordering.confirm(order, a_step())[0]


def told(*orders, closed: str = ""):
    found = picks(orders, lambda place: LocationId("main") if place == closed else place)
    return [(pick.location_id, pick.sku, pick.units, pick.orders) for pick in found]


def test_units_of_all_orders_are_summed_by_location_and_sku():
    first = confirmed((MUG, 2), (LAMP, 1), (MUG, 1))
    second = confirmed((MUG, 4), at={1: {"attic": 3, "main": 1}})
    assert told(first, second) == [
        ("attic", "MUG", 3, 1),
        ("main", "LAMP", 1, 1),
        ("main", "MUG", 4, 2),
    ]


def test_what_has_left_is_not_picked_again():
    order = confirmed((MUG, 5), (LAMP, 1))
    some = (LineQuantity(line_id=1, quantity=3),)
    shipped, _ = fulfilment.ship(order, some, None, a_step())
    assert told(shipped) == [("main", "LAMP", 1, 1), ("main", "MUG", 2, 1)]


def test_units_of_a_closed_location_are_picked_where_they_went():
    assert told(confirmed((MUG, 2), location="attic"), closed="attic") == [("main", "MUG", 2, 1)]


def test_what_has_no_stock_is_on_no_shelf():
    assert told(confirmed((VOUCHER, 2))) == []
