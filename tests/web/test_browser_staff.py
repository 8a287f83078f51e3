"""A day of the staff in a real Chromium, on both stores, with scripts and without."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.cli.terminal import Served, Terminal, terminal_on_dynamodb
from tests.web.browsing import buy, ended, opened
from tools.screenshots import acts

ADMIN = "root@example.com"
PASSWORD = "several good words"
# Whatever shows it has to show it as a text.
EVIL = "<img src=/evil onerror=alert(1)>"
ELSEWHERE = "http://elsewhere.example"
HERE = pytest.mark.parametrize("served", ["sqlite"], indirect=True)
numbers = itertools.count(1)


@pytest.fixture(scope="module", params=["sqlite", "dynamodb"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """An empty shop with an admin."""
    folder = tmp_path_factory.mktemp(f"staff-on-{request.param}")
    terminal = Terminal(folder) if request.param == "sqlite" else terminal_on_dynamodb(folder)
    terminal.ok("create-admin", ADMIN, "--password-stdin", stdin=f"{PASSWORD}\n")
    with terminal.serving() as found:
        yield found


def told(page: Page, text: str) -> None:
    expect(page.locator("main > .told:visible")).to_contain_text(text)


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_staff_run_a_day(chromium: Browser, served: Served, scripts: bool) -> None:
    page = opened(chromium, served.url, java_script_enabled=scripts)
    guest = opened(chromium, served.url, java_script_enabled=scripts)
    sku = f"CUP-{next(numbers)}"
    acts.log_in(page, ADMIN, PASSWORD)
    page.get_by_role("link", name="Back office").click()
    expect(page.get_by_role("heading", name="Today")).to_be_visible()
    make_product(page, sku)
    change_price(page, sku)
    receive(page, sku, 10)
    buy(guest, sku, f"{sku.lower()}@example.com", units=3)
    fulfil(page)
    guest.reload()
    expect(guest.get_by_text("1 of them came back.")).to_be_visible()
    count(page, sku, expected=8, found=7)
    archive(page, sku)
    guest.goto(f"/shop/products/{sku}")
    expect(guest.get_by_role("heading", name="There is nothing here")).to_be_visible()
    for one in (page, guest):
        assert one.locator("img[src='/evil']").count() == 0
        ended(one)


def make_product(page: Page, sku: str) -> None:
    page.get_by_role("link", name="Products", exact=True).click()
    page.get_by_role("link", name="New product").click()
    page.get_by_label("Name").fill(f"Cup {EVIL}")
    page.get_by_label("SKU", exact=True).fill(sku)
    page.get_by_label("Price").fill("4.50")
    page.get_by_label("Category").fill(f"All of {sku}")
    page.get_by_label("Description").fill(f"Of clay. {EVIL}")
    page.get_by_role("button", name="Make the product").click()
    told(page, "is made")


def change_price(page: Page, sku: str) -> None:
    """In the row of the table, which a script saves in its place."""
    page.goto(f"/admin/products?q={sku}")
    page.get_by_label("Price of Cup").fill("5")
    page.locator("tbody").get_by_role("button", name="Save").click()
    told(page, "is saved")
    expect(page.get_by_label("Price of Cup")).to_have_value("5.00")


def receive(page: Page, sku: str, units: int) -> None:
    page.goto(f"/admin/stock?q={sku}")
    page.locator("tbody").get_by_role("link").click()
    page.get_by_label("Units that arrived").fill(str(units))
    page.get_by_role("button", name="Receive").click()
    expect(page.locator(".facts")).to_contain_text(f"On hand {units}", use_inner_text=True)


def fulfil(page: Page) -> None:
    """Confirms the newest order, ships a part and the rest, delivers, takes a unit back."""
    page.goto("/admin/orders")
    page.locator("tbody").get_by_role("link").first.click()
    page.get_by_role("button", name="Confirm the order").click()
    told(page, "The order is confirmed.")
    ship = page.get_by_role("button", name="Ship these units")
    page.get_by_label("Units of Cup").fill("1")
    page.get_by_label("Carrier").fill("Royal Mail")
    ship.click()
    expect(page.locator("h1 .state")).to_have_text("Partly shipped")
    ship.click()
    expect(page.locator("h1 .state")).to_have_text("Shipped")
    page.get_by_role("button", name="Mark all as delivered").click()
    expect(page.locator("h1 .state")).to_have_text("Delivered")
    page.locator("summary", has_text="Take back").click()
    page.get_by_label("Units of Cup").fill("1")
    page.get_by_role("button", name="Take these units back").click()
    expect(page.locator("h1 .state")).to_have_text("Partly returned")


def count(page: Page, sku: str, *, expected: int, found: int) -> None:
    """A stock take of one category, by scanner, to the booked difference."""
    page.goto("/admin/stock/takes")
    page.get_by_label("Category").select_option(f"All of {sku}")
    page.get_by_role("button", name="Start a stock take").click()
    page.get_by_label("Units", exact=True).fill(str(found))
    page.get_by_label("SKU or barcode").fill(sku.lower())
    page.keyboard.press("Enter")
    expect(page.locator("#scan-told")).to_contain_text(f"{found} counted, {expected} expected")
    expect(page.get_by_label("Counted of Cup")).to_have_value(str(found))
    page.get_by_role("button", name="Post the counts").click()
    told(page, "The stock take is posted.")
    page.locator("tbody").get_by_role("link").click()
    expect(page.locator(".facts")).to_contain_text(f"On hand {found}", use_inner_text=True)


def archive(page: Page, sku: str) -> None:
    page.goto(f"/admin/products?q={sku}")
    page.locator("tbody").get_by_role("link").click()
    page.get_by_role("button", name="Archive").click()
    told(page, "is archived")


@HERE
def test_a_scan_outlives_the_session_of_who_counts(chromium: Browser, served: Served) -> None:
    page = opened(chromium, served.url)
    sku = f"CUP-{next(numbers)}"
    acts.log_in(page, ADMIN, PASSWORD)
    page.goto("/admin")
    make_product(page, sku)
    receive(page, sku, 2)
    page.goto("/admin/stock/takes")
    page.get_by_label("Category").select_option(f"All of {sku}")
    page.get_by_role("button", name="Start a stock take").click()
    page.get_by_label("SKU or barcode").wait_for()
    for cookie in ("access", "refresh"):
        page.context.clear_cookies(name=cookie)
    page.get_by_label("SKU or barcode").fill(sku)
    page.keyboard.press("Enter")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("E-mail address").fill(ADMIN)
    page.locator("main").get_by_role("button", name="Log in").click()
    expect(page.locator("#scan-told")).to_contain_text("1 counted")
    page.reload()
    expect(page.get_by_label("Counted of Cup")).to_have_value("1")
    ended(page)


@HERE
def test_another_sites_form_does_nothing_in_a_browser_that_is_logged_in(
    chromium: Browser, served: Served
) -> None:
    page = opened(chromium, served.url)
    acts.log_in(page, ADMIN, PASSWORD)

    def trap(route: Route) -> None:
        """A page that sends a form of its own as soon as it is opened."""
        fields = "".join(
            f"<input name={name} value={value}>"
            for name, value in {
                "new_email": "thief@example.com",
                "name": "T",
                "role": "admin",
            }.items()
        )
        form = f"<form method=post action={served.url}/admin/people>{fields}</form>"
        body = f"{form}<script>document.forms[0].submit()</script>"
        route.fulfill(body=body, content_type="text/html")

    page.context.route(f"{ELSEWHERE}/**", trap)
    with page.expect_response(re.compile(r"/admin/people$")) as answer:
        page.goto(f"{ELSEWHERE}/", wait_until="commit")
    assert answer.value.status in (303, 403)
    # Wherever it leads to.
    page.wait_for_url(f"{served.url}/**")
    page.goto("/admin/people?email=thief@example.com")
    expect(page.get_by_text("No account fits these filters.")).to_be_visible()
    page.context.close()


@HERE
def test_a_stolen_session_ends_with_the_next_step_of_its_owner(
    chromium: Browser, served: Served
) -> None:
    """A refresh token is good once: the copy that comes later, from wherever, shuts both out."""
    page = opened(chromium, served.url)
    acts.log_in(page, ADMIN, PASSWORD)
    assert page.evaluate("document.cookie") == ""
    loot = [one for one in page.context.cookies() if one["name"] == "refresh"]
    thief, late = (opened(chromium, served.url) for _ in range(2))
    for one in (thief, late):
        one.context.add_cookies(loot)  # type: ignore[arg-type]
    page.context.clear_cookies(name="access")
    for one in (page, page):
        one.context.clear_cookies(name="access")
        one.goto("/admin")
    late.goto("/admin")
    expect(late.get_by_role("heading", name="Log in")).to_be_visible()
    page.goto("/admin")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    for one in (page, thief, late):
        ended(one)
