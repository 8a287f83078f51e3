"""Commands that move data in and out: CSV files both ways, and a real shop's history."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

import typer

from storekeeper.cli.commands.keeping import require_shop
from storekeeper.cli.console import Console, Failed, counted, run
from storekeeper.cli.files import named, whole_file
from storekeeper.cli.help import command, flowing
from storekeeper.cli.options import (
    Config,
    Database,
    InputFile,
    Json,
    Output,
    StoreKind,
    settings_of,
)
from storekeeper.cli.progress import Bars
from storekeeper.config import Settings
from storekeeper.domain.errors import Invalid

if TYPE_CHECKING:
    from storekeeper.domain.work import RowError
    from storekeeper.services.csv_import import ImportReport, Progress
    from storekeeper.store.port import Store

SHOWN_ERRORS = 20
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check the whole file and say what would happen.")
]
SkipBad = Annotated[
    bool,
    typer.Option(
        "--skip-bad", help="Take the good rows; without it a file with a bad row changes nothing."
    ),
]
Errors = Annotated[
    Path | None,
    typer.Option(
        "--errors", metavar="FILE", help="Write every bad row's line, field and reason here as CSV."
    ),
]

IMPORTING = """Take products or stock from a CSV file.

    \b
    Examples:
      storekeeper import products goods.csv --dry-run
      storekeeper import stock count.csv
    """
EXPORTING = """Write products, stock, orders or the ledger as CSV.

    \b
    Examples:
      storekeeper export products > goods.csv
      storekeeper export orders --output orders.csv
    """
importing = typer.Typer(no_args_is_help=True, help=flowing(IMPORTING))
exporting = typer.Typer(no_args_is_help=True, help=flowing(EXPORTING))


@command(importing, "products")
def import_products(
    file: InputFile,
    dry_run: DryRun = False,
    skip_bad: SkipBad = False,
    errors: Errors = None,
    database: Database = None,
    store: StoreKind = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make and change products, known by their SKU.

    The file has the columns of `storekeeper export products`; sku, name and price are enough. Doing
    it again changes nothing. Exit code 1 when a row is bad.

    \b
    Examples:
      storekeeper import products goods.csv --dry-run
      storekeeper import products goods.csv --skip-bad --errors bad-rows.csv
    """
    _import(
        "products", file, dry_run, skip_bad, errors, settings_of(database, config, store), as_json
    )


@command(importing, "stock")
def import_stock(
    file: InputFile,
    dry_run: DryRun = False,
    skip_bad: SkipBad = False,
    errors: Errors = None,
    database: Database = None,
    store: StoreKind = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Set the units on hand by count: columns sku, location, on_hand, and a note if you like.

    Each difference becomes one line of the ledger. Doing it again changes nothing. Exit code 1 when
    a row is bad.

    \b
    Examples:
      storekeeper import stock count.csv --dry-run
      storekeeper import stock count.csv
    """
    _import("stock", file, dry_run, skip_bad, errors, settings_of(database, config, store), as_json)


@command(exporting, "products")
def export_products(
    output: Output = None,
    database: Database = None,
    store: StoreKind = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """All products, archived ones too, in the form that `import products` takes.

    \b
    Examples:
      storekeeper export products > goods.csv
      storekeeper export products --output goods.csv
    """
    _export("products", output, settings_of(database, config, store), as_json)


@command(exporting, "stock")
def export_stock(
    output: Output = None,
    database: Database = None,
    store: StoreKind = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Units on hand by SKU and location, in the form that `import stock` takes.

    \b
    Examples:
      storekeeper export stock --output count.csv
    """
    _export("stock", output, settings_of(database, config, store), as_json)


@command(exporting, "orders")
def export_orders(
    output: Output = None,
    database: Database = None,
    store: StoreKind = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """All orders, one row for each line of an order.

    \b
    Examples:
      storekeeper export orders --output orders.csv
    """
    _export("orders", output, settings_of(database, config, store), as_json)


@command(exporting, "movements")
def export_movements(
    output: Output = None,
    database: Database = None,
    store: StoreKind = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """The whole stock ledger, oldest line first.

    \b
    Examples:
      storekeeper export movements | grep ,received,
    """
    _export("movements", output, settings_of(database, config, store), as_json)


class Via(StrEnum):
    service = "service"
    http = "http"


def replay(
    file: InputFile,
    via: Annotated[
        Via, typer.Option(help="Straight through the services, or through a running shop's API.")
    ] = Via.service,
    url: Annotated[
        str, typer.Option(help="With --via http: where the shop is.")
    ] = "http://127.0.0.1:8000",
    api_key: Annotated[
        str,
        typer.Option(
            help="With --via http: an admin's key with all scopes.",
            envvar="SHOP_API_KEY",
            show_default=False,
        ),
    ] = "",
    until: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Play the days before this one.", metavar="DATE"),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Play this many invoices.", show_default=False)
    ] = None,
    database: Database = None,
    store: StoreKind = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Play a real shop's history from its exported invoice lines, then check every figure.

    Columns: invoice_no, invoiced_at, customer_id, country, stock_code, description, quantity,
    unit_price_gbp; plain or gzip. The catalogue and the opening stock come from the file; each
    invoice becomes an order, a return or a correction at its own time.

    It needs a shop without products and orders. Stopped (Ctrl-C, even kill -9), the same command
    goes on where it was and does nothing twice. Ends with the file's figures beside the shop's;
    exit code 1 when one differs. --via http plays as of now and keeps to the shop's rate limit
    (STOREKEEPER_REQUESTS_PER_MINUTE=0 lifts it).

    \b
    Examples:
      storekeeper replay lines.csv.gz --database replay.db
      storekeeper replay lines.csv.gz --until 2010-12-08 --database week.db
      SHOP_API_KEY=sk_… storekeeper replay lines.csv.gz --via http --limit 500
    """
    from storekeeper.cli.replaying import replay_by_http, replay_directly, tell
    from storekeeper.replay.script import script_of_file
    from storekeeper.replay.source import SHOP_ZONE, SourceError

    console = Console(as_json)
    if via is Via.http and not api_key:
        raise typer.BadParameter("--via http needs a key", param_hint="--api-key")
    settings = settings_of(database, config, store)
    end = datetime.combine(until.date(), time(), SHOP_ZONE).astimezone(UTC) if until else None
    with Bars() as bars:
        try:
            script = script_of_file(file, until=end, limit=limit, watch=bars)
        except SourceError as error:
            raise Invalid(f"{file}, {error}") from error
        work = (
            replay_by_http(url, api_key, script, bars)
            if via is Via.http
            else replay_directly(settings, script, bars)
        )
        finished = run(work)
    tell(console, finished)


def _import(
    kind: Literal["products", "stock"],
    file: Path,
    dry_run: bool,
    skip_bad: bool,
    errors: Path | None,
    settings: Settings,
    as_json: bool,
) -> None:
    from storekeeper.cli.shops import opened
    from storekeeper.services.base import BY_SYSTEM
    from storekeeper.services.csv_import import Importer

    console = Console(as_json)

    come = 0

    async def work(on_errors: Callable[[Sequence[RowError]], None], bars: Bars) -> ImportReport:
        def show(progress: Progress) -> None:
            nonlocal come
            come = 0 if dry_run else progress.created + progress.updated
            _show(bars, progress)

        async with opened(settings) as shop:
            importer = Importer(shop.tools, currency=settings.currency)
            action = importer.import_products if kind == "products" else importer.import_stock
            return await action(
                file,
                BY_SYSTEM,
                mode="skip_bad" if skip_bad else "all_or_nothing",
                dry_run=dry_run,
                on_progress=show,
                on_errors=on_errors,
            )

    with Bars() as bars, _error_file(errors) as on_errors:
        try:
            report = run(work(on_errors, bars))
        except KeyboardInterrupt:
            if not dry_run:
                part = f"at least {_amount(come, kind)}" if come else "some"
                console.note(
                    f"{part} of {file} may be in the shop already; the same command again brings "
                    "the rest and changes nothing of these"
                )
            raise
    for error in report.errors[:SHOWN_ERRORS]:
        console.note(f"line {error.line}, {error.field}: {error.reason}")
    console.say(_sentence(report))
    if report.message:
        console.note(report.message)
    console.result(report)
    if report.failed:
        where = f"; all are in {errors}" if errors else ""
        raise Failed(f"{counted(report.failed, 'bad row')} in {file}{where}")


def _amount(count: int, kind: str) -> str:
    return counted(count, "stock level") if kind == "stock" else counted(count, kind[:-1])


def _sentence(report: ImportReport) -> str:
    what = (
        f"{counted(report.rows, 'row')}: {report.created} created, {report.updated} changed, "
        f"{report.unchanged} unchanged, {report.failed} bad"
    )
    if report.dry_run:
        return f"{what}; a dry run, so nothing was applied"
    return what if report.applied else f"{what}; nothing was applied"


def _show(bars: Bars, progress: Progress) -> None:
    name = "Checking" if progress.phase == "checking" else "Applying"
    bars(name, progress.phase_done, progress.phase_total, "B")


@contextmanager
def _error_file(path: Path | None) -> Iterator[Callable[[Sequence[RowError]], None]]:
    """Where bad rows go: a CSV file, or nowhere."""
    if path is None:
        yield lambda found: None
        return
    from storekeeper.services.csv_format import ERROR_COLUMNS, rows_text

    with named(path), path.open("w", encoding="utf-8", newline="") as file:
        file.write(rows_text([ERROR_COLUMNS]))
        yield lambda found: _write_errors(file, found)


def _write_errors(file: TextIO, found: Sequence[RowError]) -> None:
    from storekeeper.services.csv_format import rows_text

    file.write(rows_text((str(one.line), one.field, one.reason) for one in found))


def _export(
    kind: Literal["products", "stock", "orders", "movements"],
    output: Path | None,
    settings: Settings,
    as_json: bool,
) -> None:
    from storekeeper.app import open_shop
    from storekeeper.services.csv_export import Exporter

    if as_json and output is None:
        raise typer.BadParameter("--json needs --output, as stdout is the export")
    console = Console(as_json)
    require_shop(settings)

    async def work(write: Callable[[str], object], bars: Bars) -> int:
        async with open_shop(settings) as shop:
            total = done = 0
            if bars.is_shown:
                with bars.waiting("Counting"):
                    total = await _total(shop.store, kind)

            def on_rows(count: int) -> None:
                nonlocal done
                done += count
                bars(f"Exporting {kind}", done, max(total, done))

            chunks: AsyncIterator[str] = getattr(Exporter(shop.tools), f"export_{kind}")(on_rows)
            async for text in chunks:
                write(text)
            return done

    with whole_file(output) as write, Bars(beside_output=output is None) as bars:
        done: int = run(work(write, bars))
    if output is not None:
        console.say(f"wrote {_amount(done, kind)} to {output}")
        console.result({"file": str(output), "kind": kind, "exported": done})


async def _total(store: Store, kind: str) -> int:
    summary = await store.summary()
    return {
        "products": summary.products,
        "stock": summary.products,
        "orders": sum(summary.orders.values()),
        "movements": summary.movements,
    }[kind]
