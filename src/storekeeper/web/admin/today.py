"""What needs somebody now, and how the shop does."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from litestar import Controller, Request, get
from msgspec import UNSET

from storekeeper.domain.errors import Invalid, Overloaded
from storekeeper.domain.types import Struct
from storekeeper.http.answers import CSV, Answer
from storekeeper.http.health import readiness_of
from storekeeper.services.joining import Joined
from storekeeper.services.needs import Needs
from storekeeper.services.reports import Reports
from storekeeper.services.traffic import TrafficCounts
from storekeeper.store.port import StockValueQuery
from storekeeper.web.admin.frame import BACK_OFFICE, admin_page
from storekeeper.web.admin.today_charts import (
    chart_of_faults,
    chart_of_stock,
    charts_of_best,
    charts_of_time,
    rate_text,
)
from storekeeper.web.admin.today_faults import Faults, faults_file, faults_of
from storekeeper.web.admin.today_sales import (
    PRESETS,
    SPANS,
    Range,
    Sales,
    Shelf,
    range_of,
    sales_file,
    sales_of,
    shelves_of,
)
from storekeeper.web.downloads import Download
from storekeeper.web.forms import FormErrors, exactly
from storekeeper.web.pages import HTML
from storekeeper.web.visit import Visit, visit_of, with_query

PageRequest = Request[Any, Any, Any]
REPORTS = "reports:read"
# What needs somebody is shown at once; figures may not hold it up for longer than this.
PATIENCE_S = 1.0


class Figures(Struct, frozen=True, kw_only=True):
    """What the charts of a range show."""

    sales: Sales
    faults: Faults
    shelves: tuple[Shelf, ...]
    is_all_stock: bool


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
            errors.add(error.field or "", exactly(visit, error))
        needs: Needs = visit.pages.shop.needs
        todo, health, figures = await asyncio.gather(
            needs.look(visit.call("", None)),
            readiness_of(visit.pages.shop),
            _figures(visit, asked),
        )
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
            figures=figures,
            charts={} if figures is None else _charts(visit, figures),
            # Where the figures are that weren't there in time.
            later=with_query(BACK_OFFICE, {**visit.query, "figures": "1"}),
            rate=lambda value: rate_text(visit.language, value),
        )

    @get("/sales.csv", access=REPORTS, media_type=CSV)
    async def sales_file(self, request: PageRequest) -> Download:
        """The range's sales by time beside those before, or by product."""
        visit = visit_of(request)
        by = visit.query.get("by", "")
        if by == "product":
            query = range_of(visit, "").query(by="product")
            return Download(visit, await _reports(visit).export_sales(query), "sales-by-product")
        asked = range_of(visit, by)
        text = await sales_file(_reports(visit), asked)
        return Download(visit, text, f"sales-by-{asked.by}")

    @get("/errors.csv", access=REPORTS, media_type=CSV)
    async def faults_file(self, request: PageRequest) -> Download:
        visit = visit_of(request)
        asked = range_of(visit, visit.query.get("by", ""))
        text = await faults_file(_traffic(visit), asked)
        return Download(visit, text, f"errors-by-{asked.by}")

    @get("/stock-value.csv", access=REPORTS, media_type=CSV)
    async def stock_file(self, request: PageRequest) -> Download:
        visit = visit_of(request)
        text = await _reports(visit).export_stock_value(StockValueQuery(by="category"))
        return Download(visit, text, "stock-value-by-category")


async def _figures(visit: Visit, asked: Range | None) -> Figures | None:
    """None for who may not read reports, and where they take longer than the page may wait; with
    `figures=1` it waits for them."""
    if asked is None or not visit.principal.may(REPORTS):
        return None
    joined: Joined[Figures] = visit.pages.figures
    is_awaited = visit.query.get("figures") == "1"
    work = partial(_read, _reports(visit), _traffic(visit), asked)
    try:
        return await joined.ask(asked, work, None if is_awaited else PATIENCE_S)
    except Overloaded:
        if is_awaited:
            raise
        return None


async def _read(reports: Reports, traffic: TrafficCounts, asked: Range) -> Figures:
    # One after the other: reports share a lane of the store with other long work.
    faults = await faults_of(traffic, asked)
    sales = await sales_of(reports, asked)
    shelves, is_all = await shelves_of(reports)
    return Figures(sales=sales, faults=faults, shelves=tuple(shelves), is_all_stock=is_all)


def _charts(visit: Visit, figures: Figures) -> dict[str, Any]:
    return {
        "time": charts_of_time(visit, figures.sales),
        "faults": chart_of_faults(visit, figures.faults),
        "best": charts_of_best(visit, figures.sales),
        "stock": [chart_of_stock(visit, shelf) for shelf in figures.shelves],
    }


def _reports(visit: Visit) -> Reports:
    found: Reports = visit.pages.shop.reports
    return found


def _traffic(visit: Visit) -> TrafficCounts:
    found: TrafficCounts = visit.pages.shop.traffic
    return found
