"""Small CSV files for tests, and what a shop's products amount to."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from storekeeper.domain import catalog
from storekeeper.domain.catalog import Product
from storekeeper.domain.work import RowError
from storekeeper.services.csv_import import ImportReport, Progress
from tests.catalog.desk import BY_ADMIN, Desk


def stream(text: str, encoding: str = "utf-8") -> io.BytesIO:
    return io.BytesIO(text.encode(encoding))


class Import:
    """One import with everything it told meanwhile."""

    def __init__(self) -> None:
        self.progress: list[Progress] = []
        self.errors: list[RowError] = []
        self.report: ImportReport

    def bad(self) -> list[tuple[int, str]]:
        return [(error.line, error.field) for error in self.errors]

    def figures(self) -> tuple[int, int, int, int]:
        """Created, updated, unchanged, failed."""
        report = self.report
        return report.created, report.updated, report.unchanged, report.failed


async def importing(
    desk: Desk, file: Any, kind: str = "products", mode: str = "all_or_nothing", **options: Any
) -> Import:
    done = Import()
    act = desk.importer.import_products if kind == "products" else desk.importer.import_stock
    done.report = await act(
        stream(file) if isinstance(file, str) else file,
        BY_ADMIN,
        mode=mode,  # type: ignore[arg-type]
        on_progress=done.progress.append,
        on_errors=done.errors.extend,
        **options,
    )
    return done


async def text_of(pieces: AsyncIterator[str]) -> str:
    return "".join([piece async for piece in pieces])


def cells_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


async def products(desk: Desk) -> dict[str, Product]:
    return {product.sku: product async for batch in desk.store.scan(Product) for product in batch}


async def described(desk: Desk) -> dict[str, Any]:
    """What is said of each product, a variant's parent by its SKU as ids differ between shops."""
    found = await products(desk)
    by_id = {product.id: product.sku for product in found.values()}
    return {
        sku: (
            {**_plain(product), "parent_id": None},
            by_id[product.parent_id] if product.parent_id else None,
        )
        for sku, product in found.items()
    }


def _plain(product: Product) -> dict[str, Any]:
    return msgspec.structs.asdict(catalog.details_of(product))
