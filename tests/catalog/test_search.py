"""A customer who types what is on the label finds the product."""

from __future__ import annotations

import pytest

from storekeeper.domain.errors import Invalid
from storekeeper.services.catalog import ProductPatch
from storekeeper.store.port import ProductQuery, ProductSort
from storekeeper.store.sqlite import listing
from tests.catalog.desk import BY_ADMIN, CUSTOMER, Desk


@pytest.fixture
async def shelf(desk: Desk) -> Desk:
    await desk.create("85123A", name="White hanging heart T-light holder", category="Lights")
    await desk.create("22423", name="Regency cakestand 3 tier", price=1_275, tags=("gift", "cake"))
    await desk.create(
        "CAFÉ-1", name="Café crème bowl", description="A heart inside, in white", price=450
    )
    await desk.create("AB-12/3", name="Rabbit night light", price=200, stock=4)
    return desk


async def found(
    desk: Desk, words: str = "", sort: ProductSort = "relevance", **fields
) -> list[str]:
    page = await desk.catalog.list_products(
        CUSTOMER, ProductQuery(words=words, sort=sort, **fields)
    )
    return [listed.product.sku for listed in page.items]


@pytest.mark.parametrize(
    ("words", "skus"),
    [
        ("regency", ["22423"]),
        ("cakestand regency", ["22423"]),
        ("cakes", ["22423"]),
        ("85123A", ["85123A"]),
        ("85123a", ["85123A"]),
        ("85123", ["85123A"]),
        ("AB-12/3", ["AB-12/3"]),
        ("ab 12", ["AB-12/3"]),
        ("cafe", ["CAFÉ-1"]),
        ("CAFÉ creme", ["CAFÉ-1"]),
        ("cafe\u0301 cre\u0300me", ["CAFÉ-1"]),
        ("gift", ["22423"]),
        ("t-light", ["85123A"]),
        ('"heart" (white)*', ["85123A", "CAFÉ-1"]),
        ("regency NOT cakestand", []),
        ("light OR cake", []),
        ("nothing of the kind", []),
    ],
)
async def test_words_find_products(shelf: Desk, words: str, skus: list[str]) -> None:
    assert await found(shelf, words) == skus


async def test_a_name_counts_for_more_than_a_description(shelf: Desk) -> None:
    assert await found(shelf, "heart") == ["85123A", "CAFÉ-1"]


async def test_a_search_without_any_word_is_refused(shelf: Desk) -> None:
    with pytest.raises(Invalid) as refusal:
        await found(shelf, "?! --")
    assert refusal.value.field == "q"


async def test_a_changed_product_is_found_by_its_new_words_only(shelf: Desk) -> None:
    rabbit = await shelf.catalog.by_sku(CUSTOMER, "AB-12/3")
    await shelf.catalog.patch(BY_ADMIN, rabbit.product.id, ProductPatch(name="Owl lamp"))
    assert await found(shelf, "owl") == ["AB-12/3"]
    assert await found(shelf, "rabbit") == []


async def test_filters_narrow_what_is_listed(shelf: Desk) -> None:
    assert await found(shelf, sort="price", min_price=300, max_price=999) == ["CAFÉ-1", "85123A"]
    assert await found(shelf, tag="GIFT") == ["22423"]
    assert await found(shelf, category="lights") == ["85123A"]
    assert await found(shelf, in_stock=True) == ["AB-12/3"]
    assert len(await found(shelf, in_stock=False)) == 3
    assert await found(shelf, "light", in_stock=True) == ["AB-12/3"]


@pytest.mark.parametrize("sort", ["name", "-name", "price", "-price", "-created", "relevance"])
async def test_pages_hold_every_product_once(shelf: Desk, sort: ProductSort) -> None:
    for number in range(7):
        await shelf.create(f"LIGHT{number}", name="Same light", price=100)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await shelf.catalog.list_products(
            CUSTOMER, ProductQuery(words="light", sort=sort, limit=2, cursor=cursor)
        )
        seen.extend(listed.product.sku for listed in page.items)
        cursor = page.next
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 9


class TestWordsThatMostProductsHave:
    """Ranking a hundred thousand matches took a fifth of a second; that many are put in tiers."""

    @pytest.fixture
    async def aisle(self, shelf: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
        monkeypatch.setattr(listing, "COMMON", 5)
        await shelf.create("D-1", name="A shade", description="Of some lamp")
        for number in range(4):
            await shelf.create(f"N-{number}", name=f"Lamp {number}", price=100 + number)
        await shelf.create("D-2", name="A bulb", description="For any lamp", stock=1)
        await shelf.create("LAMP-9", name="Something that is lit")
        return shelf

    NAMED = ("N-0", "N-1", "N-2", "N-3", "LAMP-9")

    async def pages(self, desk: Desk, words: str = "lamp", **fields) -> list[str]:
        seen: list[str] = []
        cursor: str | None = None
        while True:
            query = ProductQuery(words=words, sort="relevance", limit=2, cursor=cursor, **fields)
            page = await desk.catalog.list_products(CUSTOMER, query)
            seen.extend(listed.product.sku for listed in page.items)
            cursor = page.next
            if cursor is None:
                return seen

    async def test_names_and_skus_come_first_and_every_product_once(self, aisle: Desk) -> None:
        assert await self.pages(aisle) == [*self.NAMED, "D-1", "D-2"]
        assert await found(aisle, "lamp") == [*self.NAMED, "D-1", "D-2"]

    async def test_filters_hold_in_every_tier(self, aisle: Desk) -> None:
        assert await self.pages(aisle, in_stock=True) == ["D-2"]
        assert await self.pages(aisle, min_price=101, max_price=103) == ["N-1", "N-2", "N-3"]

    async def test_words_may_be_parted_over_name_and_description(self, aisle: Desk) -> None:
        for number in range(5):
            await aisle.create(f"S-{number}", name="Spare", description="Part of a lamp")
        await aisle.create("BOTH", name="Spare lamp")
        words = await self.pages(aisle, "lamp spare")
        assert words == ["BOTH", "S-0", "S-1", "S-2", "S-3", "S-4"]

    async def test_what_is_made_meanwhile_moves_no_page(self, aisle: Desk) -> None:
        query = ProductQuery(words="lamp", sort="relevance", limit=3)
        first = await aisle.catalog.list_products(CUSTOMER, query)
        await aisle.create("LATE", name="Lamp lamp lamp")
        rest = await self.pages_after(aisle, first.next)
        assert rest == ["N-3", "LAMP-9", "LATE", "D-1", "D-2"]

    async def test_a_list_goes_on_as_it_began_when_words_become_common(
        self, aisle: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(listing, "COMMON", 7)
        query = ProductQuery(words="lamp", sort="relevance", limit=3)
        first = await aisle.catalog.list_products(CUSTOMER, query)
        monkeypatch.setattr(listing, "COMMON", 5)
        seen = [one.product.sku for one in first.items]
        seen += await self.pages_after(aisle, first.next)
        assert sorted(seen) == sorted([*self.NAMED, "D-1", "D-2"])

    async def pages_after(self, desk: Desk, cursor: str | None) -> list[str]:
        seen: list[str] = []
        while cursor is not None:
            query = ProductQuery(words="lamp", sort="relevance", limit=3, cursor=cursor)
            page = await desk.catalog.list_products(CUSTOMER, query)
            seen.extend(listed.product.sku for listed in page.items)
            cursor = page.next
        return seen
