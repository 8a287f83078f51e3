"""Who gets in, and which forms count: what an attacker would try with somebody else's browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from litestar.routes import HTTPRoute

from storekeeper.domain.accounts import ROLE_SCOPES
from storekeeper.http.security import PUBLIC
from storekeeper.web.csrf import is_from_elsewhere
from tests.api.shopfront import PEOPLE, Front, front_at, in_one_task
from tests.web.browser import Visitor, visitor_at


def closed_pages(front: Front) -> Iterator[tuple[str, str, Any]]:
    """Method, address and access of every page that isn't for everybody."""
    for route in front.app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for method, (handler, _) in route.route_handler_map.items():
            access = handler.opt.get("access")
            if handler.opt.get("is_page") and method in ("GET", "POST") and access != PUBLIC:
                yield method, re.sub(r"{[^}]*}", "x", route.path), access


async def test_a_stranger_is_led_to_the_log_in_from_every_closed_page(front, visitor):
    pages = list(closed_pages(front))
    assert pages
    for method, path, _ in pages:
        answer = await visitor.http.request(method, path)
        assert answer.status_code == 303, (method, path)
        assert answer.headers["location"].startswith("/shop/login"), (method, path)


@pytest.mark.parametrize("name", ["ada", "sam"])
async def test_the_back_office_is_closed_to_customers_and_opens_to_staff_what_is_theirs(
    front: Front, visitor: Visitor, name: str
):
    await visitor.log_in(name)
    scopes = ROLE_SCOPES[PEOPLE[name]]
    tried = 0
    for method, path, access in closed_pages(front):
        wanted = {access} if isinstance(access, str) else set(access)
        if path.startswith("/admin") and not wanted & scopes:
            answer = await visitor.http.request(method, path)
            assert answer.status_code == 403, (name, method, path)
            assert answer.headers["content-type"].startswith("text/html")
            # What a scope is, staff know and customers don't.
            assert ("scope" in answer.text) is (name == "sam")
            tried += 1
    assert tried


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[no address"},
    ],
)
async def test_a_form_of_another_site_does_nothing(front, visitor, headers):
    await visitor.go("/shop/products/MUG")
    data = visitor.fields("/shop/cart/add")
    refused = await visitor.http.post("/shop/cart/add", data=data, headers=headers)
    assert refused.status_code == 403
    assert "cart" not in visitor.http.cookies
    own = {"Sec-Fetch-Site": "same-origin", "Origin": "http://shop.example"}
    assert (await visitor.http.post("/shop/cart/add", data=data, headers=own)).status_code == 303


async def test_a_form_comes_home_through_a_gateway_that_asks_by_another_name(front, visitor):
    """From browsers that say no more than where they come from."""
    await visitor.go("/shop/products/MUG")
    data = visitor.fields("/shop/cart/add")
    inside = {"Host": "internal-shop.elb.amazonaws.com"}
    for origin, status in (
        ("https://evil.example", 403),
        (f"{front.shop.settings.public_url}.evil.example", 403),
        (front.shop.settings.public_url, 303),
    ):
        headers = inside | {"Origin": origin}
        answer = await visitor.http.post("/shop/cart/add", data=data, headers=headers)
        assert answer.status_code == status, origin


@pytest.mark.parametrize(
    ("public_url", "origin", "is_elsewhere"),
    [
        ("https://shop.example", "https://shop.example", False),
        ("https://Shop.Example:443/", "https://shop.example", False),
        ("https://shop.example:8443", "https://shop.example:8443", False),
        ("http://[2001:db8::1]:80", "http://[2001:db8::1]", False),
        ("https://shop.example", "http://shop.example", True),
        ("https://shop.example", "https://shop.example:8443", True),
    ],
)
def test_the_shops_address_is_compared_as_browsers_write_it(public_url, origin, is_elsewhere):
    headers = {b"host": b"internal-shop.elb.amazonaws.com", b"origin": origin.encode()}
    assert is_from_elsewhere(headers, public_url) is is_elsewhere


@pytest.mark.parametrize("token", ["", "x", "0" * 96, "é" * 96])
async def test_a_form_without_its_token_does_nothing(visitor, token):
    await visitor.go("/shop/products/MUG")
    refused = await visitor.send("/shop/cart/add", csrf=token)
    assert refused.status_code == 403
    assert "cart" not in visitor.http.cookies


async def test_a_token_of_somebody_else_does_nothing(front, visitor):
    async with visitor_at(front) as other:
        await other.go("/shop/products/MUG")
        stolen = other.fields("/shop/cart/add")["csrf"]
    await visitor.go("/shop/products/MUG")
    assert (await visitor.send("/shop/cart/add", csrf=stolen)).status_code == 403


async def test_every_form_that_changes_something_is_looked_at(front, visitor):
    """A page's POST without a token never gets as far as its handler."""
    await visitor.log_in("root")
    for route in front.app.routes:
        if isinstance(route, HTTPRoute) and "POST" in route.methods:
            handler, _ = route.route_handler_map["POST"]
            if handler.opt.get("is_page"):
                path = re.sub(r"{[^}]*}", "x", route.path)
                how = "files" if "takes_file" in handler.opt else "data"
                sent = {"files": {"sku": ("", "MUG")}, "data": {"sku": "MUG"}}[how]
                answer = await visitor.http.post(path, **{how: sent})
                assert answer.status_code == 403, path
                assert "page was open for too long" in answer.text, path


async def test_cookies_open_no_api_and_tokens_open_no_page(front, visitor):
    await visitor.log_in("root")
    assert (await visitor.go("/admin")).status_code == 200
    assert (await visitor.http.get("/users/me")).status_code == 401
    async with visitor_at(front, **front.who("root")) as other:
        assert (await other.http.get("/admin")).status_code == 303
        assert (await other.http.get("/users/me")).status_code == 200


async def test_an_api_key_in_a_cookie_is_no_session(front, visitor):
    made = await front.http.post(
        "/api-keys", json={"name": "till", "scopes": ["orders:read"]}, headers=front.who("root")
    )
    visitor.http.cookies.set("access", made.json()["key"])
    assert (await visitor.http.get("/admin")).status_code == 303


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example",
        "//evil.example/shop",
        "/shop//evil.example",
        "/shopping",
        "/shop\\evil",
        "javascript:alert(1)",
        "/products",
        "",
    ],
)
async def test_after_the_log_in_nobody_is_sent_elsewhere(visitor, address):
    await visitor.go("/shop/login", params={"next": address})
    await visitor.send("/shop/login", email="ada@example.com", password="correct horse battery")
    assert str(visitor.page.url) == "http://shop.example/shop"


async def test_the_log_in_leads_back_to_where_it_was_needed(visitor):
    await visitor.go("/shop/orders?cursor=x")
    assert visitor.page.url.path == "/shop/login"
    await visitor.send("/shop/login", email="ada@example.com", password="correct horse battery")
    assert visitor.page.url.path == "/shop/orders"


async def test_a_wrong_password_and_an_unknown_address_read_the_same(visitor):
    told = []
    for email in ("ada@example.com", "nobody@example.com"):
        await visitor.go("/shop/login")
        await visitor.send("/shop/login", email=email, password="wrong horse battery")
        assert visitor.page.status_code == 422
        told.append(visitor.text.replace(email, ""))
        assert email in visitor.page.text, "what was typed stays"
    strip = re.compile(r"\s+")
    assert strip.sub(" ", told[0]) == strip.sub(" ", told[1])


async def test_cookies_are_out_of_reach_of_scripts_and_of_other_hosts(tmp_path, seed):
    opened = front_at(tmp_path, seed, public_url="https://shop.example")
    async with in_one_task(opened) as front, visitor_at(front) as visitor:
        visitor.http.base_url = "https://shop.example"
        await visitor.go("/shop/login")
        answer = await visitor.send(
            "/shop/login", follow=False, email="ada@example.com", password="correct horse battery"
        )
        cookies = answer.headers.get_list("set-cookie")
        assert {cookie.partition("=")[0] for cookie in cookies} >= {
            "__Host-access",
            "__Host-refresh",
        }
        for cookie in cookies:
            assert "; HttpOnly" in cookie
            assert "; Secure" in cookie
            assert "; SameSite=Lax" in cookie
            assert "Domain" not in cookie
        assert answer.headers["strict-transport-security"]


async def test_a_session_outlives_its_short_token_and_rotates(front, visitor):
    await visitor.log_in("ada")
    before = dict(visitor.http.cookies)
    front.clock.advance(seconds=901)
    assert (await visitor.go("/shop/orders")).url.path == "/shop/orders"
    assert visitor.http.cookies["refresh"] != before["refresh"]
    assert visitor.http.cookies["access"] != before["access"]


async def test_pages_that_are_opened_together_share_one_rotation(front, visitor):
    """A browser that restores its tabs sends one cookie several times; nobody is logged out."""
    await visitor.log_in("ada")
    front.clock.advance(seconds=901)
    cookies = dict(visitor.http.cookies)
    await visitor.go("/shop/orders")
    async with visitor_at(front) as tab:
        tab.take(cookies)
        answer = await tab.http.get("/shop/orders")
        assert answer.status_code == 200
        # Whichever answer comes last, the browser keeps the newest.
        assert tab.http.cookies["refresh"] == visitor.http.cookies["refresh"]
    assert (await visitor.go("/shop/orders")).url.path == "/shop/orders"


async def test_a_stolen_token_that_comes_later_ends_the_session(front, visitor):
    await visitor.log_in("ada")
    stolen = dict(visitor.http.cookies)
    front.clock.advance(seconds=901)
    await visitor.go("/shop/orders")
    front.clock.advance(seconds=901)
    async with visitor_at(front) as thief:
        thief.http.cookies.set("refresh", stolen["refresh"])
        assert (await thief.go("/shop/orders")).url.path == "/shop/login"
    assert (await visitor.go("/shop/orders")).url.path == "/shop/login"


async def test_logging_out_everywhere_ends_every_browser_at_once(front, visitor):
    async with visitor_at(front) as other:
        await other.log_in("ada")
        await visitor.log_in("ada")
        await visitor.go("/shop/account")
        await visitor.send("/shop/logout", everywhere="1")
        assert (await other.go("/shop/orders")).url.path == "/shop/login"


async def test_pages_guard_themselves(visitor):
    await visitor.go("/shop")
    policy = visitor.page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert visitor.page.headers["cache-control"] == "no-store"
    assert not re.search(r"<[^>]+ (style|on\w+)=", visitor.page.text)
    assert "http://" not in re.sub(r'xmlns="[^"]*"', "", visitor.page.text)
