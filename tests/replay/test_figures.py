"""The reference figures: what the shop sold, took back and holds, to the unit and the penny."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path

import pytest

from storekeeper.demo import open_sample
from storekeeper.replay.figures import Figures, Period, differences, figures_of
from storekeeper.replay.happenings import Adjustment, Happening, Return, Sale, stock_changes
from storekeeper.replay.opening import opening_stock
from storekeeper.replay.plan import plan
from storekeeper.replay.source import Row, read_rows, rows_from
from tests.replay.rows import correction, csv_line, rows_of

REAL_FILE = Path(__file__).parents[3] / "shared/data/online-retail/lines-2010-12-to-2011-08.csv.gz"
FIRST_WEEK_ENDS = datetime(2010, 12, 8, tzinfo=UTC)


def test_every_figure_of_a_small_history_is_what_a_person_would_count():
    rows = rows_of(
        csv_line(invoice_no="1", quantity="6", price="2.55"),
        csv_line(invoice_no="1", code="POST", quantity="1", price="18.00"),
        correction(invoice_no="2", quantity="-2", description="damages"),
        csv_line(invoice_no="C3", at="2011-01-05T10:00", quantity="-1", price="2.55"),
        csv_line(invoice_no="C3", at="2011-01-05T10:00", code="M", quantity="-1", price="1.00"),
        correction(invoice_no="4", at="2011-01-06T10:00", quantity="7", description="found"),
        csv_line(invoice_no="C5", at="2011-01-07T10:00", code="D", quantity="-1", price="3.00"),
    )
    december = Period(
        sale_orders=1,
        sale_lines=2,
        units_sold=7,
        goods_sold=6,
        revenue_pence=3330,
        adjustments=1,
        units_written_off=2,
    )
    january = Period(
        returns=1,
        return_lines=1,
        units_returned=1,
        returned_pence=255,
        adjustments=1,
        units_found=7,
    )
    assert figures_of(rows, {"85123A": 8, "71053": 4}) == Figures(
        total=Period(
            sale_orders=1,
            sale_lines=2,
            units_sold=7,
            goods_sold=6,
            revenue_pence=3330,
            returns=1,
            return_lines=1,
            units_returned=1,
            returned_pence=255,
            adjustments=2,
            units_found=7,
            units_written_off=2,
        ),
        months={"2010-12": december, "2011-01": january},
        on_hand={"71053": 4, "85123A": 8},
        units_on_hand=12,
        credited_pence=-100,
        booked_pence=-300,
    )


def test_a_difference_is_named_and_equal_figures_have_none():
    expected = figures_of(rows_of(csv_line()), {"85123A": 6})
    found = figures_of(rows_of(csv_line(quantity="5")), {"85123A": 6})
    assert differences(expected, expected) == []
    assert differences(expected, found) == [
        "units_sold in all: 5, expected 6",
        "goods_sold in all: 5, expected 6",
        "revenue_pence in all: 1275, expected 1530",
        "units_sold 2010-12: 5, expected 6",
        "goods_sold 2010-12: 5, expected 6",
        "revenue_pence 2010-12: 1275, expected 1530",
        "on hand of 85123A: 1, expected 0",
        "units_on_hand: 1, expected 0",
    ]


def test_the_plan_comes_to_the_same_figures_on_the_demo_sample():
    with open_sample() as stream:
        assert_plan_agrees(list(rows_from(stream)))


def test_the_plan_comes_to_the_same_figures_on_the_real_first_week():
    rows = real_first_week()
    assert_plan_agrees(rows)
    figures = figures_of(rows, opening_stock(plan(rows)))
    assert (figures.total.sale_orders, figures.total.revenue_pence) == (609, 32632016)
    assert (figures.total.returns, figures.total.units_returned) == (66, 11205)
    assert (figures.total.adjustments, figures.units_on_hand) == (67, 9474)


def real_file() -> Path:
    """A year of real invoice lines, which nobody may ship with the repository."""
    if not REAL_FILE.exists():
        pytest.skip("the real invoice lines aren't at ../shared/data beside the repository")
    return REAL_FILE


def real_first_week() -> list[Row]:
    return list(takewhile(lambda row: row.at < FIRST_WEEK_ENDS, read_rows(real_file())))


def assert_plan_agrees(rows: list[Row]) -> None:
    happenings = list(plan(rows))
    opening = opening_stock(happenings)
    figures = figures_of(rows, opening)
    total = figures.total
    assert planned_totals(happenings) == {
        "sale_orders": total.sale_orders,
        "sale_lines": total.sale_lines,
        "units_sold": total.units_sold,
        "revenue_pence": total.revenue_pence,
        "returns": total.returns,
        "return_lines": total.return_lines,
        "units_returned": total.units_returned,
        "returned_pence": total.returned_pence,
        "adjustments": total.adjustments,
        "adjusted": total.units_found - total.units_written_off,
    }
    on_hand = Counter(opening)
    for happening in happenings:
        on_hand.update(dict(summed(happening)))
    assert figures.on_hand == dict(sorted(on_hand.items()))
    assert min(figures.on_hand.values()) >= 0
    assert total.revenue_pence - total.returned_pence + figures.credited_pence + (
        figures.booked_pence
    ) == sum(row.amount_pence for row in rows)


def planned_totals(happenings: list[Happening]) -> dict[str, int]:
    sales = [happening for happening in happenings if isinstance(happening, Sale)]
    returns = [happening for happening in happenings if isinstance(happening, Return)]
    adjustments = [happening for happening in happenings if isinstance(happening, Adjustment)]
    return {
        "sale_orders": len(sales),
        "sale_lines": sum(len(sale.lines) for sale in sales),
        "units_sold": sum(line.quantity for sale in sales for line in sale.lines),
        "revenue_pence": sum(sale.amount_pence for sale in sales),
        "returns": len(returns),
        "return_lines": sum(len(returned.lines) for returned in returns),
        "units_returned": sum(line.quantity for back in returns for line in back.lines),
        "returned_pence": sum(returned.amount_pence for returned in returns),
        "adjustments": len(adjustments),
        "adjusted": sum(adjustment.quantity for adjustment in adjustments),
    }


def summed(happening: Happening) -> Counter[str]:
    changes: Counter[str] = Counter()
    for sku, units in stock_changes(happening):
        changes[sku] += units
    return changes
