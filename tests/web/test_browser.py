"""The shop in a real Chromium, over a real server: with scripts and without, on a phone, by keys."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Request, ViewportSize, expect

from tests.cli.terminal import Served, Terminal, terminal_on_dynamodb
from tests.web.chromium import PATIENCE_MS, browser

DESK = ViewportSize(width=1_280, height=900)
PHONE = ViewportSize(width=320, height=700)
# Of the demo shop: one with many units, one that customers are told to hurry for.
HEART, FEW = "85123A", "22150"
PAGES = (
    "/shop",
    "/shop/products?q=bag",
    "/shop/products?min=x",
    "/shop/products?q=nothinglikethis",
    f"/shop/products/{HEART}",
    "/shop/cart",
    "/shop/checkout",
    "/shop/login",
    "/shop/register",
    "/shop/forgot",
    "/shop/nothing",
)
# What doesn't depend on the store is tried on one.
HERE = pytest.mark.parametrize("served", ["sqlite"], indirect=True)
numbers = itertools.count()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module", params=["sqlite", "dynamodb"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp(f"shop-on-{request.param}")
    terminal = Terminal(folder) if request.param == "sqlite" else terminal_on_dynamodb(folder)
    with terminal.serving("--demo") as found:
        yield found


def opened(chromium: Browser, served: Served, **how: Any) -> Page:
    context = chromium.new_context(base_url=served.url, **({"viewport": DESK} | how))
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("requestfailed", lambda request: faults.extend(told_of(request)))
    # Nothing may come from anywhere else.
    page.on(
        "request",
        lambda request: None if request.url.startswith(served.url) else faults.append(request.url),
    )
    page.faults = faults  # type: ignore[attr-defined]
    return page


def told_of(request: Request) -> list[str]:
    """What failed; what was still on its way when the page was left has not."""
    return [] if "ERR_ABORTED" in str(request.failure) else [f"{request.url}: {request.failure}"]


def ended(page: Page) -> None:
    assert page.faults == []  # type: ignore[attr-defined]
    page.context.close()


def buy(page: Page, sku: str, email: str) -> None:
    page.goto(f"/shop/products/{sku}")
    page.get_by_role("button", name="Put into the cart").click()
    page.get_by_role("button", name="Go to checkout").click()
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("Street and number").fill("1 Main St")
    page.get_by_label("Town").fill("Leeds")
    page.get_by_label("Country").select_option("GB")
    page.get_by_role("button", name="Reserve and review").click()


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_a_customer_finds_buys_and_registers(
    chromium: Browser, served: Served, scripts: bool, size: ViewportSize
) -> None:
    page = opened(chromium, served, java_script_enabled=scripts, viewport=size)
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
    if size is PHONE and scripts:
        for path in PAGES:
            page.goto(path)
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= PHONE["width"], path
    ended(page)


@HERE
def test_results_follow_what_is_typed(chromium: Browser, served: Served) -> None:
    page = opened(chromium, served)
    page.goto("/shop/products")
    page.get_by_text("Filters").click()
    page.get_by_label("Words").press_sequentially("regency")
    page.wait_for_url("**q=regency**")
    names = page.locator("#results .name").all_inner_texts()
    assert names
    assert all("regency" in name.lower() for name in names)
    ended(page)


def test_two_browsers_race_for_the_last_units(chromium: Browser, served: Served) -> None:
    """One gets them; the other is told kindly and keeps the cart and the address."""
    pages = [opened(chromium, served) for _ in range(2)]
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
def test_everything_can_be_done_by_keys_alone(chromium: Browser, served: Served) -> None:
    page = opened(chromium, served)
    page.goto(f"/shop/products/{HEART}")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "quantity":
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/shop/cart")
    page.locator("[name^='quantity:']").focus()
    page.keyboard.type("3")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Your cart is up to date.")
    ended(page)


@HERE
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_shuts_anybody_out(chromium: Browser, served: Served, scheme: Any) -> None:
    """WCAG 2.2 AA as far as axe can tell, with things in the cart, an order and an error."""
    page = opened(chromium, served, color_scheme=scheme)
    buy(page, HEART, "nobody")
    told = {}
    orders = []
    page.get_by_label("E-mail address").fill("axe@example.com")
    page.get_by_role("button", name="Reserve and review").click()
    orders.append(page.url)
    page.goto(f"/shop/products/{HEART}")
    page.get_by_role("button", name="Put into the cart").click()
    for path in (*PAGES, *orders):
        page.goto(path)
        found = Axe().run(page).response["violations"]
        if found:
            told[path] = [(one["id"], one["nodes"][0]["html"]) for one in found]
    assert told == {}
    ended(page)
