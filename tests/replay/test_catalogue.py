"""The catalogue shows each product once, under its own name and at its present price."""

from __future__ import annotations

import pytest

from storekeeper.replay.catalogue import catalogue_of
from storekeeper.replay.codes import CodeKind, is_note
from tests.replay.rows import correction, csv_line, rows_of


def product_of(*lines):
    (product,) = catalogue_of(rows_of(*lines))
    return product


def test_one_code_in_two_cases_is_one_product_and_not_two_halves_of_its_stock():
    product = product_of(csv_line(code="85123A"), csv_line(code="85123a"))
    assert product.sku == "85123A"


def test_the_name_is_the_latest_and_not_a_note_about_damage():
    product = product_of(
        csv_line(description="HAND WARMER RED RETROSPOT"),
        csv_line(description="HAND WARMER  RED POLKA DOT"),
        correction(description="damages"),
        correction(description="?"),
        correction(description="nan"),
    )
    assert product.name == "HAND WARMER RED POLKA DOT"


def test_a_name_in_small_letters_is_kept_where_a_price_shows_that_it_is_one():
    assert product_of(csv_line(description="Dad's Cab Electronic Meter")).name == (
        "Dad's Cab Electronic Meter"
    )


def test_a_product_that_never_had_a_price_still_gets_its_name():
    product = product_of(
        correction(quantity="4", description="TRAVEL CARD WALLET DOTCOMGIFTSHOP"),
        correction(description="mailout"),
    )
    assert product.name == "TRAVEL CARD WALLET DOTCOMGIFTSHOP"
    assert product.price_pence is None


def test_a_product_known_from_notes_alone_goes_by_its_sku():
    assert product_of(correction(code="72140F", description="throw away")).name == "72140F"


def test_the_price_is_the_latest_that_was_charged_and_not_0_or_an_old_one_given_back():
    product = product_of(
        csv_line(price="2.55"),
        csv_line(price="2.95"),
        csv_line(invoice_no="C9", quantity="-1", price="2.55"),
        csv_line(price="0.00"),
    )
    assert product.price_pence == 295


def test_a_product_that_only_came_back_is_priced_by_what_it_was_worth():
    assert product_of(csv_line(invoice_no="C9", quantity="-1", price="4.25")).price_pence == 425


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("85123A", CodeKind.GOODS),
        ("DCGS0076", CodeKind.GOODS),
        ("POST", CodeKind.EXTRA),
        ("DOT", CodeKind.EXTRA),
        ("C2", CodeKind.EXTRA),
        ("D", CodeKind.EXTRA),
        ("M", CodeKind.EXTRA),
        ("m", CodeKind.EXTRA),
        ("S", CodeKind.EXTRA),
        ("PADS", CodeKind.EXTRA),
        ("gift_0001_20", CodeKind.EXTRA),
        ("BANK CHARGES", CodeKind.FEE),
        ("AMAZONFEE", CodeKind.FEE),
        ("B", CodeKind.FEE),
        ("CRUK", CodeKind.FEE),
    ],
)
def test_only_goods_have_stock_that_can_run_out(code, kind):
    product = product_of(csv_line(code=code))
    assert product.kind is kind
    assert product.tracks_stock == (kind is CodeKind.GOODS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nan",
        "?",
        "damages",
        "Found",
        "FOUND",
        "FBA",
        "wrong code?",
        "sold as 22467",
        "POSSIBLE DAMAGES OR LOST?",
        "MERCHANT CHANDLER CREDIT ERROR, STO",
        "damages/credits from ASOS.",
    ],
)
def test_a_remark_is_told_from_a_name(text):
    assert is_note(text)


@pytest.mark.parametrize(
    "text", ["POLYESTER FILLER PAD 45x45cm", "BINGO SET", "OWL DOORSTOP", 'RETRO "TEA FOR ONE"']
)
def test_a_name_is_not_taken_for_a_remark(text):
    assert not is_note(text)
