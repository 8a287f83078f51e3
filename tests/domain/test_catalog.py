"""A product's details make sense together, and its SKU and options are its own."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storekeeper.domain import catalog
from storekeeper.domain.catalog import ProductDetails
from storekeeper.domain.errors import Invalid
from storekeeper.domain.money import Money
from storekeeper.domain.types import MAX_AMOUNT, ProductId, fold_sku
from tests.support.builders import a_product, details, pounds, revised
from tests.support.clock import START

PARENT = ProductId("parent")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"price": Money(amount=1, currency="XXX")}, "price.currency"),
        ({"price": -1}, "price.amount"),
        ({"price": MAX_AMOUNT + 1}, "price.amount"),
        ({"tags": ("new", "new")}, "tags"),
        ({"is_parent": True, "parent_id": PARENT, "options": {"size": "L"}}, "parent_id"),
        ({"parent_id": PARENT}, "options"),
        ({"allow_backorder": True, "track_stock": False}, "allow_backorder"),
        ({"is_parent": True, "allow_backorder": True}, "is_parent"),
        ({"is_parent": True, "low_stock_threshold": 1}, "is_parent"),
    ],
)
def test_details_that_contradict_each_other_are_refused(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        catalog.check(details(**fields))
    assert caught.value.field == field


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"price": 0},
        {"price": MAX_AMOUNT},
        {"track_stock": False},
        {"allow_backorder": True},
        {"is_parent": True},
        {"parent_id": PARENT, "options": {"size": "L"}},
    ],
)
def test_sound_details_are_taken(fields: dict[str, Any]) -> None:
    catalog.check(details(**fields))


@pytest.mark.parametrize(
    ("one", "other"), [("85123A", "85123a"), (" mug ", "MUG"), ("STRASSE", "straße")]
)
def test_skus_that_look_the_same_are_the_same(one: str, other: str) -> None:
    assert fold_sku(one) == fold_sku(other)


@pytest.mark.parametrize("sku", ["", " MUG", "MUG ", "M\tUG", "MUG\n", "x" * 65, "\x7f"])
def test_a_sku_that_can_t_be_told_apart_by_eye_is_refused(sku: str) -> None:
    body = msgspec.json.encode({"sku": sku, "name": "x", "price": pounds(1)})
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=ProductDetails)


def test_variants_are_told_apart_by_their_options_not_by_how_they_are_written() -> None:
    one = details("A", parent_id=PARENT, options={"Size": "L", "Colour": "Red"})
    same = details("B", parent_id=PARENT, options={"colour": "red", "size": "l"})
    other = details("C", parent_id=PARENT, options={"size": "M", "colour": "red"})
    assert catalog.claims(one)["variant"] == catalog.claims(same)["variant"]
    assert catalog.claims(one)["variant"] != catalog.claims(other)["variant"]
    assert set(catalog.claims(details("D"))) == {"sku"}


@given(
    first=st.dictionaries(st.text(min_size=1), st.text(min_size=1), min_size=1, max_size=3),
    second=st.dictionaries(st.text(min_size=1), st.text(min_size=1), min_size=1, max_size=3),
)
def test_different_options_never_collide(first: dict[str, str], second: dict[str, str]) -> None:
    def folded(options: dict[str, str]) -> list[tuple[str, str]]:
        return sorted((name.casefold(), value.casefold()) for name, value in options.items())

    claims = [
        catalog.claims(details(parent_id=PARENT, options=options))["variant"]
        for options in (first, second)
    ]
    assert (claims[0] == claims[1]) == (folded(first) == folded(second))


def test_a_revision_keeps_identity_and_birth() -> None:
    product = a_product("MUG")
    changed = catalog.revise(product, details("CUP", price=1), now=START)
    assert (changed.id, changed.version, changed.created_at) == (product.id, 2, START)
    assert changed.sku == "CUP"
    assert catalog.details_of(changed) == details("CUP", price=1)


def test_a_product_stays_the_kind_that_it_is() -> None:
    with pytest.raises(Invalid):
        revised(a_product("MUG"), is_parent=True)
    with pytest.raises(Invalid):
        revised(a_product("SHIRT", is_parent=True), is_parent=False)


def test_only_active_products_that_are_no_parents_are_sold() -> None:
    assert a_product("MUG").is_sellable
    assert not a_product("MUG", status="archived").is_sellable
    assert not a_product("SHIRT", is_parent=True).is_sellable
