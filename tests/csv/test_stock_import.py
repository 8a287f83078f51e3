"""A file of counts sets what is on hand, through the ledger and never below what is promised."""

from __future__ import annotations

import asyncio

import pytest

from storekeeper.services.inventory import ReceiveRequest
from storekeeper.services.locations import LocationInput
from storekeeper.store.port import MovementQuery
from tests.catalog.desk import BY_ADMIN, Desk
from tests.csv.files import importing, text_of


@pytest.fixture
async def stocked(desk: Desk) -> Desk:
    await desk.locations.create(BY_ADMIN, LocationInput(id="shop-2", name="Shop"))
    for sku in ("MUG", "CUP", "BOWL"):
        await desk.create(sku)
    return desk


async def on_hand(desk: Desk, sku: str) -> dict[str, int]:
    product = (await desk.store.products_by_sku([sku.casefold()]))[sku.casefold()]
    stock = await desk.inventory.stock(product.id)
    return {level.location_id: level.on_hand for level in stock.levels}


async def test_counts_become_movements_that_name_the_import(stocked: Desk) -> None:
    text = "sku,location,on_hand,note\nMUG,main,5,shelf 3\nmug,shop-2,2,\nCUP,,7,\n"
    done = await importing(stocked, text, "stock")
    assert done.figures() == (0, 3, 0, 0), done.errors
    assert await on_hand(stocked, "MUG") == {"main": 5, "shop-2": 2}
    assert await on_hand(stocked, "CUP") == {"main": 7}
    lines = (await stocked.inventory.movements(MovementQuery(reason="imported"))).items
    assert {line.reference for line in lines} == {f"import:{done.report.import_id}"}
    assert {line.by for line in lines} == {"admin:ada"}
    assert "shelf 3" in {line.note for line in lines}
    assert (await importing(stocked, text, "stock")).figures() == (0, 0, 3, 0)
    assert await stocked.store.verify() == []


async def test_bad_rows_are_told_and_all_or_nothing_moves_no_unit(stocked: Desk) -> None:
    await stocked.create("VOUCHER", track_stock=False)
    await stocked.count("BOWL", 5)
    await stocked.order("BOWL", 3)
    text = (
        "sku,location,on_hand\n"
        "MUG,main,5\n"
        "UNKNOWN,main,1\n"
        "CUP,nowhere,1\n"
        "CUP,main,-1\n"
        "MUG,main,6\n"
        "VOUCHER,main,1\n"
        "BOWL,main,2\n"
        "CUP,main,1.5\n"
    )
    wrong = [
        (3, "sku"),
        (4, "location"),
        (5, "on_hand"),
        (6, "sku"),
        (7, "sku"),
        (8, "on_hand"),
        (9, "sku"),
    ]
    done = await importing(stocked, text, "stock")
    assert done.bad() == wrong
    assert await on_hand(stocked, "MUG") == {}
    done = await importing(stocked, text, "stock", mode="skip_bad")
    assert (done.bad(), done.figures()) == (wrong, (0, 1, 0, 7))
    assert await on_hand(stocked, "MUG") == {"main": 5}


async def test_units_that_arrive_during_an_import_are_counted_not_lost(stocked: Desk) -> None:
    stocked.importer._chunk = 3
    for number in range(30):
        await stocked.create(f"P{number}")
    text = "sku,on_hand\n" + "".join(f"P{number},10\n" for number in range(30))

    async def receiving() -> None:
        for number in range(30):
            request = ReceiveRequest(sku=f"P{number}", quantity=1)
            await stocked.inventory.receive(BY_ADMIN, request)

    await asyncio.gather(importing(stocked, text, "stock"), receiving())
    for number in range(30):
        (units,) = (await on_hand(stocked, f"P{number}")).values()
        assert units in (10, 11)
    assert await stocked.store.verify() == []


async def test_what_is_exported_is_what_is_imported(stocked: Desk) -> None:
    await stocked.count("MUG", 4)
    await stocked.count("MUG", 3, "shop-2")
    await stocked.count("CUP", 1)
    text = await text_of(stocked.exporter.export_stock())
    assert text.splitlines()[0] == "sku,location,on_hand"
    assert (await importing(stocked, text, "stock")).figures() == (0, 0, 3, 0)
    await stocked.count("MUG", 0)
    assert (await importing(stocked, text, "stock")).figures() == (0, 1, 2, 0)
    assert await on_hand(stocked, "MUG") == {"main": 4, "shop-2": 3}
