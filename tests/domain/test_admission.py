"""Group commit changes nothing but speed: together or one by one, the same is admitted."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from storekeeper.domain import catalog
from storekeeper.domain.changes import (
    ChangeSet,
    Check,
    Claim,
    Delete,
    LevelIs,
    Put,
    Release,
)
from storekeeper.domain.types import LocationId, ProductId
from storekeeper.domain.work import Setting
from tests.domain.shelf import Deciding, Plain
from tests.support.builders import a_movement, a_product, an_order, details
from tests.support.clock import START

PRODUCTS = tuple(ProductId(f"product-{sku}") for sku in ("MUG", "TEA"))
PLACES = tuple(LocationId(name) for name in ("main", "attic"))

ids = st.sampled_from(PRODUCTS)
places = st.sampled_from(PLACES)
versions = st.integers(1, 3)
settings_ids = st.sampled_from(("a", "b"))


def a_rule(id: ProductId, version: int, backorder: bool, threshold: int | None) -> ChangeSet:
    product = catalog.create(
        details(id, allow_backorder=backorder, low_stock_threshold=threshold), id=id, now=START
    )
    for _ in range(version - 1):
        product = catalog.revise(product, catalog.details_of(product), now=START)
    return ChangeSet(puts=(Put(product),))


def a_sale(
    id: ProductId, version: int, units: int, place: str, number: int, confirm: bool
) -> ChangeSet:
    product = a_product(id.removeprefix("product-"))
    _, change = an_order((product, units), id=f"order-{number}", location=place, confirm=confirm)
    return ChangeSet(
        puts=change.puts, checks=(Check("Product", id, version),), movements=change.movements
    )


rules = st.builds(a_rule, ids, versions, st.booleans(), st.one_of(st.none(), st.integers(0, 4)))
deletions = st.builds(
    lambda id, version: ChangeSet(deletes=(Delete("Product", id, version),), unreferenced=(id,)),
    ids,
    versions,
)
sales = st.builds(
    a_sale, ids, versions, st.integers(1, 4), places, st.integers(1, 9), st.booleans()
)
moves = st.builds(
    lambda movements: ChangeSet(movements=tuple(movements)),
    st.lists(
        st.builds(
            lambda id, place, on_hand, reserved: a_movement(
                id, on_hand, reserved=reserved, location=place
            ),
            ids,
            places,
            st.integers(-4, 6),
            st.integers(-2, 2),
        ),
        min_size=1,
        max_size=3,
    ),
)
counts = st.builds(
    lambda id, place, on_hand: ChangeSet(levels=(LevelIs(id, place, on_hand),)),
    ids,
    places,
    st.integers(0, 4),
)
records = st.one_of(
    st.builds(
        lambda id, version: ChangeSet(puts=(Put(Setting(id=id, version=version, value="")),)),
        settings_ids,
        versions,
    ),
    st.builds(
        lambda id, version: ChangeSet(deletes=(Delete("Setting", id, version),)),
        settings_ids,
        versions,
    ),
    st.builds(
        lambda id, version: ChangeSet(checks=(Check("Setting", id, version - 1),)),
        settings_ids,
        versions,
    ),
)
claims = st.builds(
    lambda value, owner, releases, takes: ChangeSet(
        claims=(Claim(scope="sku", value=value, owner=owner),) if takes else (),
        releases=(Release("sku", value),) if releases else (),
    ),
    st.sampled_from(("x", "y")),
    st.sampled_from(("ada", "bob")),
    st.booleans(),
    st.booleans(),
)
change_sets = st.one_of(
    moves,
    sales,
    rules,
    deletions,
    st.builds(ChangeSet.__add__, moves, counts),
    st.builds(ChangeSet.__add__, rules, moves),
    st.builds(ChangeSet.__add__, records, claims),
    st.builds(ChangeSet.__add__, claims, sales),
)
# Products and stock to begin with, so that not everything is refused.
opening = [
    a_rule(PRODUCTS[0], 1, False, 2),
    a_rule(PRODUCTS[1], 1, True, None),
    ChangeSet(movements=tuple(a_movement(id, 6, location=PLACES[0]) for id in PRODUCTS)),
]


@settings(max_examples=max(settings().max_examples, 150))
@given(arriving=st.lists(change_sets, max_size=25), cuts=st.sets(st.integers(0, 25)))
def test_what_is_admitted_and_what_it_leads_to_does_not_depend_on_the_batch(
    arriving: list[ChangeSet], cuts: set[int]
) -> None:
    """The same change sets in the same order: all in one batch, in batches cut anywhere, and one
    at a time by a store that is too simple to be wrong."""
    arriving = [*opening, *arriving]
    together, in_parts, plain = Deciding(), Deciding(), Plain()
    expected = [plain.commit(change) for change in arriving]
    assert together.commit(arriving) == expected
    assert together.kept == plain.kept
    edges = [0, *sorted(cut + len(opening) for cut in cuts if cut < len(arriving)), len(arriving)]
    outcomes = [
        outcome
        for start, end in pairwise(edges)
        for outcome in in_parts.commit(arriving[start:end])
    ]
    assert outcomes == expected
    assert in_parts.kept == plain.kept


@given(arriving=st.lists(change_sets, max_size=25))
def test_no_batch_leaves_more_promised_than_there_is(arriving: list[ChangeSet]) -> None:
    """Invariant 1, for every level of a product without backorder."""
    store = Deciding()
    store.commit([*opening, *arriving])
    for (id, _), (on_hand, reserved) in store.kept.levels.items():
        assert reserved >= 0
        assert on_hand >= reserved or store.kept.rules[id][2]
