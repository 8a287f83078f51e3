"""Staff begin the day here: what waits for them, and figures that are those of the books."""

from __future__ import annotations

import asyncio
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
from storekeeper.domain.orders import Order
from storekeeper.domain.work import Delivery
from storekeeper.services.base import BY_SYSTEM
from storekeeper.services.catalog import ProductInput
from storekeeper.services.inventory import ReceiveRequest
from storekeeper.store.port import Page, SalesQuery, SalesRow
from storekeeper.web.admin import today
from storekeeper.web.admin.charts import ceiling, lying, upright
from storekeeper.web.languages import language
from tests.api.shopfront import Seed, in_one_task, seed_shop
from tests.cli.terminal import Terminal
from tests.web.desk import Desk, desk_at, text_of


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
    monkeypatch.setattr(desk.front.shop.needs, "_most", 2)
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


async def reported(desk: Desk, *arguments: str) -> list[dict[str, Any]]:
    """What `storekeeper report` says of the same file."""
    folder = Path(desk.front.shop.settings.database).parent
    command = ("report", *arguments, "--json", "--database", "shop.db")
    ended = await asyncio.to_thread(Terminal(folder).ok, *command)
    found: list[dict[str, Any]] = ended.json["items"]
    return found


async def test_the_figures_are_those_of_the_command_and_of_the_orders_to_the_penny(desk: Desk):
    """Who keeps the books by the page, by the command or by adding up orders has the same books."""
    clock = desk.front.clock
    # Back first: log-ins of the seeded shop end a day after it.
    clock.advance(days=-41)
    await desk.front.placed("ada", ("MUG", 3), confirm=True)
    clock.advance(days=40)
    await desk.front.placed("ada", ("MUG", 2), ("LAMP", 1), confirm=True)
    clock.advance(days=1)
    await desk.front.placed("bob", ("CHAIR", 1), confirm=True)
    await desk.front.placed("bob", ("LAMP", 1))
    since, before = clock().date() - timedelta(days=29), clock().date() - timedelta(days=59)
    page = await desk.page("/admin")

    rows, best, stock = await asyncio.gather(
        reported(desk, "sales", "--by", "day", "--from", f"{before}"),
        reported(desk, "sales", "--by", "product", "--from", f"{since}"),
        reported(desk, "stock-value", "--by", "category"),
    )
    by_day = {row["key"]: [row["revenue"], row["orders"], row["units"]] for row in rows}
    assert len(by_day) == 3
    nothing = [0, 0, 0]
    wanted = []
    for count in range(30):
        days = (since + timedelta(days=count), before + timedelta(days=count))
        wanted.append([by_day.get(day.isoformat(), nothing) for day in days])
    shown = [
        [[pounds(cells[1 + side]), int(cells[3 + side]), int(cells[5 + side])] for side in (0, 1)]
        for cells in cells_of(page, "Sales by time")
    ]
    assert shown == wanted

    orders = [order async for batch in desk.front.shop.store.scan(Order) for order in batch]
    sold = [one for one in orders if one.confirmed_at and one.placed_at.date() >= since]
    total = sum(line.unit_price.amount * line.quantity for one in sold for line in one.lines)
    assert total == 2 * 999 + 2_499 + 7_900
    revenue, count_of, units, *_ = cells_of(page, "same number of days before")
    assert [pounds(cell) for cell in revenue[1:]] == [total, 3 * 999, total - 3 * 999]
    assert count_of[1:] == ["2", "1", "+1"]
    assert units[1:] == ["4", "3", "+1"]

    best.sort(key=lambda row: -row["revenue"])
    assert [(cells[1], pounds(cells[2])) for cells in cells_of(page, "Top products")] == [
        (row["sku"], row["revenue"]) for row in best
    ]
    assert [pounds(cells[2]) for cells in cells_of(page, "Stock value by category")] == [
        stock[0]["value"]
    ] * 2
    for address in re.findall(r'href="(/admin/sales\.csv[^"]+)"', page):
        lines = await rows_of(desk, address.replace("&amp;", "&"))
        assert sum(pounds(line["revenue"]) for line in lines) == total, address
        earlier = [pounds(line["revenue_before"]) for line in lines if "revenue_before" in line]
        assert sum(earlier) in (0, 3 * 999), address


async def rows_of(desk: Desk, address: str) -> list[dict[str, str]]:
    answer = await desk.http.get(address)
    assert answer.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(answer.text)))


@pytest.mark.parametrize("by", ["day", "week", "month"])
async def test_what_was_sold_before_is_beside_the_same_days_whatever_the_steps(desk: Desk, by: str):
    """No order of the time before is left out or counted twice where weeks and months don't fit."""
    clock = desk.front.clock
    last = clock().date()
    clock.advance(days=-99)
    for _ in range(5):
        await desk.front.placed("ada", ("MUG", 1), confirm=True)
        clock.advance(days=11)
    clock.advance(days=44)
    assert clock().date() == last
    query = f"since={last - timedelta(days=49)}&until={last}&by={by}"
    rows = await rows_of(desk, f"/admin/sales.csv?{query}")
    before = {row["key_before"]: int(row["orders_before"]) for row in rows}
    assert sum(before.values()) == 5
    assert list(before) == sorted(before)
    assert next(iter(before)) == (last - timedelta(days=99)).isoformat()
    assert next(iter(before.values())) >= 1, "the first order was on the very first day"


async def test_figures_that_take_long_hold_up_nothing_and_are_added_up_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    """Orders are shipped while somebody's report of ten years is being added up."""
    await desk.front.placed("ada", ("MUG", 1), confirm=True)
    reports = desk.front.shop.reports
    asked, go_on, sales = [], asyncio.Event(), reports.sales

    async def long(query: SalesQuery) -> Page[SalesRow]:
        asked.append(query)
        await go_on.wait()
        found: Page[SalesRow] = await sales(query)
        return found

    monkeypatch.setattr(reports, "sales", long)
    monkeypatch.setattr(today, "PATIENCE_S", 0.0)
    for page in [await desk.page("/admin") for _ in range(3)]:
        assert "1 order to ship" in text_of(page)
        assert "Adding all of it up takes a little longer." in page
    later = re.findall(r'<a href="(/admin\?figures=1)#figures"', page)
    assert len(asked) == 1
    waits = asyncio.create_task(desk.look(later[0]))
    go_on.set()
    assert "£9.99" in await waits
    assert len(asked) == 3, "sales, those before, top products; once for all who asked"


async def test_an_error_of_ours_is_seen_in_the_chart_of_its_day(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    async def broken() -> Any:
        raise RuntimeError("a fault")

    traffic, clock = desk.front.shop.traffic, desk.front.clock
    clock.advance(days=-30)
    for _ in range(3):
        await desk.front.http.get("/products")
    with monkeypatch.context() as patch:
        patch.setattr(desk.front.shop.store, "low_count", broken)
        assert (await desk.http.get("/admin")).status_code == 500
    await desk.front.http.get("/readyz")
    await traffic.add()
    clock.advance(days=30)
    await desk.front.http.get("/products")
    await traffic.add()
    page = await desk.page("/admin")
    last = cells_of(page, "Error rate")[-1]
    assert last[1:] == ["1", "4", "0", "1", "0%", "25%"]
    assert "in all 0%; a line for the time before, in all 25%" in page
    (address,) = re.findall(r'href="(/admin/errors\.csv[^"]+)"', page)
    rows = await rows_of(desk, address.replace("&amp;", "&"))
    assert rows[-1] == {
        "key": f"{clock().date()}", "requests": "1", "errors": "0",
        "key_before": f"{clock().date() - timedelta(days=30)}",
        "requests_before": "4", "errors_before": "1",
    }  # fmt: skip


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
        for path in ("/admin", "/admin/sales.csv", "/admin/errors.csv", "/admin/stock-value.csv"):
            assert (await desk.http.get(path)).status_code == 403


def test_bars_are_as_long_as_their_values():
    write = language("en").number
    chart = upright("c", "C", "", [("a", 0, 10), ("b", 50, None), ("c", 100, 200)], write)
    assert chart.bars[0].height == 0
    assert chart.bars[2].height == pytest.approx(2 * chart.bars[1].height, abs=0.02)
    assert [bar.says for bar in chart.bars] == ["a: 0 (10)", "b: 50", "c: 100 (200)"]
    top, floor = chart.lines[0].y, chart.lines[-1].y
    steps = re.fullmatch(r"M0\.0 (\S+)H120\.0M240\.0 (\S+)H360\.0", chart.before)
    assert steps, "a gap where nothing is known"
    low, high = map(float, steps.groups())
    assert high == top
    assert floor - low == pytest.approx((floor - top) / 20, abs=0.1)
    rows = lying("d", "D", "", [("most", 400), ("half", 200), ("owed", -5)], write).bars
    assert [bar.width for bar in rows] == [360, 180, 0]
    assert rows[2].value == "-5"


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (1, 1), (2, 2), (3, 4), (10, 10), (11, 20), (99, 100), (601, 800)]
)
def test_a_scale_ends_at_a_round_number(value: int, top: int):
    assert ceiling(value) == top
