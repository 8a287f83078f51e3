"""A value that goes out as a cell comes back the same, and no cell runs in a spreadsheet."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from storekeeper.domain.errors import Invalid
from storekeeper.domain.money import from_decimal_text
from storekeeper.services.csv_format import (
    bool_of,
    defuse,
    price_of,
    restore,
    rows_text,
    tags_cell,
    tags_of,
    texts_cell,
    texts_of,
    whole_of,
)

TRICKY = st.text(alphabet="'=+-@\t\r\n0123456789.aé\uff1d\",;", max_size=8)
TAGS = st.lists(
    st.text(alphabet="ab |\\é;'=", min_size=1, max_size=6).filter(
        lambda tag: tag == tag.strip() != ""
    ),
    max_size=5,
)


@given(TRICKY | st.text())
@example("'=1")
@example("''=1")
@example("'hello")
@example("-5")
@example("'-5")
@example("'")
def test_every_value_survives_being_defused(value: str) -> None:
    assert restore(defuse(value)) == value


@given(TRICKY | st.text())
def test_no_cell_that_is_no_number_begins_like_a_formula(value: str) -> None:
    cell = defuse(value)
    if cell[:1] in set("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"):
        float(cell)


@pytest.mark.parametrize("value", ["-5", "-12.50", "0", "19.99", "hello", "'hello", ""])
def test_numbers_and_harmless_text_stay_as_they_are(value: str) -> None:
    assert defuse(value) == value


@pytest.mark.parametrize("value", ["=1+1", "+1", "-A1", "@SUM(A1)", "\t=1", "-5+3", "-1e5"])
def test_what_a_spreadsheet_would_run_is_defused(value: str) -> None:
    assert defuse(value) == f"'{value}"


@given(st.lists(st.lists(TRICKY | st.text(), min_size=2, max_size=4), max_size=5))
def test_rows_survive_the_file(rows: list[list[str]]) -> None:
    text = rows_text(rows)
    back = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert [[restore(cell) for cell in row] for row in back] == rows


@given(TAGS)
def test_tags_survive_their_cell(tags: list[str]) -> None:
    assert list(tags_of(tags_cell(tags))) == tags


def test_tags_written_by_hand_may_have_spaces_around_the_bar() -> None:
    assert tags_of(" new | red | ") == ("new", "red")
    assert tags_of(r"a\b") == (r"a\b",)


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=4))
def test_names_and_values_survive_their_cell(values: dict[str, str]) -> None:
    assert texts_of(texts_cell(values), "attributes") == values


@pytest.mark.parametrize(
    ("cell", "currency", "amount"),
    [("19.99", "GBP", 1_999), ("5", "GBP", 500), (" 7.5 ", "EUR", 750), ("1200", "JPY", 1_200)],
)
def test_prices_are_read_exactly(cell: str, currency: str, amount: int) -> None:
    assert price_of(cell, currency).amount == amount


@given(
    st.from_regex(r"-?[0-9]{1,15}(\.[0-9]{1,6})?", fullmatch=True),
    st.sampled_from(["GBP", "JPY", "KWD"]),
)
@example("-0.5", "GBP")
@example("007.50", "GBP")
@example("999999999.99", "GBP")
@example("9999999999999", "GBP")
@example("1.50", "JPY")
@example("1.000", "GBP")
def test_prices_are_read_as_decimal_arithmetic_has_them(cell: str, currency: str) -> None:
    try:
        expected: int | str = from_decimal_text(cell, currency)
    except Invalid as error:
        expected = error.detail
    try:
        found: int | str = price_of(cell, currency).amount
    except Invalid as error:
        found = error.detail
    assert found == expected


@pytest.mark.parametrize("cell", ["", "1,50", "1.999", "£5", "1e3", "1_000", "NaN", "9" * 20])
def test_a_price_that_could_be_misread_is_refused(cell: str) -> None:
    with pytest.raises(Invalid) as refusal:
        price_of(cell, "GBP")
    assert refusal.value.field == "price"


@pytest.mark.parametrize("cell", ["maybe", "2", "ja"])
def test_only_yes_and_no_are_yes_and_no(cell: str) -> None:
    assert bool_of(" TRUE ", "x", False) is True
    assert bool_of("", "x", True) is True
    with pytest.raises(Invalid):
        bool_of(cell, "x", False)


@pytest.mark.parametrize("cell", ["1.0", "\u0661", "1e3", "", " ", "--1"])
def test_only_whole_numbers_are_counts(cell: str) -> None:
    with pytest.raises(Invalid):
        whole_of(cell, "on_hand")
