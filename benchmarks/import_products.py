"""A hundred thousand products in from CSV and out again: how fast, and in how much memory."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

from benchmarks import machine, shops
from benchmarks.report import Report, shown
from benchmarks.run import Run
from storekeeper.app import Shop, open_shop
from storekeeper.domain.types import Struct
from storekeeper.services.base import BY_SYSTEM
from storekeeper.services.csv_export import Exporter
from storekeeper.services.csv_import import Importer

TITLE = "100,000 products from CSV, checked and all or nothing, and back"
ROWS = 100_000
ROWS_PER_SECOND = 10_000
GROWTH_MIB = 64.0
COLUMNS = ("sku", "name", "description", "price", "currency", "category", "tags", "attributes")


class Passage(Struct, frozen=True, kw_only=True):
    """Rows moved by a process of their own; memory as growth over the open, idle shop."""

    rows: int
    seconds: float
    growth_mib: float
    detail: str = ""

    @property
    def rate(self) -> float:
        return self.rows / self.seconds

    def __str__(self) -> str:
        return (
            f"{shown(self.rows)} rows in {self.seconds:.1f} s, {shown(round(self.rate))} rows/s, "
            f"memory + {self.growth_mib:.0f} MiB"
        )


def run(run: Run, report: Report) -> None:
    rows = run.size(ROWS)
    folder = shops.folder_of("import")
    database, goods = folder / "shop.db", folder / "goods.csv"
    _write_goods(goods, rows)
    first = _alone(_import, database, goods)
    again = _alone(_import, database, goods)
    out = _alone(_export, database, folder / "out.csv")
    back = _alone(_import, folder / "other.db", folder / "out.csv")
    out_again = _alone(_export, folder / "other.db", folder / "again.csv")
    report.figure("file", f"{shown(rows)} rows, {goods.stat().st_size / 2**20:.0f} MiB")
    report.figure("import into an empty shop", f"{first}; {first.detail}")
    report.figure("the same file again", f"{again}; {again.detail}")
    report.figure("export", str(out))
    report.figure("import of the export into another shop", str(back))
    report.target("import, rows a second", first.rate, "at least", ROWS_PER_SECOND)
    report.target("memory growth of the import", first.growth_mib, "under", GROWTH_MIB, " MiB")
    report.target("memory growth of the export", out.growth_mib, "under", GROWTH_MIB, " MiB")
    report.target(
        "the same export from both shops", float(out.detail == out_again.detail), "exactly", 1
    )


def _write_goods(path: Path, rows: int) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for number in range(rows):
            product = shops.details(number)
            price = f"{product.price.amount // 100}.{product.price.amount % 100:02d}"
            writer.writerow(
                (
                    product.sku,
                    product.name,
                    product.description,
                    price,
                    "GBP",
                    product.category,
                    "|".join(product.tags),
                    f'{{"material":"stone","weight":"{number % 900} g"}}',
                )
            )


def _alone(work: Callable[[Path, Path], Passage], database: Path, file: Path) -> Passage:
    """In a process of its own, on all cores, so that its memory is nothing else's."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, database, file).result()


def _import(database: Path, file: Path) -> Passage:
    async def work(shop: Shop) -> tuple[int, str]:
        importer = Importer(shop.tools, currency="GBP")
        report = await importer.import_products(file, BY_SYSTEM)
        if report.failed or not report.applied:
            raise RuntimeError(f"the import failed: {report}")
        return report.rows, f"{shown(report.created)} created, {shown(report.unchanged)} unchanged"

    return asyncio.run(_measured(database, work))


def _export(database: Path, file: Path) -> Passage:
    async def work(shop: Shop) -> tuple[int, str]:
        rows = 0
        found = hashlib.sha256()

        def on_rows(count: int) -> None:
            nonlocal rows
            rows += count

        with file.open("w", newline="", encoding="utf-8") as out:
            async for text in Exporter(shop.tools).export_products(on_rows):
                out.write(text)
                found.update(text.encode())
        return rows, found.hexdigest()

    return asyncio.run(_measured(database, work))


async def _measured(database: Path, work: Callable[[Shop], Awaitable[tuple[int, str]]]) -> Passage:
    machine.stay_on(set(machine.cores()))
    async with open_shop(shops.settings_for(database)) as shop:
        await shop.prepare()
        with _growth() as growth:
            started = time.perf_counter()
            rows, detail = await work(shop)
            seconds = time.perf_counter() - started
    return Passage(rows=rows, seconds=seconds, growth_mib=growth(), detail=detail)


@contextmanager
def _growth() -> Iterator[Callable[[], float]]:
    """How much more memory the process held at its peak than at the beginning, in MiB."""
    first = machine.rss_mib()
    peak = first
    end = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not end.wait(0.01):
            peak = max(peak, machine.rss_mib())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield lambda: peak - first
    finally:
        end.set()
        watcher.join()
