"""Staff keep stock true from the pages: levels as they are, each change once, counts that hold."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from storekeeper.domain.types import LocationId, ProductId
from storekeeper.services.base import BY_SYSTEM
from storekeeper.services.catalog import ProductInput
from storekeeper.services.inventory import AdjustRequest, ReceiveRequest
from storekeeper.services.locations import LocationInput
from tests.api.shopfront import Seed, in_one_task, seed_shop
from tests.support.builders import pounds
from tests.web.desk import Desk, desk_at, text_of

STOCK = "/admin/stock"


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Seed:
    return seed_shop(tmp_path_factory.mktemp("seed"))


@pytest.fixture
async def desk(tmp_path: Path, seed: Seed) -> AsyncIterator[Desk]:
    async with in_one_task(desk_at(tmp_path, seed)) as desk:  # type: ignore[arg-type]
        yield desk  # type: ignore[misc]


def product(desk: Desk, sku: str) -> str:
    return f"{STOCK}/products/{desk.front.seed.products[sku]}"


async def levels(desk: Desk, sku: str) -> dict[str, int]:
    id = ProductId(desk.front.seed.products[sku])
    return {level.location_id: level.on_hand for level in await desk.front.shop.store.levels([id])}


async def attic(desk: Desk, sku: str = "MUG", units: int = 0) -> None:
    await desk.front.shop.locations.create(BY_SYSTEM, LocationInput(id="attic", name="The attic"))
    if units:
        received = ReceiveRequest(sku=sku, quantity=units, location_id=LocationId("attic"))
        await desk.front.shop.inventory.receive(BY_SYSTEM, received)


async def sold(desk: Desk, sku: str, units: int) -> None:
    lost = AdjustRequest(sku=sku, quantity=-units, reason="lost")
    await desk.front.shop.inventory.adjust(BY_SYSTEM, lost)


async def test_levels_are_found_by_words_location_and_being_low(desk: Desk):
    await attic(desk, "MUG", 4)
    await sold(desk, "LAMP", 8)

    async def shown(query: str) -> set[str]:
        text = await desk.look(f"{STOCK}?{query}")
        return {sku for sku in ("MUG", "LAMP", "CHAIR") if sku in text}

    assert await shown("") == {"MUG", "LAMP", "CHAIR"}
    assert await shown("q=mug") == {"MUG"}
    assert await shown("q=the+lam") == {"LAMP"}
    assert await shown("low=1") == {"LAMP"}
    assert await shown("location=attic") == {"MUG"}
    assert await shown("low=1&location=attic") == set()
    assert "MUG The attic 4 0 4" in await desk.look(f"{STOCK}?location=attic")


async def test_units_are_received_adjusted_counted_and_moved(desk: Desk):
    await attic(desk)
    at = product(desk, "MUG")
    await desk.send(at, "/receive", {
        "receive-quantity": "5", "receive-location_id": "main", "receive-reference": "DN 7",
    })  # fmt: skip
    await desk.send(at, "/adjust", {
        "adjust-quantity": "\N{MINUS SIGN}2", "adjust-reason": "damaged", "adjust-location_id": "main",
    })  # fmt: skip
    await desk.send(at, "/transfer", {
        "transfer-quantity": "10",
        "transfer-from_location_id": "main",
        "transfer-to_location_id": "attic",
    })  # fmt: skip
    await desk.send(at, "/count", {"count-on_hand": "9", "count-location_id": "attic"})
    assert await levels(desk, "MUG") == {"main": 93, "attic": 9}
    text = await desk.look(at)
    for words in ("Damaged", "DN 7", "Sam", "Transferred here", "Counted"):
        assert words in text


async def test_a_form_that_is_sent_twice_changes_stock_once(desk: Desk):
    page = await desk.page(product(desk, "MUG"))
    for _ in range(2):
        await desk.send("", "/receive", {"receive-quantity": "5"}, page=page)
    assert await levels(desk, "MUG") == {"main": 105}
    answer = await desk.send("", "/receive", {"receive-quantity": "6"}, page=page, status=422)
    assert "This form was sent before" in text_of(answer.text)
    assert await levels(desk, "MUG") == {"main": 105}


@pytest.mark.parametrize(
    ("action", "typed", "told"),
    [
        ("receive", {"receive-quantity": "five"}, "Type a whole number."),
        ("receive", {"receive-quantity": "0"}, "At least 1"),
        ("receive", {"receive-quantity": "5", "receive-location_id": "moon"}, "no location moon"),
        ("adjust", {"adjust-quantity": "0"}, "changes nothing"),
        ("adjust", {"adjust-quantity": "-101"}, "Available are 100 at main"),
        ("adjust", {"adjust-quantity": "-1", "adjust-reason": "bored"}, "Reason must be"),
        ("count", {"count-on_hand": "-1"}, "At least 0"),
        ("count", {"count-on_hand": "1" * 30}, "Type a whole number."),
    ],
)
async def test_a_change_that_cannot_be_is_told_and_what_was_typed_stays(
    desk: Desk, action: str, typed: dict[str, Any], told: str
):
    answer = await desk.send(product(desk, "MUG"), f"/{action}", typed, status=422)
    assert told in text_of(answer.text)
    assert 'aria-invalid="true"' in answer.text
    for value in typed.values():
        assert f'value="{value}"' in answer.text or value in ("moon", "bored")
    assert await levels(desk, "MUG") == {"main": 100}


async def test_the_ledger_shows_what_its_address_asks_for(desk: Desk):
    await attic(desk, "MUG", 4)
    await sold(desk, "LAMP", 1)

    async def rows(query: str) -> int:
        page = await desk.page(f"{STOCK}/ledger?{query}")
        return len(re.findall(r"<tr><th scope=\"row\">", page))

    assert await rows("") == 5
    assert await rows("sku=mug") == 2
    assert await rows("location=attic") == 1
    assert await rows("reason=lost") == 1
    assert await rows("until=2029-12-31") == 0
    assert "no such reason" in await desk.look(f"{STOCK}/ledger?reason=bored", status=422)
    assert "Type a day" in await desk.look(f"{STOCK}/ledger?since=soon", status=422)


async def started(desk: Desk) -> str:
    """The address of a new stock take."""
    answer = await desk.send(f"{STOCK}/takes", "/takes")
    return str(answer.headers["location"])


async def test_a_location_is_counted_by_scanning_and_by_typing(desk: Desk):
    """With nothing but a scanner that types the code and Enter, and the keyboard."""
    take = await started(desk)
    for _ in range(2):
        await desk.send(take, "/scan", code="lamp")
    answer = await desk.send(take, "/scan", code="LAMP", units="6")
    assert "LAMP The lamp: 8 counted, 10 expected" in await desk.look(answer.headers["location"])
    await desk.send(take, "/counts", {"count:MUG": "100", "count:CHAIR": "1"})
    assert "LAMP 10 Counted of The lamp -2 Different" in await desk.look(f"{take}?status=different")

    await desk.send(take, "/post")

    assert await levels(desk, "LAMP") == {"main": 8}
    assert await levels(desk, "MUG") == {"main": 100}
    assert "Posted" in await desk.look(take)
    ledger = await desk.look(f"{STOCK}/ledger?reference=stocktake%3A{take.rpartition('/')[2]}")
    assert "8 counted, 10 expected" in ledger


async def test_a_scan_by_script_is_answered_with_a_sentence_and_counts_once(desk: Desk):
    take = await started(desk)
    page = await desk.page(take)
    for _ in range(2):
        answer = await desk.send("", "/scan", page=page, status=200, code="LAMP", part="1")
        assert text_of(f'<main id="content"{answer.text}').endswith("1 counted, 10 expected")
    missing = await desk.send("", "/scan", page=page, status=422, code="XYZ", key="2", part="1")
    assert "No product has the SKU or barcode XYZ" in missing.text


async def test_an_unknown_code_is_told_beside_the_field_and_stays(desk: Desk):
    take = await started(desk)
    for typed, told in (
        ({"code": "XYZ"}, "No product has the SKU or barcode XYZ."),
        ({"code": ""}, "Please fill this in."),
        ({"code": "MUG", "units": "many"}, "Type a whole number."),
        ({"code": "MUG", "units": "0"}, "At least 1"),
    ):
        answer = await desk.send(take, "/scan", typed, status=422)
        assert told in text_of(answer.text)
        assert f'value="{typed["code"]}"' in answer.text


async def test_what_moved_while_counting_is_told_line_by_line_and_decided(desk: Desk):
    take = await started(desk)
    await desk.send(take, "/counts", {"count:MUG": "90", "count:LAMP": "9"})
    await sold(desk, "MUG", 5)

    answer = await desk.send(take, "/post")
    text = await desk.look(answer.headers["location"])

    assert "1 product could not be booked" in text
    assert "Moved meanwhile: 100 were expected, 95 are on hand now." in text
    assert await levels(desk, "LAMP") == {"main": 9}
    assert await levels(desk, "MUG") == {"main": 95}

    page = await desk.page(f"{take}?status=told")
    form = next(one for one in re.findall(r'formaction="([^"]+)"', page))
    fields = {"csrf": re.findall(r'name="csrf" value="([^"]+)"', page)[0], "keep": "MUG"}
    assert (await desk.http.post(form, data=fields)).status_code == 303
    await desk.send(take, "/post")
    assert await levels(desk, "MUG") == {"main": 90}


async def test_a_count_that_somebody_else_made_is_not_overwritten(desk: Desk):
    take = await started(desk)
    page = await desk.page(take)
    await desk.send(take, "/scan", code="LAMP")
    answer = await desk.send("", "/counts", {"count:LAMP": "7"}, page=page, status=422)
    assert "Somebody counted 1 meanwhile." in text_of(answer.text)
    assert 'value="7"' in answer.text
    bad = await desk.send(take, "/counts", {"count:LAMP": "7 or 8"}, status=422)
    assert "Type a whole number, or nothing." in text_of(bad.text)


async def test_the_rest_is_counted_as_none_and_a_take_can_be_abandoned(desk: Desk):
    take = await started(desk)
    refused = await desk.send(take, "/post", status=422)
    assert "Nothing was counted yet." in text_of(refused.text)
    page = await desk.page(take)
    await desk.send(take, "/rest")
    assert "CHAIR 1 Counted of The chair -1 Different" in await desk.look(
        f"{take}?status=different"
    )
    await desk.send(take, "/abandon")
    assert "Abandoned" in await desk.look(take)
    answer = await desk.send("", "/scan", page=page, status=422, code="MUG")
    assert "this stock take was abandoned" in text_of(answer.text).lower()
    assert await levels(desk, "MUG") == {"main": 100}


async def test_an_empty_location_cannot_be_counted(desk: Desk):
    await attic(desk)
    answer = await desk.send(f"{STOCK}/takes", "/takes", status=422, location_id="attic")
    assert "Nothing is kept there" in text_of(answer.text)


@pytest.mark.parametrize("kind", ["code128", "qr"])
async def test_labels_are_printed_for_chosen_products(desk: Desk, kind: str):
    """Also for a SKU that no barcode can say."""
    details = ProductInput(sku="NAÏVE-1", name="Naïve ☕", price=pounds(100))
    other = (await desk.front.shop.catalog.create(BY_SYSTEM, details)).product.id
    address = f"{STOCK}/labels?product={other}&add=mug"
    assert "Naïve ☕ NAÏVE-1" in await desk.look(address)
    mug = desk.front.seed.products["MUG"]
    chosen = {"product": [other, mug], f"copies-{mug}": "30", "kind": kind, "price": "1"}
    answer = await desk.send(address, "/labels", chosen, status=200, first="3")
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.content.startswith(b"%PDF-")
    assert answer.content.count(b"/Type /Page\n") == 2


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({"first": "25"}, "Type a number from 1 to 24."),
        ({"sheet": "none"}, "Choose a sheet."),
        ({"kind": "none"}, "Choose a barcode or a QR code."),
        ({"copies": "x"}, "Type a whole number."),
        ({"copies": "0"}, "Choose a product first."),
        ({"copies": "1001"}, "At most 1,000 labels can be printed at once."),
    ],
)
async def test_labels_that_cannot_be_are_told(desk: Desk, typed: dict[str, Any], told: str):
    mug = desk.front.seed.products["MUG"]
    fields = {f"copies-{mug}" if name == "copies" else name: text for name, text in typed.items()}
    answer = await desk.send(f"{STOCK}/labels?product={mug}", "/labels", fields, status=422)
    assert told in text_of(answer.text)
    assert "No product has the SKU none." in await desk.look(f"{STOCK}/labels?add=none", status=422)


async def test_customers_are_kept_out(tmp_path: Path, seed: Seed):
    async with desk_at(tmp_path, seed, "ada") as desk:
        for address in ("", "/ledger", "/takes", "/labels", "/takes/1", "/products/1"):
            assert (await desk.http.get(f"{STOCK}{address}")).status_code == 403
