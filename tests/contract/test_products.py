"""Listing the catalogue agrees with looking through it by hand; words find what people mean."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import ChangeSet
from storekeeper.domain.errors import Invalid
from storekeeper.domain.types import ProductId
from storekeeper.store.port import Listed, ProductQuery, ProductSort, Store
from tests.contract.paging import all_items
from tests.support.builders import (
    a_movement,
    a_product,
    an_order,
    changing,
    creating,
    deleting,
    moving,
    revised,
)
from tests.support.clock import START
from tests.support.shop import Engine, Shop, shop_at

NAMES = ("Mug", "mug", "Élan", "tea pot", "Zebra")
CATEGORIES = (None, "China", "china", "Garden")
TAGS = ("new", "Blue", "sale")
PRICES = (0, 100, 250, 999)
SORTS: tuple[ProductSort, ...] = ("name", "-name", "price", "-price", "created", "-created")

shelf = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(NAMES),
            "price": st.sampled_from(PRICES),
            "category": st.sampled_from(CATEGORIES),
            "tags": st.lists(st.sampled_from(TAGS), unique=True).map(tuple),
            "status": st.sampled_from(["active", "active", "archived"]),
            "track_stock": st.booleans(),
            "kind": st.sampled_from(["plain", "parent", "variant", "variant"]),
            "stock": st.integers(0, 2),
            "ordered": st.integers(0, 2),
            "reorder_point": st.sampled_from((None, 0, 1)),
            "location": st.sampled_from(("main", "attic")),
            "born": st.integers(0, 3),
        }
    ),
    max_size=12,
)
maybe_price = st.one_of(st.none(), st.sampled_from(PRICES))
queries = st.builds(
    ProductQuery,
    category=st.sampled_from((None, "china", "GARDEN", "none")),
    tag=st.sampled_from((None, "blue", "NEW", "none")),
    min_price=maybe_price,
    max_price=maybe_price,
    in_stock=st.sampled_from((None, True, False)),
    is_low=st.sampled_from((None, None, True, False)),
    location_id=st.sampled_from((None, None, "main", "attic")),
    status=st.sampled_from(("active", "archived", None)),
    sort=st.sampled_from(SORTS),
    limit=st.integers(1, 5),
)


def can_be_had(item: Listed, items: list[Listed]) -> bool:
    """What is in stock, said plainly: a parent is where one of its active variants is."""
    product = item.product
    if product.is_parent:
        return any(
            can_be_had(other, items)
            for other in items
            if other.product.parent_id == product.id and other.product.status == "active"
        )
    return item.stock.available > 0 or product.allow_backorder or not product.track_stock


def belongs(
    item: Listed, query: ProductQuery, items: list[Listed], stocked: set[tuple[ProductId, str]]
) -> bool:
    """The filters, said plainly."""
    product = item.product
    return (
        (query.status is None or product.status == query.status)
        and (
            query.category is None
            or (product.category or "").casefold() == query.category.casefold()
        )
        and (query.tag is None or query.tag.casefold() in {tag.casefold() for tag in product.tags})
        and (query.min_price is None or product.price.amount >= query.min_price)
        and (query.max_price is None or product.price.amount <= query.max_price)
        and (query.in_stock is None or can_be_had(item, items) == query.in_stock)
        and (query.is_low is None or is_low(item) == query.is_low)
        and (query.location_id is None or (product.id, query.location_id) in stocked)
    )


def is_low(item: Listed) -> bool:
    product, threshold = item.product, item.product.low_stock_threshold
    return product.track_stock and threshold is not None and item.stock.available <= threshold


def sort_key(sort: ProductSort, number: dict[ProductId, int]) -> Any:
    """The order that a list promises; what is equal in it stands as it was made."""
    field = sort.removeprefix("-")

    def key(item: Listed) -> tuple[Any, int]:
        product = item.product
        values = {
            "name": product.name.casefold(),
            "price": product.price.amount,
            "created": product.created_at,
        }
        return values[field], number[product.id]

    return key


@given(shelf=shelf, asked=st.lists(queries, min_size=1, max_size=6))
def test_every_filter_and_sort_order_gives_what_a_look_by_hand_gives(
    engine: Engine, places: Iterator[Path], shelf: list[dict[str, Any]], asked: list[ProductQuery]
) -> None:
    """A customer who filters sees all that fits, nothing else, in the order asked for."""

    async def run() -> None:
        async with shop_at(engine, next(places)) as shop:
            await stock_shelf(shop, shelf)
            ids = [page.id async for batch in shop.store.scan(Product) for page in batch]
            items = list((await shop.store.listed(ids)).values())
            number = {id: place for place, id in enumerate(ids)}
            levels = await shop.store.levels(ids)
            stocked = {(level.product_id, str(level.location_id)) for level in levels}
            for query in asked:
                fitting = [item for item in items if belongs(item, query, items, stocked)]
                fitting.sort(key=sort_key(query.sort, number), reverse=query.sort.startswith("-"))
                assert await found(shop.store, query) == fitting
            assert all(item.in_stock == can_be_had(item, items) for item in items)

    asyncio.run(run())


async def found(store: Store, query: ProductQuery) -> list[Listed]:
    fields = {name: getattr(query, name) for name in ProductQuery.__struct_fields__}
    return await all_items(
        lambda limit, at: store.products(ProductQuery(**{**fields, "limit": limit, "cursor": at})),
        query.limit,
    )


async def stock_shelf(shop: Shop, shelf: list[dict[str, Any]]) -> None:
    parent: Product | None = None
    for number, row in enumerate(shelf):
        fields = dict(row)
        stock, ordered, born, kind, point, location = (
            fields.pop(name)
            for name in ("stock", "ordered", "born", "kind", "reorder_point", "location")
        )
        if kind == "variant" and parent is not None:
            fields |= {"parent_id": parent.id, "options": {"number": str(number)}}
        product = a_product(
            f"P{number}",
            now=START + timedelta(hours=born),
            is_parent=kind == "parent",
            low_stock_threshold=None if kind == "parent" else point,
            **fields,
        )
        parent = product if product.is_parent else parent
        change = creating(product)
        if product.track_stock and stock and not product.is_parent:
            reserved = min(stock, ordered)
            change += ChangeSet(
                movements=(a_movement(product, stock, reserved=reserved, location=location),)
            )
        await shop.store.commit(change)


async def skus(store: Store, words: str, **fields: Any) -> list[str]:
    page = await store.products(ProductQuery(words=words, **fields))
    return [item.product.sku for item in page.items]


@pytest.fixture
async def library(store: Store) -> Store:
    """A few products with words in every place that is searched."""
    await store.commit(
        creating(
            a_product("85123A", name="White hanging heart T-light holder", category="Lighting"),
            a_product("22-HEART", name="Red woolly hottie", description="With a heart in white."),
            a_product("CAFÉ-1", name="Café crème set", tags=("crème brûlée",)),
            a_product("NAÏVE", name="Naïve Müller straße", category="Kunst"),
            a_product("OLD", name="White elephant", status="archived"),
            a_product("O'NEIL", name="Rock'n'roll \"quoted\" 100% cotton; AND/OR (near)"),
        )
    )
    return store


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("hanging", ["85123A"]),
        ("HANGING holder", ["85123A"]),
        ("white heart", ["22-HEART", "85123A"]),
        ("white hott", ["22-HEART"]),
        ("hea", ["22-HEART", "85123A"]),
        ("h", ["22-HEART", "85123A"]),
        ("85123", ["85123A"]),
        ("85123a", ["85123A"]),
        ("22-heart", ["22-HEART"]),
        ("22 heart", ["22-HEART"]),
        ("t-light", ["85123A"]),
        ("T-LIGHT.", ["85123A"]),
        ("cafe", ["CAFÉ-1"]),
        ("café", ["CAFÉ-1"]),
        ("cafe\u0301 cre\u0300me", ["CAFÉ-1"]),
        ("brulee", ["CAFÉ-1"]),
        ("naive muller", ["NAÏVE"]),
        ("NAÏ", ["NAÏVE"]),
        ("kunst", ["NAÏVE"]),
        ("lighting", ["85123A"]),
        ("rock'n'roll", ["O'NEIL"]),
        ('"quoted', ["O'NEIL"]),
        ("100%", ["O'NEIL"]),
        ("and/or", ["O'NEIL"]),
        ("NEAR(cotton)", ["O'NEIL"]),
        ("cotton near", ["O'NEIL"]),
        ("NOT white", []),
        ("sku:85123A", []),
        ("* cotton *", ["O'NEIL"]),
        ("elephant", []),
        ("hear holder", []),
        ("nothing", []),
    ],
)
async def test_words_find_what_a_person_means(
    library: Store, words: str, expected: list[str]
) -> None:
    """Accents, capitals, punctuation and an unfinished last word don't matter; operators of the
    search engine are plain words."""
    assert sorted(await skus(library, words)) == sorted(expected)
    assert sorted(await skus(library, words, sort="relevance")) == sorted(expected)


@pytest.mark.parametrize("words", ["!", "--", "'\"", "%", "()", "*"])
async def test_a_search_without_a_word_is_refused(library: Store, words: str) -> None:
    with pytest.raises(Invalid):
        await library.products(ProductQuery(words=words))


@given(words=st.text(max_size=40))
def test_no_text_breaks_the_search(engine: Engine, places: Iterator[Path], words: str) -> None:
    """Whatever is typed (or pasted by an attacker) is searched for or refused, never an error."""

    async def run() -> None:
        async with shop_at(engine, next(places)) as shop:
            await shop.sell("MUG", description=words.replace("\0", ""))
            try:
                await shop.store.products(ProductQuery(words=words))
                await shop.store.products(ProductQuery(words=words, sort="relevance"))
            except Invalid:
                return

    asyncio.run(run())


@given(name=st.text(st.characters(categories=("L", "Nd")), min_size=1, max_size=12))
@example(name="\U0002f800")  # a letter that stands for another
@example(name="cafe\u0301")
def test_a_product_is_found_by_its_whole_name(
    engine: Engine, places: Iterator[Path], name: str
) -> None:
    async def run() -> None:
        async with shop_at(engine, next(places)) as shop:
            await shop.sell("MUG", name=name)
            assert await skus(shop.store, name) == ["MUG"]

    asyncio.run(run())


async def test_blank_words_are_no_search(library: Store) -> None:
    assert len(await skus(library, "  ")) == 5


async def test_a_match_in_the_name_comes_before_one_in_the_description(library: Store) -> None:
    assert await skus(library, "heart", sort="relevance") == ["22-HEART", "85123A"]
    assert await skus(library, "white", sort="relevance") == ["85123A", "22-HEART"]


async def test_words_and_filters_go_together(library: Store) -> None:
    assert await skus(library, "white", category="lighting") == ["85123A"]
    assert await skus(library, "white", status="archived") == ["OLD"]
    assert len(await skus(library, "white", status=None)) == 3


async def test_new_words_are_found_and_old_ones_forgotten(shop: Shop) -> None:
    mug = await shop.sell("MUG", name="Blue mug", tags=("old",))
    await shop.store.commit(changing(revised(mug, name="Green beaker", tags=("fresh",))))
    assert await skus(shop.store, "blue") == []
    assert await skus(shop.store, "beaker") == ["MUG"]
    assert await skus(shop.store, "", tag="old") == []
    assert await skus(shop.store, "", tag="fresh") == ["MUG"]


async def test_a_deleted_product_is_in_no_list(shop: Shop) -> None:
    mug = await shop.sell("MUG", tags=("new",), category="China")
    await shop.store.commit(deleting(mug))
    for query in (
        ProductQuery(),
        ProductQuery(status=None),
        ProductQuery(words="mug", status=None),
        ProductQuery(tag="new", status=None),
        ProductQuery(category="China", status=None),
    ):
        assert (await shop.store.products(query)).items == ()
    assert (await shop.store.categories()).items == ()


async def test_the_variants_of_a_parent_are_listed_by_it(shop: Shop) -> None:
    shirt = await shop.sell("SHIRT", is_parent=True)
    for size in ("L", "S"):
        await shop.sell(f"SHIRT-{size}", parent_id=shirt.id, options={"size": size})
    await shop.sell("MUG")
    assert await skus(shop.store, "", parent_id=shirt.id) == ["SHIRT-L", "SHIRT-S"]


async def test_a_parent_is_in_stock_while_an_active_variant_is(shop: Shop) -> None:
    """Customers look for the shirt, not for each of its sizes."""
    shirt = await shop.sell("SHIRT", is_parent=True, track_stock=False)
    assert await skus(shop.store, "", in_stock=True) == []
    large = await shop.sell("SHIRT-L", stock=1, parent_id=shirt.id, options={"size": "L"})
    await shop.sell("SHIRT-S", parent_id=shirt.id, options={"size": "S"})
    assert await skus(shop.store, "", in_stock=True) == ["SHIRT", "SHIRT-L"]
    assert await skus(shop.store, "", in_stock=False) == ["SHIRT-S"]
    assert (await shop.store.listed([shirt.id]))[shirt.id].in_stock
    await shop.store.commit(an_order((large, 1))[1])
    assert await skus(shop.store, "", in_stock=True) == []
    await shop.store.commit(moving(large, 1))
    await shop.store.commit(changing(revised(large, status="archived")))
    assert await skus(shop.store, "", in_stock=True, status=None) == ["SHIRT-L"]
    assert not (await shop.store.listed([shirt.id]))[shirt.id].in_stock


async def test_in_stock_follows_every_sale(shop: Shop) -> None:
    mug = await shop.sell("MUG", stock=1)
    assert await skus(shop.store, "", in_stock=True) == ["MUG"]
    await shop.store.commit(an_order((mug, 1))[1])
    assert await skus(shop.store, "", in_stock=True) == []
    assert await skus(shop.store, "", in_stock=False) == ["MUG"]
    await shop.store.commit(moving(mug, 1))
    assert await skus(shop.store, "", in_stock=True) == ["MUG"]


async def test_categories_are_those_of_products_for_sale(shop: Shop) -> None:
    for sku, category in (("A", "China"), ("B", "china"), ("C", "Garden"), ("D", None)):
        await shop.sell(sku, category=category)
    await shop.sell("E", category="Attic", status="archived")
    assert await all_items(lambda limit, at: shop.store.categories(limit=limit, cursor=at), 1) == [
        "China",
        "Garden",
    ]
