"""What the charts of sales and stock show: a range of days, its figures, and those before it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Literal

import msgspec

from storekeeper.domain.errors import Invalid
from storekeeper.domain.money import Money
from storekeeper.domain.types import Struct
from storekeeper.services.csv_format import amount_cell, rows_text
from storekeeper.services.reports import EXPORT_PAGE, Reports
from storekeeper.store.port import SalesQuery, SalesRow, StockValueQuery, StockValueRow
from storekeeper.web.admin.days import day_of, next_day
from storekeeper.web.visit import Visit, with_query

Span = Literal["day", "week", "month"]
SPANS: tuple[Span, ...] = Span.__args__  # type: ignore[attr-defined]
PRESETS = (7, 30, 90, 365)
MOST_POINTS = 400
BEST = 10
SALES_COLUMNS = (
    *("key", "currency", "orders", "units", "revenue"),
    *("key_before", "orders_before", "units_before", "revenue_before"),
)
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

    def file(self, name: str, by: str) -> str:
        """The address of its figures as CSV."""
        since, until = self.since.date(), self.until.date()
        return with_query(f"/admin/{name}.csv", {"by": by, "since": since, "until": until})

    def buckets(self) -> Iterator[date]:
        """The first day of each day, week (from Monday) or month that it touches."""
        at = self.bucket_of(self.since.date())
        while at < self.before.date():
            yield at
            if self.by == "month":
                at = (at + timedelta(days=31)).replace(day=1)
            else:
                at += timedelta(days=7 if self.by == "week" else 1)

    def bucket_of(self, day: date) -> date:
        if self.by == "week":
            return day - timedelta(days=day.weekday())
        return day.replace(day=1) if self.by == "month" else day

    def beside(self, day: date) -> date:
        """The bucket beside which a day of the time before stands: that of the day which is as
        far from the beginning."""
        return self.bucket_of(day + timedelta(days=self.days))

    def start_before(self, bucket: date) -> date:
        """The first of the days that stand beside a bucket."""
        return max(bucket, self.since.date()) - timedelta(days=self.days)


class Sums(Struct, frozen=True, kw_only=True):
    """Sales of a time. Money by currency, in minor units; an order has one currency."""

    revenue: dict[str, int]
    orders: int
    units: int

    def money(self, currency: str) -> Money:
        return Money(amount=self.revenue.get(currency, 0), currency=currency)


class Point(Struct, frozen=True, kw_only=True):
    """A bucket of the range, named by its first day, and the same days of the time before, which
    begins with `start_before`."""

    start: date
    now: Sums
    start_before: date
    before: Sums


class Sales(Struct, frozen=True, kw_only=True):
    """A range in figures: each bucket of it, in all, and what it was in the days before."""

    currencies: Sequence[str]
    points: Sequence[Point]
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
    rows, earlier_rows = await _rows_of(reports, asked)
    best = await reports.sales(asked.query(by="product", best_first=True, limit=BEST))
    total, earlier = sums_of(rows), sums_of(earlier_rows)
    return Sales(
        currencies=sorted({*total.revenue, *earlier.revenue}),
        points=_points(asked, rows, earlier_rows),
        total=total,
        earlier=earlier,
        best=best.items,
    )


async def sales_file(reports: Reports, asked: Range) -> AsyncIterator[str]:
    """The figures over time as CSV, a row for each bucket and currency, beside those before."""
    rows, earlier_rows = await _rows_of(reports, asked)

    async def text() -> AsyncIterator[str]:
        yield rows_text([SALES_COLUMNS])
        for currency in sorted({row.currency for row in (*rows, *earlier_rows)}):
            points = _points(
                asked,
                [row for row in rows if row.currency == currency],
                [row for row in earlier_rows if row.currency == currency],
            )
            yield rows_text(
                (
                    *(point.start.isoformat(), currency, *_cells(point.now, currency)),
                    *(point.start_before.isoformat(), *_cells(point.before, currency)),
                )
                for point in points
            )

    return text()


def _cells(sums: Sums, currency: str) -> Sequence[str]:
    revenue = amount_cell(sums.revenue.get(currency, 0), currency)
    return (str(sums.orders), str(sums.units), revenue)


async def _rows_of(reports: Reports, asked: Range) -> tuple[Sequence[SalesRow], Sequence[SalesRow]]:
    """Those of the range by its steps, and those of the days before by day."""
    rows = await _all(reports, asked.query())
    return rows, await _all(reports, asked.earlier.query(by="day"))


def _points(asked: Range, rows: Sequence[SalesRow], earlier: Sequence[SalesRow]) -> Sequence[Point]:
    by_bucket: dict[date, list[SalesRow]] = defaultdict(list)
    for row in rows:
        by_bucket[date.fromisoformat(row.key)].append(row)
    before: dict[date, list[SalesRow]] = defaultdict(list)
    for row in earlier:
        before[asked.beside(date.fromisoformat(row.key))].append(row)
    return [
        Point(
            start=start,
            now=sums_of(by_bucket[start]),
            start_before=asked.start_before(start),
            before=sums_of(before[start]),
        )
        for start in asked.buckets()
    ]


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
