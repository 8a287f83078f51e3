"""Finding things, reading pages in one's language, and errors that are pages."""

from __future__ import annotations

import gzip
import re

import pytest

from storekeeper.domain.events import PASSWORD_RESET_REQUESTED
from tests.api.shopfront import Front
from tests.web.browser import Visitor


async def test_search_filters_and_sort_find_what_they_say(visitor: Visitor):
    await visitor.go("/shop/products?q=lamp")
    assert "The lamp" in visitor.text
    assert "The mug" not in visitor.text
    await visitor.go("/shop/products?min=20&max=30,50&sort=-price")
    assert "The lamp" in visitor.text
    assert "The chair" not in visitor.text
    await visitor.go("/shop/products?category=home&in_stock=1&sort=price")
    names = re.findall(r"The (\w+)", visitor.text)
    assert names == ["mug", "lamp", "chair"]
    await visitor.go("/shop/products?q=nothinglikethis")
    assert "Nothing in the shop is like that" in visitor.text


@pytest.mark.parametrize("price", ["cheap", "1.234", "9" * 20, "nan"])
async def test_a_price_that_is_none_is_told_beside_it(visitor: Visitor, price: str):
    await visitor.go("/shop/products", params={"min": price})
    assert visitor.page.status_code == 422
    assert f'value="{price}"' in visitor.page.text
    assert 'id="min-wrong"' in visitor.page.text


async def test_the_results_alone_are_what_a_script_renews(visitor: Visitor):
    await visitor.go("/shop/products?q=lamp&part=1")
    assert "The lamp" in visitor.text
    assert "<html" not in visitor.page.text


async def test_marks_of_campaigns_do_no_harm(visitor: Visitor):
    assert (await visitor.go("/shop/products/MUG?utm_source=mail&x=1&x=2")).status_code == 200


@pytest.mark.parametrize("cursor", ["x", "é", "0" * 500])
async def test_a_made_up_place_in_a_list_is_a_page_that_says_so(visitor: Visitor, cursor: str):
    answer = await visitor.go("/shop/products", params={"cursor": cursor})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    "path", ["/shop/nothing", "/shop/products/NOTHING", "/admin/nothing", "/static/none.css"]
)
async def test_a_page_that_is_not_there_is_a_page(visitor: Visitor, path: str):
    answer = await visitor.http.get(path, headers={"X-Request-ID": "my-request"})
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "my-request" in answer.text


async def test_a_wrong_method_is_a_page(visitor: Visitor):
    answer = await visitor.http.put("/shop/cart")
    assert answer.status_code == 405
    assert answer.headers["content-type"].startswith("text/html")


async def test_files_are_kept_for_ever_and_change_their_address(visitor: Visitor):
    await visitor.go("/shop")
    for address in re.findall(r'(?:href|src)="(/static/[^"]+)"', visitor.page.text):
        answer = await visitor.http.get(address)
        assert answer.status_code == 200, address
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_first_visit_is_at_most_100_kb_over_the_wire(visitor: Visitor):
    await visitor.go("/shop/products")
    size = 0
    for address in ["/shop/products", *re.findall(r'"(/static/[^"]+)"', visitor.page.text)]:
        async with visitor.http.stream("GET", address) as answer:
            raw = b"".join([part async for part in answer.aiter_raw()])
            assert answer.headers["content-encoding"] == "gzip", address
            gzip.decompress(raw)
            size += len(raw)
    assert size < 100_000


async def test_the_language_is_the_browsers_until_one_is_chosen(front: Front, visitor: Visitor):
    german = {"Accept-Language": "fr;q=0.9,de-AT,en;q=0.5"}
    assert '<html lang="de">' in (await visitor.go("/shop", headers=german)).text
    assert '<html lang="en">' in (await visitor.go("/shop")).text
    await visitor.send("/shop/language", language="de")
    assert '<html lang="de">' in visitor.page.text
    assert "9,99\xa0£" in (await visitor.go("/shop/products/MUG")).text
    await visitor.send("/shop/language", language="klingon")
    assert visitor.page.status_code == 200


async def test_a_new_customer_registers_and_is_in(visitor: Visitor):
    await visitor.go("/shop/register?next=/shop/cart")
    await visitor.send("/shop/register", name="Eve", email="eve@example.com", password="short")
    assert visitor.page.status_code == 422
    assert visitor.fields("/shop/register")["email"] == "eve@example.com"
    assert visitor.fields("/shop/register")["password"] == "", "a password is never sent back"
    await visitor.send("/shop/register", password="several good words")
    assert visitor.page.url.path == "/shop/cart"
    assert "Welcome, Eve" in visitor.text
    await visitor.go("/shop/account")
    await visitor.send("/shop/account", name="Eva")
    assert "Your details are kept" in visitor.text
    await visitor.send("/shop/account/password", current="wrong", new_password="even better words")
    assert visitor.page.status_code == 422
    await visitor.send(
        "/shop/account/password", current="several good words", new_password="even better words"
    )
    assert "new password holds" in visitor.text
    await visitor.send("/shop/account/delete", password="wrong")
    assert visitor.page.status_code == 422
    await visitor.send("/shop/account/delete", password="even better words")
    assert visitor.page.url.path == "/shop"
    assert "Your account is deleted" in visitor.text


async def test_a_forgotten_password_is_answered_the_same_for_everybody(visitor: Visitor):
    for email in ("ada@example.com", "nobody@example.com"):
        await visitor.go("/shop/forgot")
        await visitor.send("/shop/forgot", email=email)
        assert "a link to set a new password is on its way" in visitor.text


async def test_the_mails_link_leads_to_a_page_that_sets_the_password(
    front: Front, visitor: Visitor
):
    """Without it, somebody who forgot the password and reads the mail could do nothing with it."""
    await visitor.go("/shop/forgot")
    await visitor.send("/shop/forgot", email="ada@example.com")
    stored = await front.shop.store.events_after(0, 1_000)
    event = stored[-1].event
    assert event.kind == PASSWORD_RESET_REQUESTED
    secret = front.shop.reset_secrets.secret(event.data["link"])
    await visitor.go("/reset", params={"token": secret})
    assert visitor.page.headers["cache-control"] == "no-store"
    await visitor.send("/reset", new_password="a new password 1", again="a new password 2")
    assert "The same once more: The two passwords differ." in visitor.text
    await visitor.send("/reset", new_password="short", again="short")
    assert visitor.page.status_code == 422
    assert visitor.fields("/reset")["token"] == secret, "the form is still good"
    form = visitor.fields("/reset")
    await visitor.send("/reset", new_password="a new password 1", again="a new password 1")
    assert "Your new password is set" in visitor.text
    again = form | {"new_password": "a new password 3", "again": "a new password 3"}
    visitor.page = await visitor.http.post("/reset", data=again)
    assert visitor.page.status_code == 422
    assert 'href="/shop/forgot"' in visitor.page.text
    await visitor.go("/shop/login")
    await visitor.send("/shop/login", email="ada@example.com", password="a new password 1")
    assert visitor.page.url.path == "/shop"


async def test_a_link_that_is_none_gives_a_page_all_the_same(visitor: Visitor):
    for token in ("", '"><script>alert(1)</script>'):
        await visitor.go("/reset", params={"token": token})
        assert visitor.page.status_code == 200
        assert "<script>alert" not in visitor.page.text
        assert ('name="new_password"' in visitor.page.text) == bool(token)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("min=x", "Please mend the price"),
        ("max=x", "Please mend the price"),
        ("cursor=zzzz", "be looked for. Look at all products"),
        ("q=%00", "be looked for. Look at all products"),
    ],
)
async def test_what_is_in_the_way_of_a_list_is_what_is_told(
    visitor: Visitor, asked: str, told: str
):
    await visitor.go(f"/shop/products?{asked}")
    assert visitor.page.status_code == 422
    assert told in " ".join(visitor.text.split())
