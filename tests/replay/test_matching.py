"""A return goes back to an order that sold it: never more than was sold, never another's."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from storekeeper.replay.happenings import Return, Sale
from storekeeper.replay.matching import Match, ReturnMatcher, Taken, returned_claims
from storekeeper.replay.plan import plan
from tests.replay.rows import csv_line, rows_of


def taken(invoice_no, line_index, quantity):
    return Taken(invoice_no=invoice_no, line_index=line_index, quantity=quantity)


def test_the_newest_order_is_taken_first_and_the_rest_from_the_one_before():
    matcher = ReturnMatcher()
    matcher.record_sale("anna", "1", "85123A", 6, 0)
    matcher.record_sale("anna", "2", "85123A", 2, 3)
    assert matcher.match("anna", "85123A", 5) == Match(
        taken=(taken("2", 3, 2), taken("1", 0, 3)), leftover=0
    )
    assert matcher.match("anna", "85123A", 4) == Match(taken=(taken("1", 0, 3),), leftover=1)


def test_nobody_returns_what_another_customer_bought():
    matcher = ReturnMatcher()
    matcher.record_sale("anna", "1", "85123A", 6, 0)
    assert matcher.match("bert", "85123A", 1) == Match(taken=(), leftover=1)
    assert matcher.match("anna", "71053", 1) == Match(taken=(), leftover=1)


def test_a_guests_return_goes_to_no_other_guests_order():
    matcher = ReturnMatcher()
    matcher.record_sale(None, "1", "85123A", 6, 0)
    assert matcher.match(None, "85123A", 1) == Match(taken=(), leftover=1)


def test_happenings_are_recorded_and_settled_by_line_without_carriage():
    sale, returned = plan(
        rows_of(
            csv_line(invoice_no="1", code="POST", quantity="1"),
            csv_line(invoice_no="1", quantity="3"),
            csv_line(invoice_no="C2", quantity="-4"),
        )
    )
    assert isinstance(sale, Sale)
    assert isinstance(returned, Return)
    matcher = ReturnMatcher()
    matcher.record(sale)
    assert matcher.settle(returned) == [
        (returned.lines[0], Match(taken=(taken("1", 1, 3),), leftover=1))
    ]


Event = tuple[bool, str, str, int]
events = st.lists(
    st.tuples(
        st.booleans(), st.sampled_from("ab"), st.sampled_from(["X", "Y"]), st.integers(1, 20)
    ),
    max_size=60,
)


@given(events)
def test_no_line_gives_back_more_than_it_sold_and_no_unit_is_lost(history: list[Event]):
    matcher = ReturnMatcher()
    sold: dict[str, tuple[str, str, int]] = {}
    back: Counter[str] = Counter()
    for number, (is_sale, customer, sku, quantity) in enumerate(history):
        if is_sale:
            sold[str(number)] = (customer, sku, quantity)
            matcher.record_sale(customer, str(number), sku, quantity, 0)
            continue
        match = matcher.match(customer, sku, quantity)
        open_before = sum(
            units - back[invoice]
            for invoice, (buyer, what, units) in sold.items()
            if (buyer, what) == (customer, sku)
        )
        assert match.leftover == max(0, quantity - open_before)
        assert sum(part.quantity for part in match.taken) + match.leftover == quantity
        for part in match.taken:
            back[part.invoice_no] += part.quantity
            assert sold[part.invoice_no][:2] == (customer, sku)
    assert all(back[invoice] <= units for invoice, (_, _, units) in sold.items())


@given(events)
def test_remembering_only_what_will_be_returned_changes_no_match(history: list[Event]):
    wanted = frozenset((customer, sku) for is_sale, customer, sku, _ in history if not is_sale)
    full, lean = ReturnMatcher(), ReturnMatcher(wanted)
    for number, (is_sale, customer, sku, quantity) in enumerate(history):
        if is_sale:
            full.record_sale(customer, str(number), sku, quantity, 0)
            lean.record_sale(customer, str(number), sku, quantity, 0)
        else:
            assert full.match(customer, sku, quantity) == lean.match(customer, sku, quantity)


def test_the_claims_to_remember_are_those_of_returns_by_customers():
    happenings = plan(
        rows_of(
            csv_line(invoice_no="1"),
            csv_line(invoice_no="C2", quantity="-1", customer_id="12345"),
            csv_line(invoice_no="C3", quantity="-1", customer_id=""),
        )
    )
    assert returned_claims(happenings) == frozenset({("12345", "85123A")})
