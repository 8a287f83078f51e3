"""`report`: the shop in figures, for people, as JSON or as CSV."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
import typer

from storekeeper.cli.commands.keeping import require_shop
from storekeeper.cli.console import Console, run
from storekeeper.cli.files import whole_file
from storekeeper.cli.help import command, flowing
from storekeeper.cli.options import Config, Database, Json, Output, StoreKind, settings_of
from storekeeper.config import Settings
from storekeeper.domain.money import to_decimal_text
from storekeeper.store.port import Page, SalesBy, SalesQuery, StockValueBy, StockValueQuery

if TYPE_CHECKING:
    from storekeeper.services.reports import Reports

T = TypeVar("T")
REPORTING = """Tell the shop in figures: sales, the worth of stock, or all in short.

    \b
    Examples:
      storekeeper report summary
      storekeeper report sales --by month
      storekeeper report stock-value --by location --csv
    """
reporting = typer.Typer(no_args_is_help=True, help=flowing(REPORTING))


Csv = Annotated[bool, typer.Option("--csv", help="All rows as CSV on stdout, or in --output.")]
Rows = Annotated[int, typer.Option(min=1, max=5_000, help="How many rows to show without --csv.")]
TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]
From = Annotated[
    datetime | None,
    typer.Option(
        "--from",
        metavar="TIME",
        formats=TIMES,
        help="Placed at this time or later; in UTC, unless it names its zone.",
        show_default=False,
    ),
]
Before = Annotated[
    datetime | None,
    typer.Option(
        metavar="TIME", formats=TIMES, help="Placed before this time.", show_default=False
    ),
]
# Figures that are money, in minor units of the row's or the entry's currency.
MONEY = frozenset({"revenue", "returned_value", "value"})


@command(reporting, "summary")
def report_summary(
    database: Database = None,
    store: StoreKind = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Orders, units and money of the whole shop; reads every order.

    \b
    Examples:
      storekeeper report summary
      storekeeper report summary --json
    """
    console = Console(as_json)
    found = _ask(settings_of(database, config, store), lambda reports: reports.summary())
    for name, value in msgspec.structs.asdict(found).items() if not as_json else ():
        console.say(f"{name:<16} {_told(name, value)}")
    console.result(found)


@command(reporting, "sales")
def report_sales(
    by: Annotated[SalesBy, typer.Option(help="What to add up by.")] = "day",
    placed_from: From = None,
    before: Before = None,
    rows: Rows = 100,
    csv: Csv = False,
    output: Output = None,
    database: Database = None,
    store: StoreKind = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Orders, units and money by day, week, month, product, category or customer.

    What was confirmed and not cancelled, in UTC, before returns, which stand beside it. With
    --json money is in minor units.

    \b
    Examples:
      storekeeper report sales --by month
      storekeeper report sales --by product --from 2026-03-01 --before 2026-04-01
      storekeeper report sales --csv --output sales.csv
    """
    query = SalesQuery(by=by, placed_from=_utc(placed_from), placed_before=_utc(before), limit=rows)
    settings = settings_of(database, config, store)
    if _is_file(csv, output, as_json):
        _write(settings, output, lambda reports: reports.export_sales(query))
    else:
        _show(Console(as_json), _ask(settings, lambda reports: reports.sales(query)))


@command(reporting, "stock-value")
def report_stock_value(
    by: Annotated[StockValueBy, typer.Option(help="What to add up by.")] = "category",
    rows: Rows = 100,
    csv: Csv = False,
    output: Output = None,
    database: Database = None,
    store: StoreKind = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Units on hand and what they would sell for at today's prices.

    \b
    Examples:
      storekeeper report stock-value
      storekeeper report stock-value --by location --csv > worth.csv
    """
    query = StockValueQuery(by=by, limit=rows)
    settings = settings_of(database, config, store)
    if _is_file(csv, output, as_json):
        _write(settings, output, lambda reports: reports.export_stock_value(query))
    else:
        _show(Console(as_json), _ask(settings, lambda reports: reports.stock_value(query)))


def _ask(settings: Settings, question: Callable[[Reports], Awaitable[T]]) -> T:
    from storekeeper.app import open_shop

    require_shop(settings)

    async def work() -> T:
        async with open_shop(settings) as shop:
            return await question(shop.reports)

    return run(work())


def _is_file(csv: bool, output: Path | None, as_json: bool) -> bool:
    if csv and as_json:
        raise typer.BadParameter("choose one of --csv and --json")
    if output is not None and not csv:
        raise typer.BadParameter("--output needs --csv")
    return csv


def _write(
    settings: Settings,
    output: Path | None,
    export: Callable[[Reports], Awaitable[AsyncIterator[str]]],
) -> None:
    with whole_file(output) as write:

        async def work(reports: Reports) -> None:
            async for text in await export(reports):
                write(text)

        _ask(settings, work)


def _show(console: Console, page: Page[Any]) -> None:
    """A table for people, whose columns are as wide as they need; objects for machines."""
    found = [msgspec.structs.asdict(row) for row in page.items]
    if not console.as_json:
        told = {name for row in found for name, value in row.items() if value is not None}
        names = [name for name in (found[0] if found else ()) if name in told - {"currency"}]
        cells = [[_cell(name, row) for name in names] for row in found]
        widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
        for line in [names, *cells] if found else ():
            console.say(_line(line, widths))
        if page.next is not None:
            console.note("there are more rows; --rows shows more, --csv all of them")
        if not found:
            console.say("nothing to add up")
    console.result({"items": found, "is_all": page.next is None})


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _cell(name: str, row: dict[str, Any]) -> str:
    value = row[name]
    if name in MONEY:
        return f"{to_decimal_text(value, row['currency'])} {row['currency']}"
    return "-" if value in (None, "") else str(value)


def _told(name: str, value: Any) -> str:
    if not isinstance(value, dict):
        return f"{value:,}"
    shown = (
        f"{to_decimal_text(part, key)} {key}" if name in MONEY else f"{part:,} {key}"
        for key, part in sorted(value.items())
    )
    return ", ".join(shown) or "none"


def _utc(at: datetime | None) -> datetime | None:
    if at is None:
        return None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
