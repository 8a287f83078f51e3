"""What one shop exports another one imports without losing or changing anything."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from storekeeper.domain.catalog import ProductDetails
from storekeeper.domain.money import Money
from storekeeper.domain.types import MAX_ON_HAND, MAX_QUANTITY, OrderId
from storekeeper.services.base import BY_SYSTEM
from storekeeper.services.catalog import ProductPatch
from storekeeper.services.inventory import AdjustRequest, ReceiveRequest
from tests.catalog.desk import BY_ADMIN, Desk, desk_at
from tests.csv.files import cells_of, described, importing, text_of
from tests.support.builders import details

NASTY = "aZé'=+-@|\\\",;{}<> \uff1d漢"
WORDS = st.text(alphabet=NASTY, min_size=1, max_size=12).filter(str.strip)
CODES = WORDS.filter(lambda text: text == text.strip() != "")
LONG = st.text(alphabet=NASTY + "\r\n\t", max_size=30)
TEXTS = st.dictionaries(WORDS, LONG, max_size=3)
PRICES = st.sampled_from(["GBP", "JPY", "KWD"]).flatmap(
    lambda code: st.builds(Money, amount=st.integers(0, 1_000_000_000), currency=st.just(code))
)


def fields(**more: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "name": WORDS,
            "price": PRICES,
            "description": LONG,
            "category": st.none() | WORDS,
            "tags": st.lists(CODES.filter(lambda tag: "," not in tag), max_size=3, unique=True).map(
                tuple
            ),
            "image_url": st.none() | st.just("https://example.com/a'=b.jpg"),
            "attributes": TEXTS,
            "status": st.sampled_from(["active", "archived"]),
            **more,
        }
    )


PLAIN = fields(
    track_stock=st.booleans(), low_stock_threshold=st.none() | st.integers(0, 10_000_000)
)
SHELF = st.lists(PLAIN, max_size=6)
FAMILIES = st.lists(st.tuples(fields(), st.lists(PLAIN, max_size=3)), max_size=2)


async def fill(desk: Desk, skus: list[str], shelf: Any, families: Any) -> None:
    """Variants are made from products that are older than their parent, where that is allowed."""
    names = iter(skus)
    for told in shelf:
        await desk.catalog.create(BY_ADMIN, ProductDetails(sku=next(names), **told))
    for parent, variants in families:
        listed = await desk.catalog.create(
            BY_ADMIN, ProductDetails(sku=next(names), is_parent=True, **parent)
        )
        for number, told in enumerate(variants):
            await desk.catalog.create(
                BY_ADMIN,
                ProductDetails(
                    sku=next(names),
                    parent_id=listed.product.id,
                    options={"size": f"'{number}", "=cut": "+slim"},
                    **told,
                ),
            )


@settings(max_examples=25)
@given(
    skus=st.lists(CODES, min_size=14, max_size=14, unique_by=str.casefold),
    shelf=SHELF,
    families=FAMILIES,
)
def test_products_come_out_of_another_shop_as_they_went_in(skus, shelf, families) -> None:
    async def life() -> None:
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
            async with desk_at(Path(one)) as here, desk_at(Path(other), node=1) as there:
                await fill(here, skus, shelf, families)
                text = await text_of(here.exporter.export_products())
                count = len(await described(here))
                done = await importing(there, text)
                assert done.figures() == (count, 0, 0, 0), done.errors
                assert await described(there) == await described(here)
                assert (await importing(here, text)).figures() == (0, 0, count, 0)
                back = await text_of(there.exporter.export_products())
                assert sorted(map(tuple, cells_of(back))) == sorted(map(tuple, cells_of(text)))

    asyncio.run(life())


async def test_a_variant_older_than_its_parent_is_exported_after_it(desk: Desk) -> None:
    large = await desk.create("SHIRT-L")
    shirt = await desk.create("SHIRT", is_parent=True)
    patch = ProductPatch(parent_id=shirt.id, options={"size": "L"})
    await desk.catalog.patch(BY_ADMIN, large.id, patch)
    text = await text_of(desk.exporter.export_products())
    assert [row[0] for row in cells_of(text)] == ["sku", "SHIRT", "SHIRT-L"]


async def test_an_export_holds_every_product_whatever_the_size_of_its_batches(desk: Desk) -> None:
    for number in range(25):
        await desk.create(f"P{number}", stock=number)
    desk.exporter._batch = 4
    counted: list[int] = []
    text = await text_of(desk.exporter.export_products(counted.append))
    assert len(cells_of(text)) == 26
    assert sum(counted) == 25


async def test_the_ledger_and_the_orders_can_be_taken_out_whole(desk: Desk) -> None:
    await desk.catalog.create(BY_ADMIN, details("=MUG", name="@mug"))
    await desk.count("=MUG", 5)
    order_id = OrderId(await desk.order("=MUG", 2))
    await desk.order_changes.confirm(BY_SYSTEM, order_id)
    movements = cells_of(await text_of(desk.exporter.export_movements()))
    columns = movements[0]
    assert sum(int(row[columns.index("on_hand")]) for row in movements[1:]) == 3
    assert {row[columns.index("sku")] for row in movements[1:]} == {"'=MUG"}
    orders = cells_of(await text_of(desk.exporter.export_orders()))
    row = dict(zip(orders[0], orders[1], strict=True))
    assert (row["state"], row["quantity"], row["line_total"]) == ("confirmed", "2", "19.98")
    assert row["name"] == "'@mug"


async def test_stock_that_is_owed_or_plenty_goes_out_and_comes_back(tmp_path: Path) -> None:
    """Units below zero of a product on backorder, and more than one delivery may bring."""
    async with desk_at(tmp_path / "old") as old:
        await old.create("OWED", allow_backorder=True)
        owed = AdjustRequest(sku="OWED", quantity=-5, reason="correction")
        await old.inventory.adjust(BY_ADMIN, owed)
        await old.create("PLENTY")
        for units in (MAX_QUANTITY, MAX_QUANTITY, 10):
            delivery = ReceiveRequest(sku="PLENTY", quantity=units)
            await old.inventory.receive(BY_ADMIN, delivery)
        text = await text_of(old.exporter.export_stock())
        again = await importing(old, text, "stock")
        assert (again.figures(), again.errors) == ((0, 0, 2, 0), [])
    async with desk_at(tmp_path / "new", node=1) as new:
        await new.create("OWED", allow_backorder=True)
        await new.create("PLENTY")
        done = await importing(new, text, "stock")
        assert (done.figures(), done.errors) == ((0, 2, 0, 0), [])
        assert await text_of(new.exporter.export_stock()) == text
        assert await new.store.verify() == []
        await new.count("PLENTY", 2 * MAX_QUANTITY + 9)
        for wrong in (MAX_ON_HAND + 1, -MAX_ON_HAND - 1):
            done = await importing(new, f"sku,on_hand\nPLENTY,{wrong}\n", "stock")
            assert done.bad() == [(2, "on_hand")]


async def test_a_count_below_zero_is_refused_where_nothing_can_be_owed(desk: Desk) -> None:
    await desk.create("MUG")
    done = await importing(desk, "sku,on_hand\nMUG,-1\n", "stock")
    assert done.bad() == [(2, "on_hand")]
    assert "allow_backorder" in done.errors[0].reason
