"""Money is exact: no rounding, no mixing of currencies, no amount that can't be said."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storekeeper.domain.errors import Invalid
from storekeeper.domain.money import (
    MINOR_DIGITS,
    Money,
    by_percent,
    check_currency,
    from_decimal_text,
    to_decimal_text,
    total,
)
from storekeeper.domain.types import MAX_AMOUNT

currencies = st.sampled_from(sorted(MINOR_DIGITS))
amounts = st.integers(-MAX_AMOUNT, MAX_AMOUNT)


@given(amount=st.integers(-MAX_AMOUNT // 1_000, MAX_AMOUNT // 1_000), currency=currencies)
def test_an_amount_survives_being_written_and_read(amount: int, currency: str) -> None:
    assert from_decimal_text(to_decimal_text(amount, currency), currency) == amount


@given(amount=amounts, currency=currencies)
def test_the_text_says_the_amount_exactly(amount: int, currency: str) -> None:
    said = Decimal(to_decimal_text(amount, currency))
    assert said == Decimal(amount).scaleb(-MINOR_DIGITS[currency])


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (1999, "GBP", "19.99"),
        (5, "GBP", "0.05"),
        (-5, "GBP", "-0.05"),
        (0, "GBP", "0.00"),
        (1999, "JPY", "1999"),
        (1999, "KWD", "1.999"),
    ],
)
def test_each_currency_has_its_own_digits(amount: int, currency: str, text: str) -> None:
    assert to_decimal_text(amount, currency) == text
    assert str(Money(amount=amount, currency=currency)) == f"{text} {currency}"
    assert from_decimal_text(text, currency) == amount


@pytest.mark.parametrize(
    ("text", "amount"),
    [("19.9", 1990), ("19", 1900), (" 19.99 ", 1999), ("19.990", 1999), ("1e2", 10_000)],
)
def test_people_may_write_fewer_digits(text: str, amount: int) -> None:
    assert from_decimal_text(text, "GBP") == amount


@pytest.mark.parametrize(
    "text",
    ["", "abc", "1,99", "19.999", "NaN", "Infinity", "-Infinity", "1e400", "£5", "0x10", "1 2"],
)
def test_what_is_no_exact_amount_is_refused_and_names_the_field(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        from_decimal_text(text, "GBP", field="price")
    assert caught.value.field == "price"


@given(text=st.text(max_size=20), currency=currencies)
def test_any_text_is_read_or_refused(text: str, currency: str) -> None:
    try:
        amount = from_decimal_text(text, currency)
    except Invalid:
        return
    assert isinstance(amount, int)


@given(values=st.lists(amounts, max_size=20), currency=currencies)
def test_a_total_is_the_sum(values: list[int], currency: str) -> None:
    found = total([Money(amount=value, currency=currency) for value in values], currency)
    assert found == Money(amount=sum(values), currency=currency)


@given(amount=amounts, quantity=st.integers(0, 1_000))
def test_many_times_a_price_is_the_price_added_so_often(amount: int, quantity: int) -> None:
    price = Money(amount=amount, currency="GBP")
    assert price * quantity == total([price] * quantity, "GBP")


def test_two_currencies_don_t_add_up() -> None:
    with pytest.raises(Invalid):
        Money(amount=1, currency="GBP") + Money(amount=1, currency="EUR")


@pytest.mark.parametrize("code", ["XXX", "gbp", "", "GB", "DEM", "£"])
def test_a_currency_that_is_not_in_use_is_refused(code: str) -> None:
    with pytest.raises(Invalid):
        check_currency(code)


def test_a_currency_in_use_is_taken() -> None:
    assert [check_currency(code) for code in ("GBP", "JPY", "TND")] == ["GBP", "JPY", "TND"]


@pytest.mark.parametrize(
    ("amount", "percent", "after"),
    [
        (1_000, "10", 1_100),
        (999, "-10", 899),
        (50, "-1", 50),
        (50, "1", 51),
        (1, "-100", 0),
        (10**12, "0.0000000001", 10**12 + 1),
    ],
)
def test_a_price_changed_by_percent_is_whole_minor_units(amount: int, percent: str, after: int):
    assert by_percent(amount, Decimal(percent)) == after
