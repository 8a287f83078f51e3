"""Today's charts in the reader's language: what each shows, its names and how values are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from babel.numbers import format_percent

from storekeeper.domain.money import Money
from storekeeper.web.admin.charts import Chart, lying, upright
from storekeeper.web.admin.today_faults import MILLION, Faults
from storekeeper.web.admin.today_sales import Point, Sales, Shelf, Sums
from storekeeper.web.languages import Language
from storekeeper.web.visit import Visit


def charts_of_time(visit: Visit, sales: Sales) -> Sequence[Chart]:
    """Revenue in each currency, orders and units; none where nothing was sold in either time."""
    if not (sales.total.orders or sales.earlier.orders):
        return ()
    say, write = visit.say, visit.language.number

    def chart(
        id: str, title: str, value: Callable[[Sums], int], told: Callable[[int], str]
    ) -> Chart:
        now = [value(point.now) for point in sales.points]
        before = [value(point.before) for point in sales.points]
        about = _about(visit, sales.points, told(sum(now)), told(sum(before)))
        return upright(id, title, about, _named(visit, sales.points, now, before), told)

    revenue = [
        chart(
            f"revenue-{currency}",
            say("Revenue in %(currency)s") % {"currency": currency},
            lambda sums, currency=currency: sums.revenue.get(currency, 0),  # type: ignore[misc]
            _money_writer(visit.language, currency),
        )
        for currency in sales.currencies
    ]
    orders = chart("orders", say("Orders"), lambda sums: sums.orders, write)
    units = chart("units", say("Units"), lambda sums: sums.units, write)
    return [*revenue, orders, units]


def chart_of_faults(visit: Visit, faults: Faults) -> Chart | None:
    """The error rate; None where no requests were counted."""
    if not (faults.total.requests or faults.earlier.requests):
        return None
    language = visit.language
    about = _about(
        visit,
        faults.points,
        rate_text(language, faults.total.rate or 0),
        rate_text(language, faults.earlier.rate or 0),
    )
    now = [point.now.rate or 0 for point in faults.points]
    before = [point.before.rate for point in faults.points]
    return upright(
        "faults",
        visit.say("Error rate"),
        about,
        _named(visit, faults.points, now, before),
        lambda value: rate_text(language, value),
    )


def charts_of_best(visit: Visit, sales: Sales) -> Sequence[Chart]:
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
            _money_writer(visit.language, currency),
        )
        for currency in sorted({row.currency for row in sales.best})
    ]


def chart_of_stock(visit: Visit, shelf: Shelf) -> Chart:
    say = visit.say
    others, nameless = say("All others"), say("Without a category")
    return lying(
        f"stock-{shelf.currency}",
        say("Stock value in %(currency)s") % {"currency": shelf.currency},
        say("Categories by what their stock would sell for, the most first."),
        [(others if name is None else name or nameless, value) for name, _, value in shelf.rows],
        _money_writer(visit.language, shelf.currency),
    )


def rate_text(language: Language, rate: int | None) -> str:
    """Of a million, as percent; empty where nothing is known."""
    if rate is None:
        return ""
    share = Decimal(rate) / MILLION
    return str(format_percent(share, locale=language.locale, decimal_quantization=False))


def _about(visit: Visit, points: Sequence[Any], total: str, before: str) -> str:
    return visit.say(
        "A bar for each step from %(first)s to %(last)s, in all %(total)s; a line for the time "
        "before, in all %(before)s."
    ) % {
        "first": _day(visit, points[0].start),
        "last": _day(visit, points[-1].start),
        "total": total,
        "before": before,
    }


def _named(
    visit: Visit, points: Sequence[Point | Any], now: Sequence[int], before: Sequence[int | None]
) -> Sequence[tuple[str, int, int | None]]:
    return [
        (_day(visit, point.start), value, earlier)
        for point, value, earlier in zip(points, now, before, strict=True)
    ]


def _money_writer(language: Language, currency: str) -> Callable[[int], str]:
    return lambda amount: language.money(Money(amount=amount, currency=currency))


def _day(visit: Visit, day: date) -> str:
    return visit.language.day(datetime.combine(day, time()))
