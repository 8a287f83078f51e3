"""What needs somebody now, and how the shop does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date, datetime, time
from typing import Any

from litestar import Controller, Request, get
from msgspec import UNSET

from storekeeper.domain.errors import Invalid
from storekeeper.domain.money import Money
from storekeeper.domain.orders import OrderState
from storekeeper.domain.types import Struct
from storekeeper.http.answers import CSV, Answer
from storekeeper.http.health import readiness_of
from storekeeper.services.deliveries import SCOPE, DeliveryQuery
from storekeeper.services.reports import Reports
from storekeeper.store.port import OrderQuery, Page, ProductQuery, StockValueQuery
from storekeeper.web.admin.charts import Chart, lying, upright
from storekeeper.web.admin.frame import BACK_OFFICE, admin_page
from storekeeper.web.admin.today_sales import (
    PRESETS,
    SPANS,
    Range,
    Sales,
    Shelf,
    range_of,
    sales_of,
    shelves_of,
)
from storekeeper.web.downloads import Download
from storekeeper.web.forms import FormErrors
from storekeeper.web.pages import HTML
from storekeeper.web.visit import Visit, visit_of

PageRequest = Request[Any, Any, Any]
# Nobody needs to know how many more there are.
MOST_COUNTED = 100
REPORTS = "reports:read"


class Count(Struct, frozen=True, kw_only=True):
    """How many there are, counted as far as `MOST_COUNTED`."""

    number: int = 0
    is_more: bool = False


class Today(Controller):
    path = BACK_OFFICE
    opt = {"is_page": True}
    include_in_schema = False

    @get("/", access="orders:read", media_type=HTML)
    async def show(self, request: PageRequest) -> Answer[bytes]:
        visit = visit_of(request)
        errors = FormErrors(visit)
        asked: Range | None = None
        try:
            asked = range_of(visit, visit.query.get("by", ""))
        except Invalid as error:
            errors.add(error.field or "", error.detail)
        todo, figures = await asyncio.gather(_todo(visit), _figures(visit, asked))
        health = await readiness_of(visit.pages.shop)
        return admin_page(
            visit,
            "admin/today.html",
            status=422 if errors else 200,
            asked=asked,
            errors=errors,
            presets=PRESETS,
            spans=SPANS,
            todo=todo,
            health=health,
            is_well=health.status == "ready" and health.cache in (UNSET, "ok"),
            **figures,
        )

    @get("/sales.csv", access=REPORTS, media_type=CSV)
    async def sales_file(self, request: PageRequest) -> Download:
        """The range's sales by time, or by product."""
        visit = visit_of(request)
        by = visit.query.get("by", "")
        if by == "product":
            query = range_of(visit, "").query(by="product")
        else:
            query = range_of(visit, by).query()
        return Download(visit, await _reports(visit).export_sales(query), f"sales-by-{query.by}")

    @get("/stock-value.csv", access=REPORTS, media_type=CSV)
    async def stock_file(self, request: PageRequest) -> Download:
        visit = visit_of(request)
        text = await _reports(visit).export_stock_value(StockValueQuery(by="category"))
        return Download(visit, text, "stock-value-by-category")


async def _todo(visit: Visit) -> dict[str, Count]:
    """By what it is; what the visitor may not see is left out."""
    shop, may = visit.pages.shop, visit.principal.may

    async def orders(state: OrderState) -> Count:
        return _counted(await shop.store.orders(OrderQuery(state=state, limit=MOST_COUNTED)))

    asked = {"confirmed": orders("confirmed"), "partially_shipped": orders("partially_shipped")}
    if may("stock:read"):
        asked["low"] = _low(visit)
    if may("products:read"):
        asked["out"] = _out(visit)
    if may(SCOPE):
        asked["dead"] = _dead(visit)
    return dict(zip(asked, await asyncio.gather(*asked.values()), strict=True))


async def _low(visit: Visit) -> Count:
    return _counted(await visit.pages.shop.inventory.low(limit=MOST_COUNTED))


async def _out(visit: Visit) -> Count:
    query = ProductQuery(in_stock=False, limit=MOST_COUNTED)
    return _counted(await visit.pages.shop.store.products(query))


async def _dead(visit: Visit) -> Count:
    query = DeliveryQuery(state="dead", limit=MOST_COUNTED)
    return _counted(await visit.pages.shop.deliveries.page(visit.call("", None), query))


def _counted(page: Page[Any]) -> Count:
    return Count(number=len(page.items), is_more=page.next is not None)


async def _figures(visit: Visit, asked: Range | None) -> dict[str, Any]:
    """Sales and the worth of stock with their charts; nothing for who may not read reports."""
    if asked is None or not visit.principal.may(REPORTS):
        return {"sales": None, "shelves": (), "is_all_stock": True, "charts": {}}
    reports = _reports(visit)
    # One after the other: reports share a lane of the store with other long work.
    sales = await sales_of(reports, asked)
    shelves, is_all = await shelves_of(reports)
    charts = {
        "time": _charts_of_time(visit, sales),
        "best": _charts_of_best(visit, sales),
        "stock": [_chart_of_stock(visit, shelf) for shelf in shelves],
    }
    return {"sales": sales, "shelves": shelves, "is_all_stock": is_all, "charts": charts}


def _charts_of_time(visit: Visit, sales: Sales) -> Sequence[Chart]:
    if not sales.total.orders:
        return ()
    say, write = visit.say, visit.language.number
    days = [_day(visit, day) for day, _ in sales.points]
    ends = {"first": days[0], "last": days[-1]}
    about = say("A bar for each step from %(first)s to %(last)s; in all %(total)s.")

    def chart(id: str, title: str, values: Sequence[int], money: str = "") -> Chart:
        told = (lambda value: _money(visit, value, money)) if money else write
        text = about % {**ends, "total": told(sum(values))}
        return upright(id, title, text, list(zip(days, values, strict=True)), told)

    revenue = [
        chart(
            f"revenue-{currency}",
            say("Revenue in %(currency)s") % {"currency": currency},
            [sums.revenue.get(currency, 0) for _, sums in sales.points],
            currency,
        )
        for currency in sorted(sales.total.revenue)
    ]
    orders = chart("orders", say("Orders"), [sums.orders for _, sums in sales.points])
    units = chart("units", say("Units"), [sums.units for _, sums in sales.points])
    return [*revenue, orders, units]


def _charts_of_best(visit: Visit, sales: Sales) -> Sequence[Chart]:
    say = visit.say
    return [
        lying(
            f"best-{currency}",
            say("Top products in %(currency)s") % {"currency": currency},
            say("Products by revenue, the most first."),
            [
                (row.name or row.sku or row.key, row.revenue)
                for row in sales.best
                if row.currency == currency
            ],
            lambda value, currency=currency: _money(visit, value, currency),  # type: ignore[misc]
        )
        for currency in sorted({row.currency for row in sales.best})
    ]


def _chart_of_stock(visit: Visit, shelf: Shelf) -> Chart:
    say = visit.say
    others, nameless = say("All others"), say("Without a category")
    return lying(
        f"stock-{shelf.currency}",
        say("Stock value in %(currency)s") % {"currency": shelf.currency},
        say("Categories by what their stock would sell for, the most first."),
        [(others if name is None else name or nameless, value) for name, _, value in shelf.rows],
        lambda value: _money(visit, value, shelf.currency),
    )


def _money(visit: Visit, amount: int, currency: str) -> str:
    return visit.language.money(Money(amount=amount, currency=currency))


def _day(visit: Visit, day: date) -> str:
    return visit.language.day(datetime.combine(day, time()))


def _reports(visit: Visit) -> Reports:
    found: Reports = visit.pages.shop.reports
    return found
