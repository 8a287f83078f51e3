"""Each invoice becomes what it was: an order, a return, a correction, or money only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storekeeper.replay.happenings import Adjustment, Bookkeeping, Return, Sale, stock_changes
from storekeeper.replay.opening import opening_stock
from storekeeper.replay.plan import plan
from storekeeper.replay.source import SourceError
from tests.replay.rows import correction, csv_line, rows_of


def planned(*lines):
    return list(plan(rows_of(*lines)))


def test_an_invoice_is_one_order_with_all_its_lines_as_they_stand():
    (sale,) = planned(
        csv_line(code="85123a", quantity="6", price="2.55"),
        csv_line(code="71053", quantity="2", price="3.39"),
        csv_line(code="85123A", quantity="1", price="2.10"),
    )
    assert isinstance(sale, Sale)
    assert (sale.reference, sale.customer_id, sale.country) == ("536365", "17850", "United Kingdom")
    assert [(line.sku, line.quantity, line.unit_price_pence) for line in sale.lines] == [
        ("85123A", 6, 255),
        ("71053", 2, 339),
        ("85123A", 1, 210),
    ]
    assert sale.amount_pence == 6 * 255 + 2 * 339 + 210


def test_an_invoice_typed_over_two_minutes_between_others_is_not_two_orders():
    first, second, third = planned(
        csv_line(invoice_no="1", at="2011-02-01T11:19"),
        csv_line(invoice_no="C2", at="2011-02-01T11:19", quantity="-1"),
        csv_line(invoice_no="1", at="2011-02-01T11:20"),
        csv_line(invoice_no="3", at="2011-02-01T11:21"),
    )
    assert [first.reference, second.reference, third.reference] == ["1", "C2", "3"]
    assert isinstance(first, Sale)
    assert len(first.lines) == 2
    assert first.at.minute == 19


def test_an_invoice_number_used_again_later_is_not_merged_in_silence():
    with pytest.raises(SourceError, match="invoice 1 goes on more than 1:00:00 after") as refused:
        planned(
            csv_line(invoice_no="1", at="2011-02-01T11:00"),
            csv_line(invoice_no="2", at="2011-02-01T12:30"),
            csv_line(invoice_no="1", at="2011-02-01T12:31"),
        )
    assert refused.value.line == 4


def test_a_file_out_of_order_is_refused_as_stock_would_be_derived_wrongly():
    with pytest.raises(SourceError, match="sort by invoiced_at"):
        planned(
            csv_line(invoice_no="1", at="2011-02-02T11:00"),
            csv_line(invoice_no="2", at="2011-02-01T11:00"),
        )


def test_an_invoice_of_two_customers_is_refused_as_one_would_see_the_others_order():
    with pytest.raises(SourceError, match="two customers"):
        planned(csv_line(customer_id="1"), csv_line(customer_id="2"))


def test_carriage_and_gifts_at_price_0_stay_on_the_order():
    (sale,) = planned(csv_line(), csv_line(code="POST", price="18.00"), csv_line(price="0.00"))
    assert isinstance(sale, Sale)
    assert [line.sku for line in sale.lines] == ["85123A", "POST", "85123A"]
    assert list(stock_changes(sale)) == [("85123A", -6), ("85123A", -6)]


def test_goods_that_come_back_are_a_return_and_carriage_credited_with_them_is_only_money():
    (returned,) = planned(
        csv_line(invoice_no="C1", quantity="-2", price="2.55"),
        csv_line(invoice_no="C1", code="POST", quantity="-1", price="18.00"),
    )
    assert isinstance(returned, Return)
    assert [(line.sku, line.quantity) for line in returned.lines] == [("85123A", 2)]
    assert [(line.sku, line.quantity) for line in returned.credits] == [("POST", -1)]
    assert returned.amount_pence == 510
    assert list(stock_changes(returned)) == [("85123A", 2)]


@pytest.mark.parametrize("code", ["D", "M", "S", "POST", "AMAZONFEE", "CRUK"])
def test_a_credit_without_goods_brings_nothing_back_into_stock(code):
    (booked,) = planned(csv_line(invoice_no="C1", code=code, quantity="-1", price="27.50"))
    assert isinstance(booked, Bookkeeping)
    assert booked.amount_pence == -2750
    assert list(stock_changes(booked)) == []


def test_a_cancellation_with_a_positive_quantity_is_refused_as_it_could_mean_two_things():
    with pytest.raises(SourceError, match="its quantity is positive"):
        planned(csv_line(invoice_no="C1", quantity="2"))


def test_a_write_off_is_an_adjustment_with_its_note():
    (written_off,) = planned(correction(quantity="-10", description="damages"))
    assert isinstance(written_off, Adjustment)
    assert (written_off.sku, written_off.quantity, written_off.note) == ("85123A", -10, "damages")
    assert written_off.reference == "536589/1"


@pytest.mark.parametrize("description", ["", "nan"])
def test_an_adjustment_without_a_remark_has_none_made_up(description):
    (adjusted,) = planned(correction(description=description))
    assert isinstance(adjusted, Adjustment)
    assert adjusted.note is None


@pytest.mark.parametrize("description", ["nan", "found", "?"])
def test_stock_that_was_found_is_not_a_gift_to_nobody(description):
    (found,) = planned(correction(quantity="56", description=description))
    assert isinstance(found, Adjustment)
    assert found.quantity == 56


@pytest.mark.parametrize(
    "line",
    [
        csv_line(price="0.00", description="found"),
        csv_line(customer_id="", price="0.00"),
        csv_line(customer_id="", price="2.55", description="nan"),
    ],
    ids=["a customer", "a product's name", "a price"],
)
def test_a_line_without_price_is_a_sale_where_anything_tells_of_a_buyer(line):
    (sale,) = planned(line)
    assert isinstance(sale, Sale)


def test_a_nameless_line_belongs_to_the_order_that_its_neighbours_are():
    (sale,) = planned(
        csv_line(customer_id="", description="nan", price="0.00"),
        csv_line(customer_id="", code="M", description="Manual", price="924.59"),
    )
    assert isinstance(sale, Sale)
    assert len(sale.lines) == 2


def test_fees_and_bad_debts_are_neither_orders_nor_revenue():
    fee, *debts = planned(
        csv_line(invoice_no="1", customer_id="", code="AMAZONFEE", quantity="1", price="13541.33"),
        csv_line(invoice_no="A2", customer_id="", code="B", quantity="1", price="11062.06"),
        csv_line(invoice_no="A3", customer_id="", code="B", quantity="1", price="-11062.06"),
    )
    assert isinstance(fee, Bookkeeping)
    assert all(isinstance(debt, Bookkeeping) for debt in debts)
    assert fee.amount_pence == 1354133


def test_what_does_not_fit_its_invoice_is_set_beside_it_and_not_dropped():
    sale, adjusted, booked = planned(
        csv_line(),
        csv_line(code="71053", quantity="-2", price="0.00"),
        csv_line(code="D", quantity="-1", price="5.00"),
        csv_line(code="71053", quantity="1", price="-3.00"),
    )
    assert isinstance(sale, Sale)
    assert isinstance(adjusted, Adjustment)
    assert isinstance(booked, Bookkeeping)
    assert (adjusted.sku, adjusted.quantity) == ("71053", -2)
    assert booked.amount_pence == -800
    assert [sale.reference, adjusted.reference, booked.reference] == [
        "536365",
        "536365/2",
        "536365/money",
    ]


def test_the_opening_stock_is_just_enough_for_the_deepest_point():
    opening = opening_stock(
        plan(
            rows_of(
                csv_line(invoice_no="1", quantity="6"),
                csv_line(invoice_no="C2", quantity="-2"),
                csv_line(invoice_no="3", quantity="5"),
                correction(invoice_no="4", quantity="20", description="found"),
                csv_line(invoice_no="5", quantity="10"),
                csv_line(invoice_no="6", code="71053", quantity="1"),
                correction(invoice_no="7", code="22423", quantity="3", description="found"),
                csv_line(invoice_no="8", code="POST", quantity="1"),
            )
        )
    )
    assert opening == {"85123A": 9, "71053": 1, "22423": 0}


@given(
    st.lists(
        st.tuples(st.sampled_from(["85123A", "71053"]), st.integers(-50, 50).filter(bool)),
        min_size=1,
        max_size=30,
    )
)
def test_with_the_opening_stock_nothing_is_ever_oversold_and_not_a_unit_lies_idle(moves):
    happenings = planned(
        *(
            csv_line(invoice_no=str(number), code=code, quantity=str(quantity), price="0.00")
            for number, (code, quantity) in enumerate(moves)
        )
    )
    opening = opening_stock(happenings)
    on_hand = dict(opening)
    lowest = dict(opening)
    for happening in happenings:
        for sku, change in stock_changes(happening):
            on_hand[sku] += change
            lowest[sku] = min(lowest[sku], on_hand[sku])
    assert all(units >= 0 for units in lowest.values())
    assert all(lowest[sku] == 0 for sku, units in opening.items() if units)
