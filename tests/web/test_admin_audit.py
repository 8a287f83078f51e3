"""Admins see who changed what, change the shop's settings, and lose nothing to each other."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from storekeeper.domain.shop_settings import SETTINGS, ShopSettings
from storekeeper.domain.work import WebhookEndpoint
from tests.api.shopfront import Seed
from tests.web.desk import Desk, desk_at, forms_of, text_of

AUDIT = "/admin/audit"
SHOP = "/admin/settings"
HOOKS = "/admin/notifications"
NEW = "/admin/products/new"


async def new_price(desk: Desk, sku: str, pence: int) -> None:
    answer = await desk.front.http.patch(
        f"/products/{desk.front.seed.products[sku]}",
        json={"price": {"amount": pence, "currency": "GBP"}},
        headers=desk.front.who("root"),
    )
    assert answer.status_code == 200


async def test_a_price_is_found_in_the_log_by_who_what_and_action(desk: Desk):
    await new_price(desk, "MUG", 1_234)
    shown = await desk.look(AUDIT)
    assert "Product changed The mug (MUG)" in shown
    assert "Price 9.99 GBP 12.34 GBP" in shown
    for filters in ("what=mug", "who=root@example.com", "action=product.changed"):
        assert "12.34" in await desk.look(f"{AUDIT}?{filters}")
    for filters in ("what=LAMP&action=product.changed", "action=product.deleted"):
        assert "No change fits these filters." in await desk.look(f"{AUDIT}?{filters}")
    product = await desk.page(f"/admin/products/{desk.front.seed.products['MUG']}")
    assert f"{AUDIT}?what=" in product


@pytest.mark.parametrize(
    ("filters", "says"),
    [
        ("who=nobody@example.com", "Nobody has this address."),
        ("what=NOTHING", "There is nothing of this name now."),
        ("action=product.eaten", "There is no such action; choose one of the list."),
    ],
)
async def test_a_filter_that_means_nothing_is_told_beside_it(desk: Desk, filters: str, says: str):
    shown = await desk.page(f"{AUDIT}?{filters}", 422)
    assert says in text_of(shown)
    if not filters.startswith("action"):  # a list has nothing that isn't in it
        assert filters.partition("=")[2] in shown


async def test_the_log_goes_out_as_csv_with_the_same_filters(desk: Desk):
    await new_price(desk, "MUG", 1_234)
    answer = await desk.http.get(f"{AUDIT}/export?what=MUG&action=product.changed")
    assert answer.headers["content-disposition"] == 'attachment; filename="audit.csv"'
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert (row["label"], row["field"]) == ("MUG", "price")
    assert "12.34" in row["after"]


async def test_staff_see_neither_the_log_nor_the_settings(tmp_path: Path, seed_on_sqlite: Seed):
    async with desk_at(tmp_path, seed_on_sqlite, "sam") as sam:
        for address in (AUDIT, f"{AUDIT}/export", SHOP):
            assert (await sam.http.get(address)).status_code == 403
        assert AUDIT not in await sam.page("/admin/system")


async def test_the_shops_name_and_its_address_for_questions_hold_at_once(desk: Desk):
    sent = await desk.send(SHOP, SHOP, shop_name="Ada & Co", contact_email="ask@ada.example")
    assert sent.headers["location"] == SHOP
    home = await desk.page("/shop")
    assert "Ada &amp; Co" in home
    assert "ask@ada.example" in home
    await desk.send(SHOP, SHOP, shop_name="", contact_email="")
    assert "Storekeeper" in await desk.page("/shop")


async def test_who_saves_settings_second_is_shown_both_and_loses_nothing(desk: Desk):
    old = await desk.page(SHOP)
    await desk.send(SHOP, SHOP, shop_name="First")
    refused = await desk.send(SHOP, SHOP, page=old, status=409, shop_name="Second")
    assert "Now it is: First" in text_of(refused.text)
    assert 'value="Second"' in refused.text
    await desk.send(SHOP, SHOP, page=refused.text, shop_name="Second")
    kept = await desk.front.shop.store.get(ShopSettings, SETTINGS)
    assert kept is not None
    assert kept.shop_name == "Second"


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("reservation_minutes", "0"),
        ("reservation_minutes", "1e3"),
        ("reservation_minutes", "10081"),
        ("low_stock_threshold", "-1"),
        ("low_stock_threshold", "9" * 12),
        ("contact_email", "nobody"),
        ("shop_name", "x" * 5_000),
    ],
)
async def test_a_setting_that_cant_be_is_told_and_kept_in_the_form(
    desk: Desk, name: str, typed: str
):
    answer = await desk.send(SHOP, SHOP, {name: typed}, status=422)
    assert f'id="{name}-wrong"' in answer.text
    assert f'value="{typed}"' in answer.text
    assert await desk.front.shop.store.get(ShopSettings, SETTINGS) is None


async def test_the_usual_reorder_point_stands_in_the_form_of_a_new_product(desk: Desk):
    await desk.send(SHOP, SHOP, low_stock_threshold="4")
    (form,) = [one for one in forms_of(await desk.page(NEW)) if one.action == NEW]
    assert form.fields["low_stock_threshold"] == "4"


async def test_a_note_is_written_kept_once_and_taken_away_by_its_author(desk: Desk):
    order = await desk.front.placed("ada")
    path = f"/admin/orders/{order['id']}"
    page = await desk.page(path)
    for _ in range(2):
        await desk.send(path, "/notes", page=page, note_text="<b>Rang</b> her.")
    shown = await desk.page(path)
    assert shown.count("&lt;b&gt;Rang&lt;/b&gt; her.") == 1
    refused = await desk.send(path, "/notes", status=422, note_text="x" * 2_001)
    assert "x" * 2_001 in refused.text
    await desk.send(path, "/remove")
    assert "Nobody has written anything down yet." in await desk.look(path)


async def test_an_endpoint_is_changed_in_its_place_and_by_one_at_a_time(desk: Desk):
    store = desk.front.shop.store
    await desk.send(HOOKS, HOOKS, status=200, url="https://hooks.example/in")
    (endpoint,) = (await store.list_all(WebhookEndpoint, limit=9)).items
    path = f"{HOOKS}/{endpoint.id}"
    old = await desk.page(path)
    await desk.send(path, "/change", {"kinds": ["order.placed"]}, description="The ERP")
    refused = await desk.send(path, "/change", page=old, status=422, description="The till")
    assert "Somebody else changed it meanwhile." in text_of(refused.text)
    assert 'value="The till"' in refused.text
    wrong = await desk.send(path, "/change", status=422, url="ftp://hooks.example")
    assert 'id="url-wrong"' in wrong.text
    kept = await store.get(WebhookEndpoint, endpoint.id)
    assert kept is not None
    assert (kept.url, kept.description, kept.kinds) == (
        "https://hooks.example/in",
        "The ERP",
        ("order.placed",),
    )
    assert kept.secrets == endpoint.secrets


async def test_the_system_page_tells_what_went_wrong_and_who_works(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    assert "Nothing has gone wrong since this process started." in await desk.look("/admin/system")

    async def broken(*_: object) -> None:
        raise RuntimeError("ada@example.com is in the words of a fault")

    monkeypatch.setattr(desk.front.shop.reports, "summary", broken)
    failed = await desk.http.get("/reports/summary", headers=desk.front.who("root"))
    assert failed.status_code == 500
    shown = await desk.look("/admin/system")
    assert "RuntimeError" in shown
    assert failed.headers["x-request-id"] in shown
    assert "ada@example.com" not in shown
    assert "SQLite" in shown
    assert "(this one)" in shown


async def test_whose_key_it_was_is_said_by_name(desk: Desk):
    await desk.send(
        "/admin/system/keys", "/keys", {"scopes": "orders:read"}, status=200, name="erp"
    )
    assert "Whose root@example.com" in await desk.look(f"{AUDIT}?action=api_key.created")
