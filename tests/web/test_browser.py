"""The shop in a real Chromium, over a real server: with scripts and without, on a phone, by keys."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.cli.terminal import Served, Terminal, terminal_on_dynamodb
from tests.web.browsing import DESK, PHONE, buy, ended, opened

# Of the demo shop: one with many units, one that customers are told to hurry for.
HEART, FEW = "85123A", "22150"
# What doesn't depend on the store is tried on one.
HERE = pytest.mark.parametrize("served", ["sqlite"], indirect=True)
numbers = itertools.count()


@pytest.fixture(scope="module", params=["sqlite", "dynamodb"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp(f"shop-on-{request.param}")
    terminal = Terminal(folder) if request.param == "sqlite" else terminal_on_dynamodb(folder)
    with terminal.serving("--demo") as found:
        yield found


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_a_customer_finds_buys_and_registers(
    chromium: Browser, served: Served, scripts: bool, size: ViewportSize
) -> None:
    page = opened(chromium, served.url, java_script_enabled=scripts, viewport=size)
    page.goto("/shop")
    page.get_by_role("searchbox", name="Search products").fill("heart")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="White Hanging Heart T-Light Holder").first.click()
    page.get_by_label("Quantity").fill("2")
    page.get_by_role("button", name="Put into the cart").click()
    assert "is in your cart" in page.get_by_role("status").inner_text()
    email = f"guest{next(numbers)}@example.com"
    buy(page, HEART, email)
    assert "£8.85" in page.locator("tfoot").inner_text()
    page.get_by_role("button", name="Confirm the order").click()
    assert "Your order is confirmed" in page.get_by_role("status").inner_text()
    page.get_by_role("link", name="Log in").first.click()
    page.get_by_role("link", name="Make an account").click()
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill("several good words")
    page.get_by_role("button", name="Make the account").click()
    assert "You are logged in" in page.get_by_role("status").inner_text()
    ended(page)


@HERE
def test_results_follow_what_is_typed(chromium: Browser, served: Served) -> None:
    page = opened(chromium, served.url)
    page.goto("/shop/products")
    page.get_by_label("Words").press_sequentially("regency")
    page.wait_for_url("**q=regency**")
    names = page.locator("#results .name").all_inner_texts()
    assert names
    assert all("regency" in name.lower() for name in names)
    ended(page)


def test_two_browsers_race_for_the_last_units(chromium: Browser, served: Served) -> None:
    """One gets them; the other is told kindly and keeps the cart and the address."""
    pages = [opened(chromium, served.url) for _ in range(2)]
    for page in pages:
        page.goto(f"/shop/products/{FEW}")
        page.get_by_label("Quantity").fill("12")
        page.get_by_role("button", name="Put into the cart").click()
        page.get_by_role("button", name="Go to checkout").click()
        page.get_by_label("E-mail address").fill("racer@example.com")
        page.get_by_label("Name").fill("Racer")
        page.get_by_label("Street and number").fill("1 Main St")
        page.get_by_label("Town").fill("Leeds")
        page.get_by_label("Country").select_option("GB")
    for page in pages:
        page.get_by_role("button", name="Reserve and review").click()
    winner, loser = pages
    assert winner.get_by_role("button", name="Confirm the order").is_visible()
    assert "has just run out" in loser.get_by_role("alert").inner_text()
    assert loser.get_by_label("Town").input_value() == "Leeds"
    loser.goto("/shop/cart")
    assert loser.locator(f"[name='quantity:{FEW}']").input_value() == "12"
    winner.get_by_role("button", name="Cancel it").click()
    for page in pages:
        ended(page)


@HERE
def test_a_customer_buys_by_keys_alone(chromium: Browser, served: Served) -> None:
    """Past the header by the first key, then from field to field to the confirmed order."""
    page = opened(chromium, served.url)
    page.goto(f"/shop/products/{HEART}")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    tab_to(page, "#quantity")
    page.keyboard.press("Enter")
    page.wait_for_url("**/shop/cart")
    tab_to(page, "[name^='quantity:']")
    page.keyboard.type("3")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Your cart is up to date.")
    tab_to(page, "[name=checkout]")
    page.keyboard.press("Enter")
    page.wait_for_url("**/shop/checkout")
    for field, text in {
        "#email": "keys@example.com",
        "#name": "Ada",
        "#line1": "1 Main St",
        "#city": "Leeds",
        "#country": "United Kin",
        "form .main": "",
    }.items():
        tab_to(page, field)
        page.keyboard.type(text)
    page.keyboard.press("Enter")
    page.wait_for_url("**/shop/orders/**")
    tab_to(page, "form[action$='/confirm'] button")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Your order is confirmed")
    ended(page)


def tab_to(page: Page, selector: str) -> None:
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"the keys don't lead to {selector}")
