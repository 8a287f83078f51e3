"""What nobody types by accident, and what happens to a browser's answers on their way."""

from __future__ import annotations

import base64
import re
import zlib
from typing import Any

import msgspec
import pytest

from storekeeper.domain.carts import MOST_CART_LINES
from tests.api.shopfront import PASSWORD, Front
from tests.web.browser import Visitor, visitor_at

ADDRESS: dict[str, Any] = {"name": "Ada", "line1": "1 Main St", "city": "Leeds", "country": "GB"}


def a_cart(*lines: tuple[str, int, int, str]) -> str:
    packed = zlib.compress(msgspec.json.encode(lines), 9)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


async def put_in_cart(visitor: Visitor, sku: str = "MUG", quantity: int = 1) -> None:
    await visitor.go(f"/shop/products/{sku}")
    await visitor.send("/shop/cart/add", quantity=str(quantity))


async def checkout_form(visitor: Visitor) -> dict[str, str]:
    await visitor.go("/shop/checkout")
    return visitor.fields("/shop/checkout") | ADDRESS | {"email": "guest@example.com"}


async def test_cookies_of_other_programs_on_the_host_log_nobody_out(front: Front, visitor: Visitor):
    await visitor.log_in("ada")
    own = "; ".join(f"{name}={value}" for name, value in visitor.http.cookies.items())
    async with visitor_at(front) as browser:
        for foreign in ('state={"a": "b, c"}', "x", "=", "a=b=c", 'half="', "access"):
            headers = {"Cookie": f"{foreign}; {own}"}
            answer = await browser.http.get("/shop/orders", headers=headers)
            assert answer.status_code == 200, foreign


async def test_an_address_that_only_the_router_takes_opens_nothing(front: Front):
    """The gate lets people in by cookie or programs by key; nobody gets by it to the other's."""
    async with visitor_at(front, **front.who("root")) as program:
        for path in ("//shop/account", "//admin", "//shop/login", "/shop//account"):
            for method in ("GET", "POST"):
                answer = await program.http.request(method, f"http://shop.example{path}")
                assert answer.status_code in (303, 403, 404, 405), (method, path, answer.text)


async def test_a_language_that_there_is_none_of_is_not_kept(visitor: Visitor):
    await visitor.go("/shop")
    form = visitor.fields("/shop/language")
    for language in ("en; Domain=evil", "e\nX: y", "ü", "", "d" * 5_000):
        answer = await visitor.http.post("/shop/language", data=form | {"language": language})
        assert answer.status_code == 303
        assert not [c for c in answer.headers.get_list("set-cookie") if c.startswith("language")]


async def test_an_answer_that_got_lost_logs_nobody_out(front: Front, visitor: Visitor):
    """A page that is left before it comes takes its new cookies with it."""
    await visitor.log_in("ada")
    kept = visitor.http.cookies["refresh"]
    front.clock.advance(seconds=901)
    async with visitor_at(front) as lost:
        lost.take({"refresh": kept})
        await lost.http.get("/shop/orders")
        newest = lost.http.cookies["refresh"]
    front.clock.advance(seconds=5)
    await visitor.go("/shop/orders")
    assert visitor.http.cookies["refresh"] == newest
    for _ in range(2):
        front.clock.advance(seconds=901)
        assert (await visitor.go("/shop/orders")).url.path == "/shop/orders"


async def test_a_link_to_the_log_in_leads_back_and_never_grows(visitor: Visitor):
    await visitor.go("/shop/products?q=mug")
    for _ in range(3):
        link = re.search(r'href="(/shop/login\?[^"]+)"', visitor.page.text)
        assert link is not None
        assert link[1] == "/shop/login?next=%2Fshop%2Fproducts%3Fq%3Dmug"
        await visitor.go(link[1])


async def test_a_full_cart_keeps_nobody_from_logging_in(front: Front, visitor: Visitor):
    async with visitor_at(front) as phone:
        await phone.log_in("ada")
        await put_in_cart(phone)
    cookie = a_cart(*((f"a{number}", 1, 1, "GBP") for number in range(MOST_CART_LINES)))
    assert len(cookie) < 4_000
    visitor.take({"cart": cookie})
    await visitor.log_in("ada", "/shop/cart")
    assert "too full to be joined" in visitor.text
    assert visitor.fields("/shop/cart")["quantity:MUG"] == "1"
    assert visitor.http.cookies["cart"] == cookie, "waits until there is room"


async def test_what_stands_twice_in_a_cookie_is_in_the_cart_once(visitor: Visitor):
    cart = a_cart(("MUG", 1, 1, "GBP"), ("mug", 2, 1, "GBP"), ("a\nb", 1, 1, "GBP"))
    visitor.take({"cart": cart})
    await visitor.go("/shop/cart")
    assert visitor.page.text.count('name="quantity:') == 1
    assert "£19.98" in visitor.text


async def test_a_total_that_was_never_shown_buys_nothing(visitor: Visitor):
    await put_in_cart(visitor)
    form = await checkout_form(visitor)
    for total in ("", "²", "9" * 5_000, "-1", "1e9", "9" * 18):
        visitor.page = await visitor.http.post("/shop/checkout", data=form | {"total": total})
        assert visitor.page.status_code == 422
        assert "Please look at the new total" in visitor.text
        assert visitor.fields("/shop/checkout")["city"] == "Leeds"


@pytest.mark.parametrize("name", ["", "ada"])
async def test_the_second_click_of_two_finds_the_order_of_the_first(
    front: Front, visitor: Visitor, name: str
):
    if name:
        await visitor.log_in(name)
    await put_in_cart(visitor)
    form = await checkout_form(visitor)
    first = await visitor.http.post("/shop/checkout", data=form)
    second = await visitor.http.post("/shop/checkout", data=form)
    assert first.headers["location"] == second.headers["location"]
    assert first.headers["location"].startswith("/shop/orders/")
    assert await front.available("MUG") == 99


async def test_a_guests_key_is_good_in_their_own_browser_only(front: Front, visitor: Visitor):
    """Or whoever guesses a program's key would be handed the link to its order."""
    body = {"lines": [{"sku": "MUG", "quantity": 1}], "email": "guest@example.com"}
    await front.http.post("/orders", json=body, headers={"Idempotency-Key": "order-1"})
    await put_in_cart(visitor)
    form = await checkout_form(visitor) | {"key": "order-1"}
    visitor.http.cookies.delete("cart")
    answer = await visitor.http.post("/shop/checkout", data=form)
    assert answer.headers["location"] == "/shop/cart"
    async with visitor_at(front) as other:
        await put_in_cart(other)
        mine = await checkout_form(other)
        await other.http.post("/shop/checkout", data=mine)
        answer = await visitor.http.post("/shop/checkout", data=form | {"key": mine["key"]})
        assert answer.headers["location"] == "/shop/cart"


async def test_what_comes_into_the_cart_while_it_is_ordered_stays(front: Front, visitor: Visitor):
    await visitor.log_in("ada")
    await put_in_cart(visitor, "MUG", 2)
    form = await checkout_form(visitor)
    checkout = front.shop.checkout
    place = checkout.place

    async def and_meanwhile(*args: Any) -> Any:
        placed = await place(*args)
        async with visitor_at(front) as tab:
            tab.take(visitor.http.cookies)
            await put_in_cart(tab, "LAMP")
        return placed

    checkout.place = and_meanwhile  # type: ignore[assignment,method-assign]
    await visitor.http.post("/shop/checkout", data=form)
    await visitor.go("/shop/cart")
    assert visitor.fields("/shop/cart").get("quantity:LAMP") == "1"
    assert "quantity:MUG" not in visitor.fields("/shop/cart")


async def test_a_guests_link_opens_for_whoever_is_logged_in_too(front: Front, visitor: Visitor):
    placed = await front.placed("", email="guest@example.com")
    link = f"/shop/orders/{placed['id']}?token={front.shop.checkout.guest_token(placed['id'])}"
    await visitor.log_in("ada")
    assert (await visitor.go(link)).status_code == 200
    await visitor.send(f"/shop/orders/{placed['id']}/confirm")
    assert "Your order is confirmed" in visitor.text
    assert (await visitor.go(f"{link}0")).status_code == 404


async def test_a_secret_address_is_told_to_nobody_else(front: Front, visitor: Visitor):
    placed = await front.placed("", email="guest@example.com")
    token = front.shop.checkout.guest_token(placed["id"])
    await visitor.go(f"/shop/orders/{placed['id']}?token={token}")
    assert visitor.page.headers["referrer-policy"] == "same-origin"
    assert visitor.page.headers["cache-control"] == "no-store"
    for address in re.findall(r'(?:href|src|action)="([^"]+)"', visitor.page.text):
        assert address.startswith(("/", "#")), address
        assert not address.startswith("//"), address


async def test_whose_session_is_lost_comes_back_to_the_same_place(front: Front, visitor: Visitor):
    order = f"/shop/orders/{(await front.placed('ada'))['id']}"
    await visitor.log_in("ada")
    await visitor.go(order)
    form = visitor.fields(f"{order}/confirm")
    for name in ("access", "refresh"):
        visitor.http.cookies.delete(name)
    # In the middle of a form: back to the page that it stood on.
    visitor.page = await visitor.http.post(
        f"{order}/confirm",
        data=form,
        headers={"Referer": f"http://shop.example{order}"},
        follow_redirects=True,
    )
    assert visitor.page.url.path == "/shop/login"
    assert "Please log in first" in visitor.text
    await visitor.send("/shop/login", email="ada@example.com", password=PASSWORD)
    assert visitor.page.url.path == order
    await visitor.send(f"{order}/confirm")
    assert "Your order is confirmed" in visitor.text


async def test_a_body_that_is_no_form_of_ours_is_a_page_that_says_so(visitor: Visitor):
    form, parts = "application/x-www-form-urlencoded", "multipart/form-data"
    for media_type, body, status in (
        ("application/json", b"{}", 415),
        ("text/plain", b"csrf=x", 415),
        ("", b"csrf=x", 415),
        (parts, b"--x\r\n", 422),
        (f"{parts}; boundary=x", b"--y\r\nnonsense", 400),
        (form, b"csrf=\xff\xfe&%zz=%", 403),
        (form, b"&" * 100_000, 403),
        (form, b"x" * 3_000_000, 413),
    ):
        headers = {"Content-Type": media_type} if media_type else {}
        answer = await visitor.http.post("/shop/cart", content=body, headers=headers)
        assert answer.status_code == status, (media_type, body[:20])
        assert answer.headers["content-type"].startswith("text/html")
        assert answer.headers["x-request-id"] in answer.text


async def test_head_is_answered_as_get_without_the_page(visitor: Visitor):
    for path in ("/shop", "/shop/products/MUG", "/shop/nothing"):
        seen = await visitor.http.get(path)
        head = await visitor.http.head(path)
        assert (head.status_code, head.content) == (seen.status_code, b"")
        assert head.headers["content-type"] == seen.headers["content-type"]


async def test_the_summary_of_what_is_wrong_names_the_fields(visitor: Visitor):
    await put_in_cart(visitor)
    await visitor.go("/shop/checkout")
    await visitor.send("/shop/checkout", name="Ada", line1="x" * 201, email="a@example.com")
    summary = re.search(r'role="alert">(.*?)</div>', visitor.page.text, re.DOTALL)
    assert summary is not None
    assert '<a href="#city">Town: Please fill this in.</a>' in summary[1]
    await visitor.send("/shop/checkout", city="Leeds", country="GB")
    assert "Street and number: At most 200 characters, please." in visitor.text


async def test_what_is_wrong_is_said_in_the_visitors_language(visitor: Visitor):
    german = {"Accept-Language": "de"}
    await visitor.go("/shop/register", headers=german)
    typed = {"name": "Eva", "email": "ada@example.com", "password": "kurz"}
    form = visitor.fields("/shop/register") | typed
    visitor.page = await visitor.http.post("/shop/register", data=form, headers=german)
    assert "Passwort: Ein Passwort hat mindestens 10 Zeichen." in visitor.text
    form["password"] = "etliche gute Worte"
    visitor.page = await visitor.http.post("/shop/register", data=form, headers=german)
    assert "E-Mail-Adresse: Zu dieser Adresse gibt es schon ein Konto." in visitor.text
