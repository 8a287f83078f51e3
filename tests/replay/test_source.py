"""The file is read exactly or not at all: a misread line would be wrong money or wrong stock."""

from __future__ import annotations

import gzip
import io
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storekeeper.replay.source import SourceError, parse_pence, parse_rows, read_rows, rows_from
from tests.replay.rows import HEADER, csv_line, rows_of


def test_a_row_carries_every_column_typed():
    (row,) = rows_of(csv_line())
    assert row.line == 2
    assert (row.invoice_no, row.customer_id, row.country) == ("536365", "17850", "United Kingdom")
    assert (row.stock_code, row.description) == ("85123A", "WHITE HANGING HEART T-LIGHT HOLDER")
    assert (row.quantity, row.unit_price_pence, row.amount_pence) == (6, 255, 1530)


def test_an_order_in_summer_is_not_an_hour_late():
    winter, summer = rows_of(
        csv_line(at="2011-01-10T12:00"), csv_line(invoice_no="2", at="2011-07-10T12:00")
    )
    assert winter.at == datetime(2011, 1, 10, 12, 0, tzinfo=UTC)
    assert summer.at == datetime(2011, 7, 10, 11, 0, tzinfo=UTC)


def test_a_guest_is_no_customer_with_an_empty_number():
    (row,) = rows_of(csv_line(customer_id=""))
    assert row.customer_id is None


@pytest.mark.parametrize(
    ("text", "pence"),
    [("2.55", 255), ("0.29", 29), ("1.1", 110), ("7", 700), ("0.00", 0), ("-11062.06", -1106206)],
)
def test_a_price_loses_no_penny(text, pence):
    assert parse_pence(text) == pence


@given(st.integers(min_value=-(10**11), max_value=10**11))
def test_every_amount_of_pence_survives_being_written_and_read(pence):
    sign = "-" if pence < 0 else ""
    assert parse_pence(f"{sign}{abs(pence) // 100}.{abs(pence) % 100:02d}") == pence


@pytest.mark.parametrize(
    "text", ["", "2.555", "1,50", "1e2", "£2", "NaN", " 2.55", "\u0662.55", ".5"]
)
def test_a_price_that_would_have_to_be_guessed_is_refused(text):
    with pytest.raises(ValueError, match="unit_price_gbp"):
        parse_pence(text)


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (csv_line(quantity="six"), "quantity"),
        (csv_line(quantity="0"), "quantity"),
        (csv_line(quantity="1.5"), "quantity"),
        (csv_line(quantity="99999999"), "quantity"),
        (csv_line(price="2.555"), "unit_price_gbp"),
        (csv_line(at="01/12/2010 08:26"), "invoiced_at"),
        (csv_line(at="2010-12-01T08:26Z"), "names a zone"),
        (csv_line(invoice_no=" "), "invoice_no"),
        (csv_line(code=""), "stock_code"),
        (csv_line(code="A" * 65), "stock_code"),
        ("536365,2010-12-01T08:26", "2 fields where there are 8"),
        (csv_line(description='"cut'), "not CSV"),
    ],
)
def test_a_malformed_line_is_named_by_its_number(wrong, word):
    with pytest.raises(SourceError, match=word) as refused:
        rows_of(csv_line(), wrong)
    assert refused.value.line == 3
    assert str(refused.value).startswith("line 3: ")


def test_a_file_without_a_needed_column_is_refused_at_once():
    with pytest.raises(SourceError, match="lacks the column quantity, unit_price_gbp"):
        list(parse_rows([HEADER.replace(",quantity,unit_price_gbp", "")]))


def test_an_empty_file_is_not_taken_for_a_shop_without_sales():
    with pytest.raises(SourceError, match="lacks the column"):
        list(parse_rows([]))


def test_columns_in_another_order_and_extra_ones_are_fine():
    names = ["extra", *HEADER.split(",")[::-1]]
    fields = ["x", *csv_line().split(",")[::-1]]
    (row,) = parse_rows([",".join(names) + "\n", ",".join(fields) + "\n"])
    assert (row.invoice_no, row.quantity) == ("536365", 6)


def test_a_description_with_comma_quote_and_line_break_stays_one_field():
    first, second = rows_of(csv_line(description='"A ""B"", C\nD"'), csv_line())
    assert first.description == 'A "B", C\nD'
    assert (first.line, second.line) == (3, 4)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_file_is_read_whether_compressed_or_not_whatever_its_name(tmp_path, pack):
    path = tmp_path / "lines.txt"
    path.write_bytes(pack(f"\ufeff{HEADER}\r\n{csv_line()}\r\n".encode()))
    assert [row.unit_price_pence for row in read_rows(path)] == [255]


def test_a_compressed_file_cut_short_is_not_taken_for_the_whole():
    whole = gzip.compress("\n".join([HEADER, *([csv_line()] * 5_000)]).encode())
    with pytest.raises(SourceError, match="cut short or damaged"):
        list(rows_from(io.BytesIO(whole[:-200])))


def test_text_in_another_encoding_is_refused_with_its_line():
    data = f"{HEADER}\n{csv_line()}\n".encode() + csv_line(description="£10").encode("latin-1")
    with pytest.raises(SourceError, match="not UTF-8"):
        list(rows_from(io.BytesIO(data)))
