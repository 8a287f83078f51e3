"""What people do on pages, so that one sees what comes of it. Each leaves the page to be looked at."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from playwright.sync_api import Page

from tools.screenshots.props import ADDRESS

PASSWORD = "ridge-carbon-42"


def log_in(page: Page, email: str, password: str) -> None:
    page.goto("/shop/login")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(password)
    page.locator("main").get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Log out").first.wait_for()


def send(button: str) -> Callable[[Page], None]:
    """Sends a form as it is, past what a browser would say about it."""

    def act(page: Page) -> None:
        page.evaluate("for (const form of document.forms) form.noValidate = true")
        page.locator("main").get_by_role("button", name=button, exact=True).click()
        page.get_by_role("alert").wait_for()

    return act


def forget_password(page: Page) -> None:
    page.get_by_label("E-mail address").fill("nobody@example.com")
    page.locator("main").get_by_role("button").click()
    page.locator("main").get_by_role("status").first.wait_for()


def put_into_cart(page: Page) -> None:
    page.get_by_role("button", name="Put into the cart").click()
    page.wait_for_url("**/shop/cart")


def check_out_blank(page: Page) -> None:
    put_into_cart(page)
    page.get_by_role("button", name="Go to checkout").click()
    page.wait_for_url("**/shop/checkout")
    send("Reserve and review")(page)


def order_as_guest(page: Page) -> None:
    put_into_cart(page)
    page.get_by_role("button", name="Go to checkout").click()
    page.get_by_label("E-mail address").fill("ada@example.com")
    fill_address(page)
    page.get_by_role("button", name="Reserve and review").click()
    page.get_by_role("button", name="Confirm the order").wait_for()


def fill_address(page: Page) -> None:
    page.get_by_label("Name").fill(ADDRESS["name"])
    page.get_by_label("Street and number").fill(ADDRESS["line1"])
    page.get_by_label("Town").fill(ADDRESS["city"])
    page.get_by_label("Country").select_option(ADDRESS["country"])


def lower_prices(page: Page) -> None:
    for box in page.locator("[name=line]").all()[:4]:
        box.check()
    page.get_by_label("By", exact=True).fill("-10")
    page.get_by_role("button", name="Look at it first").click()
    page.get_by_role("heading", name="Before and after").wait_for()


def mistype_prices(page: Page) -> None:
    page.locator("[name=line]").first.check()
    page.get_by_label("By", exact=True).fill("ten")
    page.get_by_role("button", name="Look at it first").click()
    page.get_by_role("alert").wait_for()


def lose_session(page: Page) -> str:
    """Somebody new is logged out while they change their name; their address."""
    email = f"{uuid.uuid4().hex}@example.com"
    page.locator("#name").fill("Ada")
    page.locator("#email").fill(email)
    page.locator("#password").fill(PASSWORD)
    page.get_by_role("button", name="Make the account").click()
    page.goto("/shop/account")
    page.locator("#name").fill("Ada King")
    for cookie in ("access", "refresh"):
        page.context.clear_cookies(name=cookie)
    page.get_by_role("button", name="Keep", exact=True).click()
    page.get_by_role("heading", name="Please log in again").wait_for()
    return email


def come_back(page: Page) -> None:
    email = lose_session(page)
    page.locator("#email").fill(email)
    page.locator("#password").fill(PASSWORD)
    page.locator("main").get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Send it now").wait_for()
    page.context.clear_cookies()


def save_after_another(page: Page) -> None:
    """Two have the same product open; the second to save is asked."""
    other = page.context.new_page()
    other.goto(page.url)
    for who, name in ((other, "Lambswool Scarf from Hawick"), (page, "Soft Lambswool Scarf")):
        who.get_by_label("Name").fill(f"{name} ({who.get_by_label('Price').input_value()})")
        price = "24.50" if who.get_by_label("Price").input_value() != "24.50" else "23.50"
        who.get_by_label("Price").fill(price)
        who.get_by_role("button", name="Save").click()
    other.close()
    page.get_by_role("heading", name="Somebody else changed").wait_for()


def ship_too_many(page: Page) -> None:
    page.locator("[name^='ship-']").last.fill("99")
    page.get_by_role("button", name="Ship these units").click()
    page.get_by_role("alert").wait_for()


def receive_none(page: Page) -> None:
    page.get_by_label("Units that arrived").fill("none")
    page.get_by_role("button", name="Receive").click()
    page.get_by_role("alert").wait_for()


def start_take(page: Page) -> str:
    """A stock take of one category; its id."""
    page.goto("/admin/stock/takes")
    page.get_by_label("Location to count").select_option("main")
    page.get_by_label("Category").select_option(index=1)
    page.get_by_role("button", name="Start a stock take").click()
    page.wait_for_url("**/admin/stock/takes/*")
    return page.url.rpartition("/")[2]


def scan(page: Page) -> None:
    sku = page.locator("tbody th .faint").first.inner_text()
    page.get_by_label("SKU or barcode").fill(sku)
    page.get_by_role("button", name="Count", exact=True).click()
    page.locator("#scan-told").get_by_text(sku).wait_for()


def renew(page: Page) -> None:
    page.get_by_role("button", name="New secret").click()
    page.get_by_text("Copy it now").wait_for()
