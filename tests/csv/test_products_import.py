"""A file of products goes in as it stands, or is refused with the line that is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.errors import Forbidden, Invalid
from storekeeper.domain.pictures import Picture
from storekeeper.domain.stock import Level
from storekeeper.domain.types import ProductId
from storekeeper.services.base import Call
from storekeeper.services.catalog import ProductPatch
from tests.catalog.desk import BY_ADMIN, STAFF, Desk
from tests.csv.files import importing, products, stream
from tests.support.builders import moving

HEADER = "sku,name,price,currency,category,tags\n"
TWO = HEADER + "MUG,Mug,9.99,GBP,Cups,red|blue\nCUP,Cup,5,EUR,,\n"


async def test_products_are_made_as_the_file_says(desk: Desk) -> None:
    done = await importing(desk, TWO)
    assert done.figures() == (2, 0, 0, 0)
    assert done.report.applied
    found = await products(desk)
    assert (found["MUG"].price.amount, found["MUG"].price.currency) == (999, "GBP")
    assert found["MUG"].tags == ("red", "blue")
    assert (found["CUP"].price.currency, found["CUP"].category) == ("EUR", None)
    assert (await desk.events()).count("products.imported") == 1


async def test_importing_the_same_file_again_changes_nothing(desk: Desk) -> None:
    await importing(desk, TWO)
    before = (await products(desk), await desk.store.last_event_seq())
    done = await importing(desk, TWO)
    assert done.figures() == (0, 0, 2, 0)
    assert (await products(desk), await desk.store.last_event_seq()) == before


async def test_a_sku_in_another_case_is_the_same_product(desk: Desk) -> None:
    await importing(desk, TWO)
    done = await importing(desk, HEADER + "mug,Mug,9.99,GBP,Cups,red|blue\n")
    assert done.figures() == (0, 1, 0, 0)
    assert set(await products(desk)) == {"mug", "CUP"}


async def test_columns_that_are_not_there_leave_products_as_they_are(desk: Desk) -> None:
    await importing(desk, TWO)
    done = await importing(desk, "sku,price\nMUG,12.50\nNEW,1\n", mode="skip_bad")
    assert done.figures() == (0, 1, 0, 1)
    assert done.bad() == [(3, "name")]
    mug = (await products(desk))["MUG"]
    assert (mug.price.amount, mug.name, mug.tags) == (1_250, "Mug", ("red", "blue"))


async def test_an_empty_cell_takes_the_default(desk: Desk) -> None:
    await importing(desk, TWO)
    await importing(desk, "sku,category,tags\nMUG,,\n")
    mug = (await products(desk))["MUG"]
    assert (mug.category, mug.tags, mug.name) == (None, (), "Mug")


async def test_a_picture_that_was_removed_is_refused_before_anything_is_imported(
    desk: Desk,
) -> None:
    kept, gone = [f"/images/{digit * 32}.webp" for digit in "ab"]
    pictures = [
        Picture(id=kept[-37:], version=1, shop="", kept_at=desk.clock()),
        Picture(id=gone[-37:], version=1, shop="", kept_at=desk.clock(), state="gone"),
    ]
    await desk.store.commit(ChangeSet(puts=tuple(Put(one) for one in pictures)))
    await importing(desk, TWO)
    rows = f"MUG,Mug,1,{kept}\nCUP,Cup,1,{gone}\nNEW,New,1,{gone}\nOURS,Ours,1,{kept}\n"
    for options in ({"dry_run": True}, {}, {"mode": "skip_bad"}):
        done = await importing(desk, "sku,name,price,image_url\n" + rows, **options)
        assert done.bad() == [(3, "image_url"), (4, "image_url")]
    found = await products(desk)
    assert [found[sku].image_url for sku in ("MUG", "CUP", "OURS")] == [kept, None, kept]
    assert "NEW" not in found


BAD = (
    HEADER
    + "GOOD,Good,1,GBP,,\n"  # line 2
    + 'MULTI,"Two\nlines",1,GBP,,\n'  # 3: a name has no line break; takes lines 3 and 4
    + "PRICE,x,1.999,GBP,,\n"  # 5
    + "CUR,x,1,XXX,,\n"  # 6
    + ",x,1,GBP,,\n"  # 7
    + "good,again,1,GBP,,\n"  # 8
    + "SHORT,x\n"  # 9
    + "\n"  # 10: an empty line is none
    + "TAGS,x,1,GBP,,a|a\n"  # 11
    + "NONAME,,1,GBP,,\n"  # 12
    + ",,,,,\n"  # 13: neither is this
    + "ALSO,Also good,1,GBP,,\n"  # 14
)
WRONG = [
    (3, "name"),
    (5, "price"),
    (6, "currency"),
    (7, "sku"),
    (8, "sku"),
    (9, ""),
    (11, "tags"),
    (12, "name"),
]


async def test_all_or_nothing_names_every_bad_row_and_applies_none(desk: Desk) -> None:
    done = await importing(desk, BAD)
    assert done.bad() == WRONG
    assert not done.report.applied
    assert "nothing was written" in done.report.message
    assert (done.report.rows, done.figures()) == (10, (0, 0, 0, 8))
    assert await products(desk) == {}


async def test_skip_bad_applies_the_good_rows_and_names_the_others(desk: Desk) -> None:
    done = await importing(desk, BAD, mode="skip_bad")
    assert done.bad() == WRONG
    assert (done.report.applied, done.figures()) == (True, (2, 0, 0, 8))
    assert set(await products(desk)) == {"GOOD", "ALSO"}
    reasons = {error.line: error.reason for error in done.errors}
    assert "line 2" in reasons[8]
    assert "2 cells" in reasons[9]


@pytest.mark.parametrize("mode", ["all_or_nothing", "skip_bad"])
async def test_a_dry_run_says_what_would_happen_and_does_none_of_it(desk: Desk, mode: str) -> None:
    await importing(desk, TWO)
    text = HEADER + "MUG,Mug,9.99,GBP,Cups,red|blue\nCUP,Bowl,5,EUR,,\nNEW,New,1,GBP,,\nBAD,,,,,\n"
    seq = await desk.store.last_event_seq()
    done = await importing(desk, text, mode=mode, dry_run=True)
    assert done.figures() == (1, 1, 1, 1)
    assert (done.report.applied, done.report.dry_run) == (False, True)
    assert await desk.store.last_event_seq() == seq
    assert "NEW" not in await products(desk)


VARIANTS = (
    "sku,name,price,is_parent,parent_sku,options\n"
    "SHIRT,Shirt,10,true,,\n"
    'SHIRT-L,Shirt L,10,,shirt,"{""size"":""L""}"\n'
    'SHIRT-M,Shirt M,10,,SHIRT,"{""size"":""M""}"\n'
)


@pytest.mark.parametrize("chunk", [1, 2, 500])
async def test_variants_find_their_parent_earlier_in_the_file(desk: Desk, chunk: int) -> None:
    desk.importer._chunk = chunk
    done = await importing(desk, VARIANTS)
    assert done.figures() == (3, 0, 0, 0), done.errors
    found = await products(desk)
    assert found["SHIRT-L"].parent_id == found["SHIRT-M"].parent_id == found["SHIRT"].id
    again = await importing(desk, VARIANTS)
    assert again.figures() == (0, 0, 3, 0)


@pytest.mark.parametrize("chunk", [1, 500])
@pytest.mark.parametrize("mode", ["all_or_nothing", "skip_bad"])
async def test_variants_without_a_parent_or_with_the_same_options_are_bad_rows(
    desk: Desk, chunk: int, mode: str
) -> None:
    desk.importer._chunk = chunk
    text = (
        VARIANTS
        + 'A,a,1,,NOWHERE,"{""size"":""L""}"\n'
        + 'B,b,1,,SHIRT-L,"{""size"":""L""}"\n'
        + 'C,c,1,,SHIRT,"{""SIZE"":""l""}"\n'
        + "D,d,1,,SHIRT,\n"
        + "E,e,1,,SHIRT,not json\n"
    )
    done = await importing(desk, text, mode=mode)
    assert done.bad() == [
        (5, "parent_sku"),
        (6, "parent_sku"),
        (7, "options"),
        (8, "options"),
        (9, "options"),
    ]


@pytest.mark.parametrize("mode", ["all_or_nothing", "skip_bad"])
async def test_variants_may_swap_their_options_in_one_file(desk: Desk, mode: str) -> None:
    await importing(desk, VARIANTS)
    swapped = 'sku,options\nSHIRT-L,"{""size"":""M""}"\nSHIRT-M,"{""size"":""L""}"\n'
    done = await importing(desk, swapped, mode=mode)
    assert done.figures() == (0, 2, 0, 0), done.errors
    taken = await importing(desk, 'sku,options\nSHIRT-L,"{""size"":""L""}"\n', mode=mode)
    assert taken.bad() == [(2, "options")]


async def test_a_product_keeps_the_stock_that_a_file_would_take_from_it(desk: Desk) -> None:
    await desk.create("MUG", stock=3)
    await desk.create("CUP")
    done = await importing(desk, "sku,track_stock\nMUG,false\nCUP,no\n", mode="skip_bad")
    assert done.bad() == [(2, "track_stock")]
    found = await products(desk)
    assert (found["MUG"].track_stock, found["CUP"].track_stock) == (True, False)


async def test_stock_that_arrives_while_a_row_ends_tracking_refuses_that_row_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The import ended with a fault of ours."""
    mug = await desk.create("MUG")
    levels, has_arrived = desk.store.levels, False

    async def levels_before_a_delivery(product_ids: Sequence[ProductId]) -> list[Level]:
        nonlocal has_arrived
        found = await levels(product_ids)
        if not has_arrived:
            has_arrived = True
            await desk.store.commit(moving(mug, 5))
        return found

    monkeypatch.setattr(desk.store, "levels", levels_before_a_delivery)
    text = "sku,name,price,track_stock\nMUG,Mug,1,false\nCUP,Cup,1,true\n"
    done = await importing(desk, text, mode="skip_bad")
    assert (done.bad(), done.figures()) == ([(2, "track_stock")], (1, 0, 0, 1))


async def test_backorder_can_not_end_under_units_already_promised(desk: Desk) -> None:
    await desk.create("MUG", allow_backorder=True)
    await desk.create("CUP", allow_backorder=True)
    await desk.order("MUG", 2)
    done = await importing(desk, "sku,allow_backorder\nMUG,false\nCUP,false\n", mode="skip_bad")
    assert done.bad() == [(2, "allow_backorder")]
    assert not (await products(desk))["CUP"].allow_backorder


async def test_rows_wait_for_nobody_while_an_admin_edits_the_same_products(desk: Desk) -> None:
    desk.importer._chunk = 5
    rows = "".join(f"P{number},Product {number},1,GBP,,\n" for number in range(40))
    await importing(desk, HEADER + rows)
    mug = (await products(desk))["P7"]

    async def editing() -> None:
        for number in range(20):
            patch = ProductPatch(description=f"edit {number}")
            await desk.catalog.patch(BY_ADMIN, mug.id, patch)

    renamed = HEADER + rows.replace("Product", "Thing")
    done, _ = await asyncio.gather(importing(desk, renamed, mode="skip_bad"), editing())
    assert done.figures() == (0, 40, 0, 0)
    found = await products(desk)
    assert (found["P7"].name, found["P7"].description) == ("Thing 7", "edit 19")


async def test_two_imports_of_the_same_file_at_once_make_each_product_once(desk: Desk) -> None:
    desk.importer._chunk = 7
    text = HEADER + "".join(f"P{number},x,1,GBP,,\n" for number in range(60))
    first, second = await asyncio.gather(importing(desk, text), importing(desk, text))
    assert first.report.created + second.report.created == 60
    assert len(await products(desk)) == 60


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("sku,name,colour,size\n", "'colour', 'size'"),
        ("name,price\n", "sku is missing"),
        ("sku,name,sku\n", "sku is there twice"),
        ("sku;name;price\nA;b;1\n", "commas"),
        ("sku,currency\n", "price"),
        ('sku,"name\n', "quotation mark"),
    ],
)
async def test_a_header_that_can_not_be_is_told_in_words(desk: Desk, text: str, words: str) -> None:
    with pytest.raises(Invalid, match=words) as refusal:
        await importing(desk, text)
    assert refusal.value.field == "header"


async def test_files_of_spreadsheets_are_read_as_they_come(desk: Desk) -> None:
    text = "SKU, Name ,Price\r\nMUG,Café,9.99\r\nCUP,Cup,1\r\n"
    assert (await importing(desk, stream(text, "utf-8-sig"))).figures() == (2, 0, 0, 0)
    assert (await products(desk))["MUG"].name == "Café"
    with pytest.raises(Invalid, match="UTF-8"):
        await importing(desk, stream(text, "utf-16"))


async def test_bytes_that_are_no_utf_8_are_a_bad_row_not_a_wrong_name(desk: Desk) -> None:
    text = "sku,name,price\nMUG,Café,1\nCUP,Cup,1\n"
    done = await importing(desk, stream(text, "latin-1"), mode="skip_bad")
    assert (done.bad(), done.figures()) == ([(2, "")], (1, 0, 0, 1))


async def test_a_quotation_mark_that_is_never_closed_is_told_with_its_line(desk: Desk) -> None:
    text = 'sku,name,price\nMUG,Mug,1\nCUP,"Cup,1\nBOWL,Bowl,1\n'
    done = await importing(desk, text, mode="skip_bad")
    assert done.bad() == [(3, "")]
    assert set(await products(desk)) == {"MUG"}


async def test_staff_may_not_import_products(desk: Desk) -> None:
    with pytest.raises(Forbidden):
        await desk.importer.import_products(stream(TWO), Call(principal=STAFF))
