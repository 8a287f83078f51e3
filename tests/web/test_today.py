"""Staff begin the day here: what waits for them, and figures that are those of the books."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.errors import StoreUnavailable
from storekeeper.domain.money import Money
from storekeeper.domain.work import Delivery
from storekeeper.services.base import BY_SYSTEM
from storekeeper.services.catalog import ProductInput
from storekeeper.services.inventory import ReceiveRequest
from storekeeper.web.admin.charts import ceiling, lying, upright
from storekeeper.web.languages import language
from tests.api.shopfront import Seed, in_one_task, seed_shop
from tests.web.desk import Desk, desk_at


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Seed:
    return seed_shop(tmp_path_factory.mktemp("seed"))


@pytest.fixture
async def desk(tmp_path: Path, seed: Seed) -> AsyncIterator[Desk]:
    async with in_one_task(desk_at(tmp_path, seed)) as desk:  # type: ignore[arg-type]
        yield desk  # type: ignore[misc]


@pytest.fixture
async def owner(tmp_path: Path, seed: Seed) -> AsyncIterator[Desk]:
    async with in_one_task(desk_at(tmp_path, seed, "root")) as desk:  # type: ignore[arg-type]
        yield desk  # type: ignore[misc]


def pounds(text: str) -> int:
    """Pence of an amount as it is written."""
    return int(re.sub(r"[^0-9-]", "", text))


def cells_of(page: str, caption: str) -> list[list[str]]:
    """The rows of the table with this caption."""
    table = next(
        part for part in page.split("<table")[1:] if caption in part.partition("</caption>")[0]
    )
    body = table.partition("<tbody>")[2].partition("</tbody>")[0]
    return [
        [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<t[hd]\b.*?</t[hd]>", row)]
        for row in body.split("<tr>")[1:]
    ]


async def test_where_nothing_waits_somebody_is_told_so_kindly(desk: Desk):
    text = await desk.look("/admin")
    assert "Nothing is waiting" in text
    assert "to ship" not in text
    assert "Nothing was sold in this time." in text


async def test_what_waits_is_counted_and_led_to(desk: Desk):
    """Each number is that of the list behind its link."""
    for _ in range(2):
        await desk.front.placed("ada", ("LAMP", 4), confirm=True)
    await desk.front.placed("ada", ("CHAIR", 1), confirm=True)
    page = await desk.page("/admin")
    told = {
        address: number
        for number, address in re.findall(r'<strong>([0-9+]+)</strong> <a href="([^"]+)"', page)
    }
    assert told == {
        "/admin/orders?state=confirmed": "3",
        "/admin/products?stock=out": "1",
        "/admin/stock?low=1": "1",
    }
    assert (await desk.page("/admin/orders?state=confirmed")).count('<th scope="row">') == 3
    assert "CHAIR" in await desk.look("/admin/products?stock=out")
    assert "LAMP" in await desk.look("/admin/stock?low=1")


async def test_a_long_list_is_counted_so_far(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("storekeeper.web.admin.today.MOST_COUNTED", 2)
    for _ in range(3):
        await desk.front.placed("ada", ("MUG", 1), confirm=True)
    assert "2+ orders to ship" in await desk.look("/admin")


async def test_dead_letters_are_told_to_who_can_send_them_again(owner: Desk, seed: Seed):
    dead = Delivery(
        id="mail:1",
        version=1,
        sink="mail",
        event_id="1",
        event_seq=1,
        kind="order.placed",
        subject="order-1",
        state="dead",
        attempts=9,
        at=owner.front.clock(),
        error="550 no such user",
    )
    await owner.front.shop.store.commit(ChangeSet(puts=(Put(dead),)))
    assert "1 message that could not be delivered" in await owner.look("/admin")
    staff = {"cookie": f"access={seed.people['sam'].access_token}"}
    owner.http.cookies.clear()
    answer = await owner.http.get("/admin", headers=staff)
    assert answer.status_code == 200
    assert "delivered" not in answer.text


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ("", "The system is well."),
        ("store", "Nothing can be saved at the moment."),
        ("relay", "No messages go out at the moment."),
        ("cache", "The shared cache is away."),
    ],
)
async def test_one_line_says_how_the_system_is(
    desk: Desk, part: str, told: str, monkeypatch: pytest.MonkeyPatch
):
    async def full() -> None:
        raise StoreUnavailable("the disk is full")

    shop = desk.front.shop
    if part == "store":
        monkeypatch.setattr(shop.store, "check_writable", full)
    elif part == "relay":
        monkeypatch.setattr(shop.background, "is_alive", lambda: False)
    elif part == "cache":
        monkeypatch.setattr(shop, "cache_trouble", lambda: "connection refused")
    assert told in await desk.look("/admin")


async def test_the_figures_are_those_of_the_api_to_the_penny(desk: Desk):
    """Sales of two days and of the days before, and what the shelves are worth."""
    clock = desk.front.clock
    # Back first: log-ins of the seeded shop end a day after it.
    clock.advance(days=-41)
    await desk.front.placed("ada", ("MUG", 3), confirm=True)
    clock.advance(days=40)
    await desk.front.placed("ada", ("MUG", 2), ("LAMP", 1), confirm=True)
    clock.advance(days=1)
    await desk.front.placed("bob", ("CHAIR", 1), confirm=True)
    await desk.front.placed("bob", ("LAMP", 1))
    now = clock()
    since = (now - timedelta(days=29)).date()
    root = desk.front.who("root")

    async def asked(path: str, **query: str) -> list[dict[str, Any]]:
        answer = await desk.front.http.get(f"/reports/{path}", params=query, headers=root)
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    page = await desk.page("/admin")
    rows = await asked("sales", by="day", **{"from": f"{since}T00:00:00Z"})
    shown = [cells for cells in cells_of(page, "Sales by time") if cells[2] != "0"]
    assert len(cells_of(page, "Sales by time")) == 30
    assert [[pounds(cells[1]), int(cells[2]), int(cells[3])] for cells in shown] == [
        [row["revenue"]["amount"], row["orders"], row["units"]] for row in rows
    ]
    assert len(rows) == 2
    total = 2 * 999 + 2_499 + 7_900
    revenue, orders, units = cells_of(page, "same number of days before")
    assert [pounds(cell) for cell in revenue[1:]] == [total, 3 * 999, total - 3 * 999]
    assert orders[1:] == ["2", "1", "+1"]
    assert units[1:] == ["4", "3", "+1"]

    best = await asked("sales", by="product", **{"from": f"{since}T00:00:00Z"})
    best.sort(key=lambda row: -row["revenue"]["amount"])
    assert [(cells[1], pounds(cells[2])) for cells in cells_of(page, "Top products")] == [
        (row["sku"], row["revenue"]["amount"]) for row in best
    ]
    stock = await asked("stock-value", by="category")
    assert [pounds(cells[2]) for cells in cells_of(page, "Stock value by category")] == [
        stock[0]["value"]["amount"]
    ] * 2
    for address in re.findall(r'href="(/admin/sales\.csv[^"]+)"', page):
        answer = await desk.http.get(address.replace("&amp;", "&"))
        assert answer.headers["content-type"].startswith("text/csv")
        lines = list(csv.DictReader(io.StringIO(answer.text)))
        assert sum(round(float(line["revenue"]) * 100) for line in lines) == total, address


async def test_cells_of_the_files_are_no_formulas(desk: Desk):
    listed = await desk.front.shop.catalog.create(
        BY_SYSTEM,
        ProductInput(
            sku="ODD", name="=1+2", price=Money(amount=100, currency="GBP"), category="@SUM(A1)"
        ),
    )
    await desk.front.shop.inventory.receive(
        BY_SYSTEM, ReceiveRequest(product_id=listed.product.id, quantity=3)
    )
    await desk.front.placed("ada", ("ODD", 1), confirm=True)
    sales = (await desk.http.get("/admin/sales.csv?by=product")).text
    stock = (await desk.http.get("/admin/stock-value.csv")).text
    assert ",'=1+2," in sales
    assert ",'@SUM(A1)," in stock or ",'@sum(a1)," in stock


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("since=soon", "since"),
        ("since=2030-01-02&until=2030-01-01", "until"),
        ("until=9999-12-31", "until"),
        ("since=0001-01-01", "since"),
        ("by=year", "by"),
        ("since=2020-01-01&until=2030-01-01&by=day", "by"),
    ],
)
async def test_a_wrong_range_is_told_beside_its_field_and_nothing_else_is_lost(
    desk: Desk, query: str, field: str
):
    await desk.front.placed("ada", ("MUG", 1), confirm=True)
    page = await desk.page(f"/admin?{query}", 422)
    assert f'id="{field}-wrong"' in page
    assert "order to ship" in page
    assert (await desk.http.get(f"/admin/sales.csv?{query}")).status_code == 422


@pytest.mark.parametrize("query", ["days=7", "days=90", "days=365", "days=x", "by=month"])
async def test_every_choice_shows_the_same_sales(desk: Desk, query: str):
    await desk.front.placed("ada", ("MUG", 1), confirm=True)
    page = await desk.page(f"/admin?{query}")
    assert sum(pounds(cells[1]) for cells in cells_of(page, "Sales by time")) == 999
    assert "style=" not in page


async def test_customers_are_kept_out(tmp_path: Path, seed: Seed):
    async with desk_at(tmp_path, seed, "ada") as desk:
        for path in ("/admin", "/admin/sales.csv", "/admin/stock-value.csv"):
            assert (await desk.http.get(path)).status_code == 403


def test_bars_are_as_long_as_their_values():
    write = language("en").number
    chart = upright("c", "C", "", [("a", 0), ("b", 50), ("c", 100)], write)
    assert chart.bars[0].height == 0
    assert chart.bars[2].height == pytest.approx(2 * chart.bars[1].height, abs=0.02)
    assert chart.bars[2].says == "c: 100"
    rows = lying("d", "D", "", [("most", 400), ("half", 200), ("owed", -5)], write).bars
    assert [bar.width for bar in rows] == [360, 180, 0]
    assert rows[2].value == "-5"


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (1, 1), (2, 2), (3, 4), (10, 10), (11, 20), (99, 100), (601, 800)]
)
def test_a_scale_ends_at_a_round_number(value: int, top: int):
    assert ceiling(value) == top
