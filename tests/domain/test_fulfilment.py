"""Shipping and taking back: units are neither lost nor made, wherever they are shipped from."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storekeeper.domain import fulfilment, ordering
from storekeeper.domain.changes import ChangeSet
from storekeeper.domain.errors import OrderState, TooMany
from storekeeper.domain.orders import LineQuantity, Order
from storekeeper.domain.stock import MAIN
from storekeeper.domain.types import LocationId
from tests.support.builders import a_product, a_step, an_order

MUG = a_product("MUG")
TEA = a_product("TEA")
VOUCHER = a_product("VOUCHER", track_stock=False)
PLACES = tuple(LocationId(name) for name in ("main", "attic", "depot"))
SOLD = ((MUG, 4), (TEA, 3), (MUG, 2), (VOUCHER, 2))

places = st.sampled_from(PLACES)
somewhere = st.one_of(st.none(), places)
picks = st.lists(
    st.builds(LineQuantity, line_id=st.integers(1, 4), quantity=st.integers(1, 3)),
    min_size=1,
    max_size=3,
)
deeds = st.lists(
    st.one_of(
        st.tuples(st.just("ship"), picks, somewhere),
        st.tuples(st.just("ship all"), st.none(), somewhere),
        st.tuples(st.sampled_from(["restock", "scrap"]), picks, places),
        st.tuples(st.just("cancel"), st.none(), places),
        st.tuples(st.just("deliver"), st.none(), places),
    ),
    max_size=10,
)


def split(quantity: int) -> st.SearchStrategy[dict[str, int]]:
    """`quantity` units over the three places."""
    return st.tuples(st.integers(0, quantity), st.integers(0, quantity)).map(
        lambda cut: {
            place: units
            for place, units in zip(
                PLACES, (min(cut), max(cut) - min(cut), quantity - max(cut)), strict=True
            )
            if units
        }
    )


allocated = st.fixed_dictionaries({1: split(4), 2: split(3), 3: split(2)})


def do(order: Order, deed: tuple[Any, Any, Any]) -> tuple[Order, ChangeSet]:
    verb, lines, place = deed
    step = a_step()
    if verb.startswith("ship"):
        return fulfilment.ship(order, lines, place, step)
    if verb == "cancel":
        return ordering.cancel(order, step)
    if verb == "deliver":
        return fulfilment.deliver(order, None, step)
    return fulfilment.take_back(order, lines, place, step, restock=verb == "restock")


def on_hand_of(change: ChangeSet) -> Counter[str]:
    sums: Counter[str] = Counter()
    for movement in change.movements:
        sums[movement.product_id] += movement.on_hand
    return sums


@given(at=allocated, deeds=deeds)
def test_units_sold_are_out_or_back_or_waiting_never_more_or_less(
    at: dict[int, dict[str, int]], deeds: list[Any]
) -> None:
    """Over any life of an order: what came off hand is what was sold less what was cancelled and
    restocked; returned never exceeds shipped, shipped never exceeds ordered; lines keep as many
    units allocated as they have."""
    order, change = an_order(*SOLD, at=at, confirm=True)
    gone = -sum(on_hand_of(change).values())
    restocked = 0
    for deed in deeds:
        try:
            changed, change = do(order, deed)
        except (OrderState, TooMany):
            continue
        moved = on_hand_of(change)
        if deed[0] in ("ship", "ship all", "scrap", "deliver"):
            assert not any(moved.values()), "nothing comes on hand or off hand here"
        if deed[0] == "restock":
            restocked += sum(moved.values())
        gone -= sum(moved.values())
        order = changed
        for line in order.lines:
            assert 0 <= line.returned <= line.fulfilled
            assert line.fulfilled + line.cancelled <= line.quantity
            assert sum(place.quantity for place in line.allocations) == line.quantity * line.tracked
    cancelled = sum(line.cancelled for line in order.lines if line.tracked)
    assert gone == sum(quantity for _, quantity in SOLD[:3]) - cancelled - restocked


@given(at=allocated, deeds=deeds)
def test_shipments_and_returns_add_up_to_the_lines(
    at: dict[int, dict[str, int]], deeds: list[Any]
) -> None:
    order, _ = an_order(*SOLD, at=at, confirm=True)
    for deed in deeds:
        try:
            order, _ = do(order, deed)
        except (OrderState, TooMany):
            continue
    for line in order.lines:
        assert line.fulfilled == sum(
            part.quantity
            for sent in order.shipments
            for part in sent.lines
            if part.line_id == line.id
        )
        assert line.returned == sum(
            part.quantity
            for back in order.returns
            for part in back.lines
            if part.line_id == line.id
        )


@given(at=allocated, lines=st.one_of(st.none(), picks), place=places)
def test_shipping_from_elsewhere_moves_units_and_makes_none(
    at: dict[int, dict[str, int]], lines: list[LineQuantity] | None, place: LocationId
) -> None:
    """What another location had taken off hand goes back there and comes off hand here."""
    order, _ = an_order(*SOLD, at=at, confirm=True)
    try:
        _, change = fulfilment.ship(order, lines, place, a_step())
    except TooMany:
        return
    assert not any(on_hand_of(change).values())
    assert all(movement.reserved == 0 for movement in change.movements)
    for movement in change.movements:
        assert movement.on_hand <= 0 or movement.location_id != place
        assert movement.on_hand >= 0 or movement.location_id == place


@given(at=allocated, lines=st.one_of(st.none(), picks))
def test_without_a_place_units_leave_from_where_they_are_and_nothing_is_moved(
    at: dict[int, dict[str, int]], lines: list[LineQuantity] | None
) -> None:
    """One shipment from each place that has a part, with exactly what is allocated there."""
    order, _ = an_order(*SOLD, at=at, confirm=True)
    try:
        shipped, change = fulfilment.ship(order, lines, None, a_step())
    except TooMany:
        return
    assert {movement.reason for movement in change.movements} <= {"shipped"}
    assert len(change.events) == len(shipped.shipments)
    assert len({sent.location_id for sent in shipped.shipments}) == len(shipped.shipments)
    assert (shipped.version, len(change.puts)) == (order.version + 1, 1)
    for sent in shipped.shipments:
        for part in sent.lines[:]:
            place = at.get(part.line_id, {}).get(sent.location_id, 0)
            assert part.quantity <= place or not order.lines[part.line_id - 1].tracked
    if lines is None:
        assert shipped.state == "shipped"


@given(at=allocated)
def test_shipping_place_by_place_ships_everything_once(at: dict[int, dict[str, int]]) -> None:
    order, _ = an_order(*SOLD, at=at, confirm=True)
    used = {place for places in at.values() for place in places}
    for place in PLACES:
        if place in used:
            order, change = fulfilment.ship(order, None, place, a_step())
            assert not any(on_hand_of(change).values())
        elif order.state != "shipped":
            with pytest.raises(TooMany):
                fulfilment.ship(order, None, place, a_step())
    assert order.state == "shipped"


def test_what_has_no_stock_goes_along_with_the_first_parcel() -> None:
    at = {1: {"main": 1, "attic": 1}}
    order, _ = an_order((MUG, 2), (VOUCHER, 1), at=at, confirm=True)
    shipped, _ = fulfilment.ship(order, None, None, a_step())
    assert [
        (sent.location_id, [(part.line_id, part.quantity) for part in sent.lines])
        for sent in shipped.shipments
    ] == [("main", [(1, 1), (2, 1)]), ("attic", [(1, 1)])]
    only_voucher, _ = an_order((VOUCHER, 1), confirm=True)
    for place in (None, LocationId("attic")):
        assert fulfilment.ship(only_voucher, None, place, a_step())[0].state == "shipped"


def test_what_a_closed_place_promised_leaves_from_where_its_units_go() -> None:
    order, _ = an_order((MUG, 5), at={1: {"attic": 3, "depot": 2}}, confirm=True)

    def open_one(place: LocationId) -> LocationId:
        return MAIN if place == "depot" else place

    closed = msgspec.structs.replace(a_step(), restock_to=open_one)
    shipped, change = fulfilment.ship(order, None, None, closed)
    assert [(sent.location_id, sent.lines[0].quantity) for sent in shipped.shipments] == [
        ("attic", 3),
        ("main", 2),
    ]
    assert {movement.reason for movement in change.movements} == {"shipped"}
    from_main, _ = fulfilment.ship(order, None, MAIN, closed)
    assert [sent.lines[0].quantity for sent in from_main.shipments] == [2]


@given(at=allocated)
def test_cancelling_puts_each_unit_back_where_it_was_taken_from(
    at: dict[int, dict[str, int]],
) -> None:
    order, placing = an_order(*SOLD, at=at, confirm=True)
    _, cancelling = ordering.cancel(order, a_step())
    levels: Counter[tuple[str, str]] = Counter()
    for movement in (*placing.movements, *cancelling.movements):
        levels[movement.product_id, movement.location_id] += movement.on_hand
    assert not any(levels.values())


def test_shipping_where_it_was_allocated_only_notes_that_it_left() -> None:
    order, _ = an_order((MUG, 2), confirm=True)
    _, change = fulfilment.ship(order, None, MAIN, a_step())
    assert [(m.reason, m.on_hand, m.note) for m in change.movements] == [
        ("shipped", 0, "2 units left")
    ]


def test_shipping_from_elsewhere_is_two_movements_of_the_ledger() -> None:
    order, _ = an_order((MUG, 2), confirm=True)
    both = [LineQuantity(line_id=1, quantity=2)]
    shipped, change = fulfilment.ship(order, both, LocationId("attic"), a_step())
    assert [(m.location_id, m.reason, m.on_hand) for m in change.movements] == [
        ("main", "reallocated", 2),
        ("attic", "reallocated", -2),
        ("attic", "shipped", 0),
    ]
    assert [place.location_id for place in shipped.lines[0].allocations] == ["attic"]


def test_scrapped_units_come_in_and_go_out() -> None:
    order, _ = an_order((MUG, 2), confirm=True)
    shipped, _ = fulfilment.ship(order, None, MAIN, a_step())
    _, change = fulfilment.take_back(shipped, None, MAIN, a_step(), restock=False)
    assert [(m.reason, m.on_hand) for m in change.movements] == [("returned", 2), ("scrapped", -2)]


def test_a_product_without_stock_leaves_no_movement() -> None:
    order, placing = an_order((VOUCHER, 2), confirm=True)
    shipped, change = fulfilment.ship(order, None, MAIN, a_step())
    _, back = fulfilment.take_back(shipped, None, MAIN, a_step(), restock=True)
    assert placing.movements == change.movements == back.movements == ()
