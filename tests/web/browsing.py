"""Pages in a real browser that tell whatever goes wrong in them, and whatever comes from elsewhere."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser, Page, Request, ViewportSize

from tests.web.chromium import PATIENCE_MS

DESK = ViewportSize(width=1_280, height=900)
PHONE = ViewportSize(width=320, height=700)


def opened(chromium: Browser, url: str, **how: Any) -> Page:
    """A page of somebody new at the shop. `how`: of its context."""
    context = chromium.new_context(base_url=url, **({"viewport": DESK} | how))
    page = context.new_page()
    watch(page, url)
    return page


def watch(page: Page, url: str) -> None:
    page.context.set_default_timeout(PATIENCE_MS)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    # What somebody typed has run as a script.
    page.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}"))
    page.on("requestfailed", lambda request: faults.extend(told_of(request)))
    # Nothing may come from anywhere else.
    page.on(
        "request",
        lambda request: None if request.url.startswith(url) else faults.append(request.url),
    )
    page.faults = faults  # type: ignore[attr-defined]


def told_of(request: Request) -> list[str]:
    """What failed; what was still on its way when the page was left has not."""
    return [] if "ERR_ABORTED" in str(request.failure) else [f"{request.url}: {request.failure}"]


def faults_of(page: Page) -> list[str]:
    found: list[str] = page.faults  # type: ignore[attr-defined]
    return found


def ended(page: Page) -> None:
    assert faults_of(page) == []
    page.context.close()


def buy(page: Page, sku: str, email: str, units: int = 1) -> None:
    """A guest's way to the order that waits to be confirmed."""
    page.goto(f"/shop/products/{sku}")
    page.get_by_label("Quantity").fill(str(units))
    page.get_by_role("button", name="Put into the cart").click()
    page.get_by_role("button", name="Go to checkout").click()
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("Street and number").fill("1 Main St")
    page.get_by_label("Town").fill("Leeds")
    page.get_by_label("Country").select_option("GB")
    page.get_by_role("button", name="Reserve and review").click()
