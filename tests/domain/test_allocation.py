"""Which location serves a line: all units are given out, none twice, in the shop's order."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storekeeper.domain.allocation import (
    STRATEGIES,
    Strategy,
    by_priority,
    from_one,
    one_if_possible,
)
from storekeeper.domain.catalog import Product
from storekeeper.domain.ordering import WantedLine
from storekeeper.domain.orders import Allocation
from storekeeper.domain.types import LocationId, ProductId
from tests.support.builders import a_product

PRODUCTS = [a_product(sku) for sku in ("MUG", "TEA")]
VOUCHER = a_product("VOUCHER", track_stock=False)
PLACES = tuple(LocationId(name) for name in ("front", "attic", "depot"))
MUG = PRODUCTS[0]

lines = st.lists(
    st.tuples(st.sampled_from([*PRODUCTS, VOUCHER]), st.integers(1, 9)), min_size=1, max_size=6
)
levels = st.fixed_dictionaries(
    {},
    optional={
        product.id: st.fixed_dictionaries(
            {}, optional={place: st.integers(-3, 9) for place in PLACES}
        )
        for product in PRODUCTS
    },
)
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES.keys())


def wanted(*pairs: tuple[Product, int]) -> list[WantedLine]:
    return [WantedLine(product=product, quantity=quantity) for product, quantity in pairs]


def units_of(allocations: tuple[Allocation, ...]) -> dict[str, int]:
    return {allocation.location_id: allocation.quantity for allocation in allocations}


@every_strategy
@given(pairs=lines, available=levels)
def test_every_tracked_unit_is_given_out_exactly_once(
    strategy: Strategy,
    pairs: list[tuple[Product, int]],
    available: dict[ProductId, dict[LocationId, int]],
) -> None:
    found = strategy(wanted(*pairs), PLACES, available)
    for number, (product, quantity) in enumerate(pairs, start=1):
        if product.track_stock:
            assert sum(units_of(found[number]).values()) == quantity
            assert all(allocation.quantity > 0 for allocation in found[number])
            assert len(units_of(found[number])) == len(found[number])
        else:
            assert number not in found


@every_strategy
@given(pairs=lines, available=levels)
def test_no_location_gives_more_than_it_has_where_there_is_enough(
    strategy: Strategy,
    pairs: list[tuple[Product, int]],
    available: dict[ProductId, dict[LocationId, int]],
) -> None:
    asked: Counter[ProductId] = Counter()
    for product, quantity in pairs:
        asked[product.id] += quantity
    given_out: Counter[tuple[ProductId, str]] = Counter()
    for number, allocations in strategy(wanted(*pairs), PLACES, available).items():
        for allocation in allocations:
            given_out[pairs[number - 1][0].id, allocation.location_id] += allocation.quantity
    for (product_id, place), units in given_out.items():
        levels_there = available.get(product_id, {})
        if sum(max(0, level) for level in levels_there.values()) >= asked[product_id]:
            assert units <= levels_there.get(LocationId(place), 0)


@given(pairs=lines, available=levels)
def test_what_is_missing_is_asked_of_the_first_location_so_that_its_guard_names_it(
    pairs: list[tuple[Product, int]], available: dict[ProductId, dict[LocationId, int]]
) -> None:
    given_out: Counter[tuple[ProductId, str]] = Counter()
    for number, allocations in by_priority(wanted(*pairs), PLACES, available).items():
        for allocation in allocations:
            given_out[pairs[number - 1][0].id, allocation.location_id] += allocation.quantity
    for (product_id, place), units in given_out.items():
        if place != PLACES[0]:
            assert units <= available[product_id][LocationId(place)]


def test_priority_takes_from_the_first_location_as_far_as_it_goes() -> None:
    available = {MUG.id: {PLACES[0]: 2, PLACES[1]: 1, PLACES[2]: 9}}
    found = by_priority(wanted((MUG, 2), (MUG, 3)), PLACES, available)
    assert units_of(found[1]) == {"front": 2}
    assert units_of(found[2]) == {"attic": 1, "depot": 2}


def test_one_parcel_is_better_than_two() -> None:
    mug, tea = PRODUCTS
    available = {mug.id: {PLACES[0]: 9, PLACES[1]: 5}, tea.id: {PLACES[0]: 1, PLACES[1]: 5}}
    found = one_if_possible(wanted((mug, 2), (tea, 2)), PLACES, available)
    assert units_of(found[1]) == units_of(found[2]) == {"attic": 2}


def test_without_a_location_that_has_all_the_order_is_split() -> None:
    available = {MUG.id: {PLACES[0]: 2, PLACES[1]: 2}}
    found = one_if_possible(wanted((MUG, 3)), PLACES, available)
    assert units_of(found[1]) == {"front": 2, "attic": 1}


def test_a_product_twice_in_an_order_needs_the_sum_at_one_location() -> None:
    available = {MUG.id: {PLACES[0]: 3, PLACES[1]: 4}}
    found = one_if_possible(wanted((MUG, 2), (MUG, 2)), PLACES, available)
    assert units_of(found[1]) == units_of(found[2]) == {"attic": 2}


def test_a_shop_with_one_location_needs_no_levels() -> None:
    found = from_one(wanted((MUG, 3), (VOUCHER, 1)), PLACES[0])
    assert {number: units_of(allocations) for number, allocations in found.items()} == {
        1: {"front": 3}
    }
