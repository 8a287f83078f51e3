"""What the charts of sales and stock show: a range of days, its figures, and those before it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Literal

import msgspec

from storekeeper.domain.errors import Invalid
from storekeeper.domain.money import Money
from storekeeper.domain.types import Struct
from storekeeper.services.reports import EXPORT_PAGE, Reports
from storekeeper.store.port import SalesQuery, SalesRow, StockValueQuery, StockValueRow
from storekeeper.web.admin.days import day_of, next_day
from storekeeper.web.visit import Visit, with_query

Span = Literal["day", "week", "month"]
SPANS: tuple[Span, ...] = Span.__args__  # type: ignore[attr-defined]
PRESETS = (7, 30, 90, 365)
MOST_POINTS = 400
BEST = 10
_FIRST_YEAR, _LAST_YEAR = 1900, 2999


class Range(Struct, frozen=True, kw_only=True):
    """Whole days in UTC: `since` inclusive, `before` exclusive, added up by `by`."""

    since: datetime
    before: datetime
    by: Span

    @property
    def days(self) -> int:
        return (self.before - self.since).days

    @property
    def until(self) -> datetime:
        return self.before - timedelta(days=1)

    @property
    def earlier(self) -> Range:
        """As many days, right before."""
        length = self.before - self.since
        return msgspec.structs.replace(self, since=self.since - length, before=self.since)

    def query(self, **other: object) -> SalesQuery:
        query = SalesQuery(by=self.by, placed_from=self.since, placed_before=self.before)
        return msgspec.structs.replace(query, **other)

    def file(self, by: str) -> str:
        """The address of its figures as CSV."""
        since, until = self.since.date(), self.until.date()
        return with_query("/admin/sales.csv", {"by": by, "since": since, "until": until})

    def buckets(self) -> Iterator[date]:
        """The first day of each day, week (from Monday) or month that it touches."""
        at = self.since.date()
        if self.by == "week":
            at -= timedelta(days=at.weekday())
        elif self.by == "month":
            at = at.replace(day=1)
        while at < self.before.date():
            yield at
            if self.by == "month":
                at = (at + timedelta(days=31)).replace(day=1)
            else:
                at += timedelta(days=7 if self.by == "week" else 1)


class Sums(Struct, frozen=True, kw_only=True):
    """Sales of a time. Money by currency, in minor units; an order has one currency."""

    revenue: dict[str, int]
    orders: int
    units: int

    def money(self, currency: str) -> Money:
        return Money(amount=self.revenue.get(currency, 0), currency=currency)


class Sales(Struct, frozen=True, kw_only=True):
    """A range in figures: each bucket of it, in all, and what it was in the days before."""

    currencies: Sequence[str]
    points: Sequence[tuple[date, Sums]]
    total: Sums
    earlier: Sums
    best: Sequence[SalesRow]

    def change(self, currency: str) -> Money:
        """How much more revenue than in the days before."""
        before = self.earlier.money(currency).amount
        return Money(amount=self.total.money(currency).amount - before, currency=currency)

    def money(self, row: SalesRow) -> Money:
        return Money(amount=row.revenue, currency=row.currency)


class Shelf(Struct, frozen=True, kw_only=True):
    """The worth of stock in one currency: the categories worth most, and the others as one.

    `rows`: name (None: the others; "": without a category), units, value in minor units.
    """

    currency: str
    rows: Sequence[tuple[str | None, int, int]]
    units: int
    value: int

    def money(self, value: int) -> Money:
        return Money(amount=value, currency=self.currency)


def range_of(visit: Visit, by: str) -> Range:
    """The days that the address asks for, in steps of `by` ("": as fits them); raises `Invalid`
    with the field that is wrong."""
    asked = visit.query
    now: datetime = visit.pages.shop.tools.clock()
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    preset = next((days for days in PRESETS if str(days) == asked.get("days")), 30)
    until = day_of(visit, asked.get("until", "")[:40], "until") or today
    _check_year(visit, until, "until")
    since = day_of(visit, asked.get("since", "")[:40], "since")
    since = since or until - timedelta(days=preset - 1)
    _check_year(visit, since, "since")
    if since > until:
        raise Invalid(visit.say("The range ends before it begins."), field="until")
    days = (until - since).days + 1
    span = next((one for one in SPANS if one == by), None)
    if by and span is None:
        raise Invalid(visit.say("Choose days, weeks or months."), field="by")
    found = Range(since=since, before=next_day(until) or until, by=span or _span(days))
    if days > MOST_POINTS * {"day": 1, "week": 7, "month": 30}[found.by]:
        raise Invalid(
            visit.say("That is too much for one chart; choose longer steps or a shorter range."),
            field="by",
        )
    return found


def _span(days: int) -> Span:
    return "day" if days <= 31 else "week" if days <= 190 else "month"


def _check_year(visit: Visit, day: datetime, field: str) -> None:
    if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise Invalid(visit.say("Type a day of the years 1900 to 2999."), field=field)


async def sales_of(reports: Reports, asked: Range) -> Sales:
    rows = await _all(reports, asked.query())
    # Months are the fewest rows that the same orders can be added up in.
    earlier = sums_of(await _all(reports, asked.earlier.query(by="month")))
    best = await reports.sales(asked.query(by="product", best_first=True, limit=BEST))
    by_bucket: dict[str, list[SalesRow]] = defaultdict(list)
    for row in rows:
        by_bucket[row.key].append(row)
    total = sums_of(rows)
    return Sales(
        currencies=sorted({*total.revenue, *earlier.revenue}),
        points=[(day, sums_of(by_bucket[day.isoformat()])) for day in asked.buckets()],
        total=total,
        earlier=earlier,
        best=best.items,
    )


def sums_of(rows: Sequence[SalesRow]) -> Sums:
    revenue: dict[str, int] = defaultdict(int)
    for row in rows:
        revenue[row.currency] += row.revenue
    return Sums(
        revenue=dict(revenue),
        orders=sum(row.orders for row in rows),
        units=sum(row.units for row in rows),
    )


async def _all(reports: Reports, query: SalesQuery) -> Sequence[SalesRow]:
    """Every row; there are no more than buckets of time in each currency."""
    found: list[SalesRow] = []
    cursor: str | None = None
    while True:
        page = await reports.sales(msgspec.structs.replace(query, limit=EXPORT_PAGE, cursor=cursor))
        found += page.items
        if page.next is None:
            return found
        cursor = page.next


async def shelves_of(reports: Reports) -> tuple[Sequence[Shelf], bool]:
    """The worth of stock by category for each currency, and whether that is all of it."""
    page = await reports.stock_value(StockValueQuery(by="category", limit=EXPORT_PAGE))
    by_currency: dict[str, list[StockValueRow]] = defaultdict(list)
    for row in page.items:
        by_currency[row.currency].append(row)
    shelves = [_shelf(currency, rows) for currency, rows in sorted(by_currency.items())]
    return shelves, page.next is None


def _shelf(currency: str, rows: list[StockValueRow]) -> Shelf:
    rows.sort(key=lambda row: (-row.value, row.key))
    shown: list[tuple[str | None, int, int]] = [
        (row.name or row.key, row.units, row.value) for row in rows[:BEST]
    ]
    others = rows[BEST:]
    if others:
        units, value = sum(row.units for row in others), sum(row.value for row in others)
        shown.append((None, units, value))
    return Shelf(
        currency=currency,
        rows=shown,
        units=sum(row.units for row in rows),
        value=sum(row.value for row in rows),
    )
