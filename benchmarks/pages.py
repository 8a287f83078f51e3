"""What pages cost: the server's time for the list of products, and bytes over the wire."""

from __future__ import annotations

import asyncio
import re
import statistics
from pathlib import Path

import httpx

from benchmarks import load, servers, shops
from benchmarks.load import Source
from benchmarks.report import Report, interleaved, ratio, shown
from benchmarks.run import Run
from benchmarks.slices import Side
from storekeeper.app import open_shop
from storekeeper.services.base import BY_SYSTEM
from storekeeper.services.checkout import LineRequest, PlaceOrder

TITLE = "the list of products as a page beside GET /products, and bytes of pages over the wire"
LIMIT = 3.0
MOST_KB = 100.0
# As many products as a page of the shop shows.
ON_A_PAGE = 24
FILTER = "category=Kitchen&sort=price"
# A page, and the same question of the API.
ASKED = {
    "first page": ("/shop/products", f"/products?limit={ON_A_PAGE}"),
    "with a filter": (f"/shop/products?{FILTER}", f"/products?limit={ON_A_PAGE}&{FILTER}"),
}
VISITED = {
    "home": "/shop",
    "list of products": "/shop/products",
    "product": f"/shop/products/{shops.sku(1)}",
    "cart": "/shop/cart",
    "today": "/admin",
    "today, a year of days": "/admin?days=365&by=day",
}
OWNER = "owner@example.com"
ORDERS = 40


def run(run: Run, report: Report) -> None:
    """Pages as a browser asks for them, packed; nobody is logged in for the list of products."""
    database = shops.copy_of(shops.small_shop(), shops.folder_of("pages"))
    asyncio.run(_open_for_business(database))
    with servers.serve(database) as server:
        sides: dict[str, Side] = {}
        for name, (page, api) in ASKED.items():
            sides[f"page, {name}"] = Side(
                server, _as_a_browser(page), run, status=200, clients=1, settles=False
            )
            sides[f"API, {name}"] = Side(
                server,
                load.again(load.request("GET", api)),
                run,
                status=200,
                clients=1,
                settles=False,
            )
        times = interleaved(
            {name: side.median for name, side in sides.items()}, run.rounds(9), run.say
        )
        visited = _visited(server.port)
    for name in ASKED:
        pages, answers = times[f"page, {name}"], times[f"API, {name}"]
        report.figure(
            f"list of products, {name}",
            f"{statistics.median(pages):.2f} ms ({sides[f'page, {name}'].cost}) and "
            f"{statistics.median(answers):.2f} ms ({sides[f'API, {name}'].cost}), "
            f"{ratio(pages, answers):.2f}x",
        )
        report.target(f"list of products, {name}", ratio(pages, answers), "under", LIMIT, "x")
    for name, (alone, whole) in visited.items():
        report.figure(
            f"bytes of {name}", f"{shown(alone)}; on a first visit {shown(whole)} with its files"
        )
    largest = max(whole for _, whole in visited.values())
    report.target("largest first visit", round(largest / 1_000, 1), "at most", MOST_KB, " KB")
    report.notes.append(
        f"both sides answer {ON_A_PAGE} products to one client at a time; the page is packed by "
        "gzip as browsers ask for it, the API's answer isn't. Bytes are those of bodies as they "
        "go over the wire, in thousands for KB; files keep for ever and come once"
    )


def _as_a_browser(path: str) -> Source:
    head, tail = load.pieces("GET", path)
    return load.again(head + b"accept: text/html\r\naccept-encoding: gzip, deflate, br\r\n" + tail)


async def _open_for_business(database: Path) -> None:
    """An owner, and some orders, so that the back office has something to show."""
    async with open_shop(shops.settings_for(database)) as shop:
        await shop.accounts.create(
            BY_SYSTEM, email=OWNER, name="Owner", role="admin", password=shops.PASSWORD
        )
        for number in range(ORDERS):
            await shop.checkout.place(
                BY_SYSTEM,
                PlaceOrder(
                    lines=tuple(
                        LineRequest(sku=shops.sku(number + i), quantity=1) for i in range(3)
                    ),
                    email="guest@example.com",
                    confirm=True,
                ),
            )


def _visited(port: int) -> dict[str, tuple[int, int]]:
    """Bytes of each page alone, and with the files that it asks for."""
    found = {}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", follow_redirects=True) as browser:
        _send(browser, "/shop/login", "/shop/login", email=OWNER, password=shops.PASSWORD)
        product = VISITED["product"]
        _send(browser, product, "/shop/cart/add", quantity="2")
        for name, address in VISITED.items():
            text, alone = _read(browser, address)
            files = set(re.findall(r'(?:src|href)="(/(?:static|images)/[^"]+)"', text))
            found[name] = (alone, alone + sum(_read(browser, file)[1] for file in files))
    return found


def _read(browser: httpx.Client, address: str) -> tuple[str, int]:
    with browser.stream("GET", address) as answer:
        answer.raise_for_status()
        text = answer.read().decode()
        return text, answer.num_bytes_downloaded


def _send(browser: httpx.Client, page: str, action: str, **typed: str) -> None:
    """Fills in the form of a page that goes to `action`, as a visitor would."""
    text, _ = _read(browser, page)
    form = next(
        part
        for part in re.findall(r'<form[^>]*method="post".*?</form>', text, re.DOTALL)
        if re.search(rf'action="{action}[^"]*"', part)
    )
    target = re.search(r'action="([^"]+)"', form)
    assert target is not None
    hidden = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form))
    browser.post(target[1], data={**hidden, **typed}).raise_for_status()
