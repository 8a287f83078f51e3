"""Who keeps the catalogue in a browser loses nothing: not what they typed, not what others did."""

from __future__ import annotations

import asyncio
import html
import io
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.pictures import Picture
from storekeeper.services.base import BY_SYSTEM
from storekeeper.services.catalog import PricePatch, ProductPatch
from storekeeper.services.inventory import AdjustRequest
from storekeeper.store.port import Listed
from storekeeper.web.admin.products_fields import lines_of, pairs_of
from tests.api.contract import Contract
from tests.api.shopfront import Seed, in_one_task, seed_shop
from tests.support.clock import START
from tests.web.office import Office, another_office, front_for_pages

LIST = "/admin/products"


@pytest.fixture(scope="module")
def shop_seed(tmp_path_factory: pytest.TempPathFactory) -> Seed:
    return seed_shop(tmp_path_factory.mktemp("seed"))


@pytest.fixture(scope="module")
def contracts() -> dict[str, Contract]:
    return {}


@pytest.fixture
async def office(
    tmp_path: Path, shop_seed: Seed, contracts: dict[str, Contract]
) -> AsyncIterator[Office]:
    async with (
        in_one_task(front_for_pages(tmp_path, shop_seed, contracts)) as front,
        another_office(front, "root") as office,
    ):
        yield office


async def product_of(office: Office, sku: str) -> Listed:
    return await office.front.shop.catalog.by_sku(BY_SYSTEM.principal, sku)


async def change_price(office: Office, sku: str, amount: int) -> None:
    patch = ProductPatch(price=PricePatch(amount=amount))
    await office.front.shop.catalog.patch(BY_SYSTEM, office.front.seed.products[sku], patch)


async def take_away(office: Office, sku: str, units: int) -> None:
    request = AdjustRequest(sku=sku, quantity=-units, reason="lost")
    await office.front.shop.inventory.adjust(BY_SYSTEM, request)


def shown(office: Office) -> list[str]:
    """The products of the table, by SKU."""
    return re.findall(r'<span class="faint">(CHAIR|LAMP|MUG)\b', office.page.text)


# -- the table


ALL = ["CHAIR", "LAMP", "MUG"]
LOOKED_FOR = {
    "": ALL,
    "?q=lamp": ["LAMP"],
    "?category=home": ALL,
    "?category=Garden": [],
    "?status=archived": [],
    "?status=all&sort=-price": ["CHAIR", "LAMP", "MUG"],
    "?sort=price": ["MUG", "LAMP", "CHAIR"],
    "?stock=low": [],
    "?stock=out": [],
    "?status=nonsense&stock=nonsense&sort=nonsense": ALL,
}


async def test_the_table_shows_what_is_looked_for(office: Office):
    for query, skus in LOOKED_FOR.items():
        page = await office.go(LIST + query)
        assert (query, page.status_code, shown(office)) == (query, 200, skus)


async def test_what_is_low_and_what_has_run_out_is_found(office: Office):
    await take_away(office, "LAMP", 7)
    await take_away(office, "CHAIR", 1)
    await office.go(f"{LIST}?stock=low")
    assert shown(office) == ["LAMP"]
    await office.go(f"{LIST}?stock=out")
    assert shown(office) == ["CHAIR"]


async def test_a_cursor_that_is_none_is_told_and_leads_to_the_first_page(office: Office):
    page = await office.go(f"{LIST}?cursor=nonsense")
    assert page.status_code == 422
    assert "From the first page" in office.text


async def test_price_and_units_are_changed_in_a_row(office: Office):
    await office.go(f"{LIST}?q=mug")
    page = await office.send(f"{office.product('MUG')}/quick?q=mug", price="12,50", on_hand="90")
    assert page.url.query == b"q=mug", "back at the list as it was looked at"
    assert "The mug is saved." in office.text
    mug = await product_of(office, "MUG")
    assert (mug.product.price.amount, mug.stock.on_hand) == (1_250, 90)


WRONG_ROWS = (
    ("price", "abc", "Please type an amount such as 19.99"),
    ("price", "-1", "less than nothing"),
    ("price", "1.999", "An amount in GBP doesn't have so many decimals"),
    ("on_hand", "-3", "Type a whole number, 0 or more."),
    ("on_hand", "9" * 40, "Type a whole number, 0 or more."),
)


async def test_a_row_says_what_is_wrong_and_keeps_what_was_typed(office: Office):
    for field, text, told in WRONG_ROWS:
        await office.go(LIST)
        page = await office.send(f"{office.product('MUG')}/quick", {field: text})
        assert page.status_code == 422
        assert told in office.text
        assert f'value="{text}"' in page.text
    mug = await product_of(office, "MUG")
    assert (mug.product.version, mug.stock.on_hand) == (1, 100)


async def test_units_that_were_sold_since_are_not_counted_back(office: Office):
    """100 were shown, 40 went; "100, as I see" would make them up again."""
    await office.go(LIST)
    await take_away(office, "MUG", 40)
    page = await office.send(f"{office.product('MUG')}/quick", on_hand="99", price="1.00")
    assert page.status_code == 409
    assert "There are 60 units on hand now" in office.text
    mug = await product_of(office, "MUG")
    assert (mug.product.price.amount, mug.stock.on_hand) == (999, 60), "nothing was done by half"
    await office.send(f"{office.product('MUG')}/quick", on_hand="99")
    assert (await product_of(office, "MUG")).stock.on_hand == 99


async def test_a_price_that_somebody_changed_meanwhile_is_not_overwritten_unseen(office: Office):
    await office.go(LIST)
    await change_price(office, "MUG", 500)
    page = await office.send(f"{office.product('MUG')}/quick", price="7.00")
    assert page.status_code == 422
    assert "it costs £5.00 now" in office.text
    assert (await product_of(office, "MUG")).product.price.amount == 500
    await office.send(f"{office.product('MUG')}/quick", price="7.00")
    assert (await product_of(office, "MUG")).product.price.amount == 700


async def test_a_double_click_saves_once(office: Office):
    await office.go(LIST)
    action = f"{office.product('MUG')}/quick"
    data = office.fields(action) | {"price": "7.00", "on_hand": "5"}
    twice = [await office.http.post(action, data=data) for _ in range(2)]
    assert [answer.status_code for answer in twice] == [303, 303]
    mug = await product_of(office, "MUG")
    assert (mug.product.version, mug.stock.on_hand) == (2, 5)


async def test_staff_count_but_set_no_prices_and_customers_see_nothing(office: Office):
    async with another_office(office.front, "sam") as sam:
        await sam.go(LIST)
        assert 'name="price"' not in sam.page.text
        await sam.send(f"{office.product('MUG')}/quick", on_hand="7", price="0.01")
        assert (await sam.go(f"{LIST}/new")).status_code == 403
        page = await sam.http.post(office.product("MUG"), files={"image": b""})
        assert page.status_code == 403
    mug = await product_of(office, "MUG")
    assert (mug.product.price.amount, mug.stock.on_hand) == (999, 7)
    async with another_office(office.front, "ada") as ada:
        assert (await ada.go(LIST)).status_code == 403
    async with another_office(office.front, "") as guest:
        assert (await guest.go(LIST)).url.path == "/shop/login"


# -- a product's own page

EVERYTHING = {
    "sku": "VASE",
    "name": "A vase",
    "price": "19,90",
    "currency": "eur",
    "category": "Glass",
    "tags": "blue, hand made",
    "description": "First.\n\nSecond.",
    "track_stock": "1",
    "allow_backorder": "1",
    "low_stock_threshold": "4",
    "attributes": "height: 30 cm\nnote: a: b",
    "image_url": "https://example.com/vase.jpg",
}


async def test_a_product_is_made_with_all_its_fields_and_shown_as_it_was_typed(office: Office):
    await office.go(f"{LIST}/new")
    page = await office.send(f"{LIST}/new", EVERYTHING, whole=True)
    assert page.status_code == 200, office.text
    vase = (await product_of(office, "VASE")).product
    assert (vase.price.amount, vase.price.currency, vase.tags) == (
        1990,
        "EUR",
        ("blue", "hand made"),
    )
    assert vase.attributes == {"height": "30 cm", "note": "a: b"}
    assert (vase.allow_backorder, vase.low_stock_threshold) == (True, 4)
    shows = office.fields(page.url.path)
    assert {name: shows[name] for name in EVERYTHING} == EVERYTHING | {
        "price": "19.90",
        "currency": "EUR",
    }


async def test_a_product_is_made_once_however_often_its_form_is_sent(office: Office):
    await office.go(f"{LIST}/new")
    data = office.fields(f"{LIST}/new") | EVERYTHING
    files = {"image": ("", b"")}
    first = await office.http.post(f"{LIST}/new", data=data, files=files)
    second = await office.http.post(f"{LIST}/new", data=data, files=files)
    assert (first.status_code, second.status_code) == (303, 303)
    assert first.headers["location"] == second.headers["location"]


WRONG_FORMS = (
    ("name", "", "Please fill this in."),
    ("sku", "mug", "Another product has the SKU mug."),
    ("price", "1,999.00", "Please type an amount such as 19.99"),
    ("currency", "XXX", "is no currency"),
    ("tags", "a, b, a", "A tag stands there twice."),
    ("low_stock_threshold", "few", "Type a whole number"),
    ("attributes", "no colon", "has no colon"),
    ("attributes", "a: 1\na: 2", "stands there twice"),
    ("parent", "NOBODY", "There is no product with the SKU NOBODY."),
    ("parent", "LAMP", "LAMP isn't a product with variants."),
    ("image_url", "nonsense", "must be a web address"),
    ("status", "sold", "must be one of"),
)


async def test_a_form_says_what_is_wrong_and_keeps_the_rest(office: Office):
    for field, text, told in WRONG_FORMS:
        await office.go(f"{LIST}/new")
        typed = EVERYTHING | {"options": "size: L"} | {field: text}
        page = await office.send(f"{LIST}/new", typed, whole=True)
        assert (field, page.status_code) == (field, 422)
        assert f'href="#{field}"' in page.text
        assert told in office.text
        shows = office.fields(f"{LIST}/new")
        typed.pop("status", None)  # a choice that isn't one of those there can't be shown
        assert {name: shows[name] for name in typed} == typed


async def test_a_variant_is_made_from_its_parents_page(office: Office):
    await office.go(f"{LIST}/new")
    await office.send(
        f"{LIST}/new", whole=True, sku="SHIRT", name="Shirt", price="20", is_parent="1"
    )
    assert "parent=SHIRT" in office.page.text
    await office.go(f"{LIST}/new?parent=SHIRT")
    assert office.fields(f"{LIST}/new")["price"] == "20.00"
    page = await office.send(f"{LIST}/new", whole=True, sku="SHIRT-L", options="size: L")
    assert page.status_code == 200, office.text
    parent, variant = await product_of(office, "SHIRT"), await product_of(office, "SHIRT-L")
    assert variant.product.parent_id == parent.product.id
    assert variant.product.options == {"size": "L"}


async def test_what_was_not_touched_stays_to_the_letter(office: Office):
    """A value that a form can't show exactly isn't changed by saving something else."""
    attributes = {"path": "C:\\new", "two\nlines": " spaced "}
    await office.front.shop.catalog.patch(
        BY_SYSTEM,
        office.front.seed.products["MUG"],
        ProductPatch(attributes={"path": "C:\\new", "size": " spaced "}, description="a\r\nb"),
    )
    assert pairs_of(lines_of(attributes)) == {"path": "C:\\new", "two\nlines": "spaced"}
    await office.go(office.product("MUG"))
    await office.send(office.product("MUG"), whole=True, name="Better mug")
    mug = (await product_of(office, "MUG")).product
    assert (mug.name, mug.description) == ("Better mug", "a\r\nb")
    assert mug.attributes == {"path": "C:\\new", "size": " spaced "}


async def test_two_who_change_one_product_see_both_versions_and_lose_neither(office: Office):
    address = office.product("MUG")
    async with another_office(office.front, "root") as other:
        await office.go(address)
        await other.go(address)
        await other.send(address, whole=True, name="Their mug", category="Cups")
        page = await office.send(
            address, whole=True, name="My mug", description="Mine.", price="5.00"
        )
        assert page.status_code == 409
        choices = office.fields(address)
        assert choices["take:name"] == "mine", "both changed it: what was typed comes first"
        assert choices["take:category"] == "theirs", "only they changed it"
        assert choices["take:description"] == "mine"
        assert "both changed it" in office.text
        assert (await product_of(office, "MUG")).product.name == "Their mug"
        page = await office.send(address, {"take:name": "theirs"}, whole=True)
    assert page.status_code == 200
    mug = (await product_of(office, "MUG")).product
    assert (mug.name, mug.category, mug.description) == ("Their mug", "Cups", "Mine.")
    assert mug.price.amount == 500


async def test_a_third_change_while_one_chooses_is_shown_too(office: Office):
    address = office.product("MUG")
    await office.go(address)
    await change_price(office, "MUG", 100)
    await office.send(address, whole=True, name="Mine")
    await change_price(office, "MUG", 200)
    page = await office.send(address, whole=True)
    assert page.status_code == 409
    page = await office.send(address, whole=True)
    assert page.status_code == 200
    mug = (await product_of(office, "MUG")).product
    assert (mug.name, mug.price.amount) == ("Mine", 200)


async def test_archiving_deleting_and_their_refusals(office: Office):
    address = office.product("MUG")
    await office.go(address)
    await office.send(f"{address}/delete")
    assert "There are 100 units of MUG on hand" in office.text
    await office.send(f"{address}/archive")
    assert (await product_of(office, "MUG")).product.status == "archived"
    await office.send(f"{address}/unarchive")
    assert "The mug is on sale." in office.text
    stale = office.fields(f"{address}/archive")
    await change_price(office, "MUG", 1)
    await office.http.post(f"{address}/archive", data=stale)
    assert (await product_of(office, "MUG")).product.status == "active"
    await take_away(office, "CHAIR", 1)
    await office.go(office.product("CHAIR"))
    page = await office.send(f"{office.product('CHAIR')}/delete")
    assert page.url.path == LIST
    assert (await office.go(office.product("CHAIR"))).status_code == 404


# -- many at once


def lines_in(office: Office) -> list[str]:
    return re.findall(r'name="line" value="([^"]+)"', office.page.text)


async def preview(office: Office, **typed: str) -> None:
    await office.go(LIST)
    chosen = {**office.fields(f"{LIST}/bulk"), "line": lines_in(office), **typed}
    office.page = await office.http.post(f"{LIST}/bulk", data=chosen, follow_redirects=True)


async def confirm(office: Office) -> None:
    action = f"{LIST}/bulk/apply"
    data = {**office.fields(action), "line": lines_in(office)}
    office.page = await office.http.post(action, data=data, follow_redirects=True)


async def test_prices_are_changed_after_a_look_at_before_and_after(office: Office):
    await preview(office, action="percent", by="-10 %")
    assert "£8.99" in office.text
    assert (await product_of(office, "MUG")).product.price.amount == 999, "nothing is done yet"
    await confirm(office)
    assert "3 products are changed." in office.text
    prices = [(await product_of(office, sku)).product.price.amount for sku in ("MUG", "LAMP")]
    assert prices == [899, 2_249]


async def test_a_product_that_changed_meanwhile_is_told_and_left(office: Office):
    await preview(office, action="amount", by="1")
    await change_price(office, "LAMP", 5_000)
    data = {**office.fields(f"{LIST}/bulk/apply"), "line": lines_in(office)}
    for _ in range(2):  # a second click changes nothing more
        office.page = await office.http.post(f"{LIST}/bulk/apply", data=data)
        assert office.page.status_code == 409
        assert "2 products are changed." in office.text
        assert "The lamp</a> (LAMP, £50.00): Somebody changed it meanwhile." in office.text
    prices = [
        (await product_of(office, sku)).product.price.amount for sku in ("MUG", "LAMP", "CHAIR")
    ]
    assert prices == [1_099, 5_000, 8_000]


async def test_many_are_archived_and_put_on_sale_again(office: Office):
    await preview(office, action="archive")
    await confirm(office)
    await office.go(LIST)
    assert shown(office) == []
    await office.go(f"{LIST}?status=archived")
    assert shown(office) == ["CHAIR", "LAMP", "MUG"]


async def test_a_change_that_is_none_is_refused_before_anything_is_shown(office: Office):
    chosen: list[str] = []
    for by in ("", "nothing", "0", "-101", "1e9", "NaN"):
        await preview(office, action="percent", by=by)
        chosen = lines_in(office)
        assert office.page.status_code == 422
        assert 'id="by-wrong"' in office.page.text
        assert office.fields(f"{LIST}/bulk")["by"] == by
        assert 'value="percent" selected' in office.page.text
        assert len(chosen) == 3, "whoever mistypes chooses nothing twice"
    mended = {**office.fields(f"{LIST}/bulk"), "line": chosen, "by": "-10"}
    office.page = await office.http.post(f"{LIST}/bulk", data=mended)
    assert "£8.99" in office.text


async def test_a_price_is_typed_as_the_language_writes_it(office: Office):
    german = {"Accept-Language": "de"}
    address = office.product("MUG")
    office.page = await office.http.get(address, headers=german)
    form = office.fields(address)
    assert form["price"] == "9,99"
    for typed, amount in (("9,99", 999), ("10,49", 1_049), ("11.5", 1_150)):
        office.page = await office.http.get(address, headers=german)
        parts = {name: (None, text) for name, text in office.fields(address).items()}
        parts["price"] = (None, typed)
        await office.http.post(address, files=parts, headers=german)
        assert (await product_of(office, "MUG")).product.price.amount == amount


async def test_all_that_is_wrong_with_a_product_is_told_at_once_in_the_readers_language(
    office: Office,
):
    await office.go(f"{LIST}/new")
    wrong = {"sku": "A\nB", "name": "n" * 1_000, "category": "c" * 500, "price": "12.3456"}
    parts = {name: (None, text) for name, text in (office.fields(f"{LIST}/new") | wrong).items()}
    german = {"Accept-Language": "de"}
    page = await office.http.post(f"{LIST}/new", files=parts, headers=german)
    assert page.status_code == 422
    assert "Ein Betrag in GBP hat nicht so viele Nachkommastellen." in page.text
    parts["price"] = (None, "12.34")
    page = await office.http.post(f"{LIST}/new", files=parts, headers=german)
    for name in ("sku", "name", "category"):
        assert f'id="{name}-wrong"' in page.text, name
    assert "Bitte höchstens 200 Zeichen." in html.unescape(page.text)
    assert "must" not in page.text


async def test_a_price_that_would_be_less_than_nothing_is_left(office: Office):
    await preview(office, action="amount", by="-20")
    assert office.text.count("Left as it is:") == 1, "the mug costs 9.99"
    await confirm(office)
    assert (await product_of(office, "MUG")).product.price.amount == 999
    assert (await product_of(office, "LAMP")).product.price.amount == 499


# -- pictures


def a_picture(
    kind: str = "JPEG", size: tuple[int, int] = (2_400, 1_200), mode: str = "RGB", **more: Any
) -> bytes:
    target = io.BytesIO()
    Image.new(mode, size).save(target, kind, **more)
    return target.getvalue()


def where_it_was_taken() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    exif[0x010E] = "taken at home"
    return exif


async def upload(office: Office, data: bytes, name: str = "mug.jpg", **typed: str) -> None:
    address = office.product("MUG")
    await office.go(address)
    await office.send(address, typed, file=("image", (name, data, "image/jpeg")))


async def test_a_picture_is_made_small_upright_and_free_of_where_it_was_taken(office: Office):
    await upload(office, a_picture(exif=where_it_was_taken()))
    url = (await product_of(office, "MUG")).product.image_url
    assert url is not None
    assert re.fullmatch(r"/images/[0-9a-f]{32}\.webp", url)
    answer = await office.http.get(url)
    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in answer.headers
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert picture.size == (600, 1_200)
        assert not picture.getexif()
    assert b"taken at home" not in answer.content


async def test_what_is_no_picture_is_refused_and_what_was_typed_is_kept(office: Office):
    no_pictures = {
        b"<svg onload='alert(1)'>": "This isn't a picture that can be read",
        a_picture()[:2_000]: "This isn't a picture that can be read",
        a_picture("BMP", (10, 10)): "This isn't a picture that can be read",
        a_picture("PNG", (9_000, 9_000), "1"): "more than 40 million pixels",
    }
    for data, told in no_pictures.items():
        await upload(office, data, name="New name", description="Typed.")
        assert office.page.status_code == 422
        assert told in office.text
        assert office.fields(office.product("MUG"))["description"] == "Typed."
    assert (await product_of(office, "MUG")).product.version == 1


async def test_a_file_that_is_too_large_is_refused_without_being_kept(office: Office):
    await upload(office, b"\xff" * 10_000_001)
    assert office.page.status_code == 422
    assert "at most 10 MB" in office.text


async def test_a_picture_is_not_lost_while_something_else_is_mended(office: Office):
    await upload(office, a_picture("PNG", (20, 20)), price="abc")
    assert office.page.status_code == 422
    kept = office.fields(office.product("MUG"))["image_url"]
    await office.send(office.product("MUG"), whole=True, price="3")
    assert (await product_of(office, "MUG")).product.image_url == kept


async def test_a_picture_that_was_removed_meanwhile_is_told_beside_its_field(office: Office):
    gone = Picture(id=f"{'a' * 32}.webp", version=1, shop="", kept_at=START, state="gone")
    await office.front.shop.store.commit(ChangeSet(puts=(Put(gone),)))
    await office.go(office.product("MUG"))
    await office.send(office.product("MUG"), whole=True, image_url=gone.address, name="Renamed")
    assert office.page.status_code == 422
    assert "This picture was removed because no product showed it. Upload it again." in office.text
    assert office.fields(office.product("MUG"))["name"] == "Renamed"
    assert (await product_of(office, "MUG")).product.version == 1


async def test_one_picture_is_one_file(office: Office, tmp_path: Path):
    await upload(office, a_picture("PNG", (20, 20)))
    await upload(office, a_picture("PNG", (20, 20)))
    assert len(list((tmp_path / "images").iterdir())) == 1


async def test_nothing_but_pictures_is_served_as_one(office: Office):
    for name in ("none.webp", "..%2Fshop.db", "a" * 32 + ".svg", "0" * 32 + ".webp"):
        assert (await office.http.get(f"/images/{name}")).status_code == 404


async def test_a_form_with_a_file_has_to_be_ours(office: Office, tmp_path: Path):
    """Nothing of a file is read for a page of another site."""
    address = office.product("MUG")
    await office.go(address)
    data = office.fields(address) | {"csrf": "made up", "name": "Taken over"}
    answers = [
        await office.http.post(address, data=data, files={"image": ("a.png", a_picture("PNG"))}),
        await office.http.post(
            address,
            data=office.fields(address),
            files={"image": ("a.png", a_picture("PNG"))},
            headers={"Sec-Fetch-Site": "cross-site"},
        ),
    ]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert not (tmp_path / "images").exists()
    assert (await product_of(office, "MUG")).product.version == 1


async def test_two_pictures_at_the_same_time_are_both_kept(office: Office):
    images = office.front.shop.images
    paths = await asyncio.gather(
        images.keep(BY_SYSTEM, a_picture("PNG", (10, 10))),
        images.keep(BY_SYSTEM, a_picture("PNG", (11, 11))),
    )
    assert len(set(paths)) == 2
