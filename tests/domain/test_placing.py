"""Placing: prices as they are now, one currency, a total that money can hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storekeeper.domain.allocation import from_one
from storekeeper.domain.changes import Check
from storekeeper.domain.errors import Invalid, TotalChanged
from storekeeper.domain.money import Money
from storekeeper.domain.ordering import place
from storekeeper.domain.orders import claims_on_stock, reserved_by
from storekeeper.domain.stock import MAIN
from storekeeper.domain.types import MAX_AMOUNT, MAX_QUANTITY
from tests.support.builders import a_placing, a_product, a_step, an_order, pounds, revised

MUG = a_product("MUG", price=250)
TEA = a_product("TEA", price=99)
VOUCHER = a_product("VOUCHER", price=1_000, track_stock=False)
PRODUCTS = (MUG, TEA, VOUCHER)

baskets = st.lists(st.tuples(st.sampled_from(PRODUCTS), st.integers(1, 50)), min_size=1, max_size=8)


@given(basket=baskets, confirm=st.booleans())
def test_an_order_claims_each_product_once_and_costs_the_sum(
    basket: list[tuple[object, int]], confirm: bool
) -> None:
    order, change = an_order(*basket, confirm=confirm)  # type: ignore[arg-type]
    assert order.total.amount == sum(line.unit_price.amount * line.quantity for line in order.lines)
    keys = [(m.product_id, m.location_id) for m in change.movements]
    assert len(keys) == len(set(keys))
    claimed = {
        key: -m.on_hand if confirm else m.reserved
        for key, m in zip(keys, change.movements, strict=True)
    }
    assert claimed == claims_on_stock(order)
    assert reserved_by(order) == ({} if confirm else claimed)
    assert VOUCHER.id not in {product for product, _ in keys}
    assert {check.id for check in change.checks} == {line.product_id for line in order.lines}


def test_a_product_changed_meanwhile_stops_the_order() -> None:
    dearer = revised(MUG, price=300)
    _, change = an_order((dearer, 1))
    assert change.checks == (Check("Product", MUG.id, 2),)


def test_an_empty_order_is_refused() -> None:
    with pytest.raises(Invalid):
        an_order()


def test_two_currencies_in_one_order_are_refused_and_the_line_named() -> None:
    euro = a_product("EURO", price=Money(amount=1, currency="EUR"))
    with pytest.raises(Invalid) as caught:
        an_order((MUG, 1), (euro, 1))
    assert caught.value.field == "lines[1]"


def test_a_total_past_what_can_be_booked_is_refused() -> None:
    gold = a_product("GOLD", price=MAX_AMOUNT)
    an_order((gold, 1_000))
    with pytest.raises(Invalid):
        an_order((gold, MAX_QUANTITY))


def test_the_total_that_was_shown_must_be_the_one_now() -> None:
    placing = a_placing([(MUG, 2)], expected_total=pounds(499))
    with pytest.raises(TotalChanged) as caught:
        place(placing, lambda lines: from_one(lines, MAIN), a_step())
    assert caught.value.members["total"] == pounds(500)
    another = a_placing([(MUG, 2)], expected_total=Money(amount=500, currency="EUR"))
    with pytest.raises(TotalChanged):
        place(another, lambda lines: from_one(lines, MAIN), a_step())
