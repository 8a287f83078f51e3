"""The shop in figures: sales and the worth of stock, as pages and as CSV."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec

from storekeeper.domain.errors import Invalid
from storekeeper.services.base import Tools
from storekeeper.services.csv_format import amount_cell, rows_text
from storekeeper.store.port import (
    Page,
    SalesQuery,
    SalesRow,
    StockValueQuery,
    StockValueRow,
    Summary,
)

R = TypeVar("R")
# Each page of a grouping reads its whole range, so that an export takes large ones.
EXPORT_PAGE = 5_000
SALES_COLUMNS = (
    "key",
    "sku",
    "name",
    "currency",
    "orders",
    "units",
    "revenue",
    "returned_units",
    "returned_value",
)
STOCK_VALUE_COLUMNS = ("key", "name", "currency", "products", "units", "value")
GUESTS = "guests"


class Reports:
    """Figures of the store's own records; nothing is kept beside them that could differ."""

    def __init__(self, tools: Tools, *, export_page: int = EXPORT_PAGE) -> None:
        self._store = tools.store
        self._export_page = export_page

    async def summary(self) -> Summary:
        """Reads all orders."""
        return await self._store.summary()

    async def sales(self, query: SalesQuery) -> Page[SalesRow]:
        """Raises `Invalid` for a range that ends before it begins, and for a foreign cursor."""
        _check_range(query.placed_from, query.placed_before)
        page = await self._store.sales(query)
        if query.by != "customer":
            return page
        return Page(items=tuple(map(_named_guests, page.items)), next=page.next)

    async def stock_value(self, query: StockValueQuery) -> Page[StockValueRow]:
        return await self._store.stock_value(query)

    async def export_sales(self, query: SalesQuery) -> AsyncIterator[str]:
        """All pages as CSV text; raises as `sales` does, before there is any."""
        _check_range(query.placed_from, query.placed_before)

        async def turn(cursor: str | None) -> Page[SalesRow]:
            return await self.sales(
                msgspec.structs.replace(query, limit=self._export_page, cursor=cursor)
            )

        return _exported(SALES_COLUMNS, turn, _sales_cells)

    async def export_stock_value(self, query: StockValueQuery) -> AsyncIterator[str]:
        """All pages as CSV text."""

        async def turn(cursor: str | None) -> Page[StockValueRow]:
            return await self.stock_value(
                msgspec.structs.replace(query, limit=self._export_page, cursor=cursor)
            )

        return _exported(STOCK_VALUE_COLUMNS, turn, _stock_value_cells)


def _check_range(start: datetime | None, before: datetime | None) -> None:
    if start is not None and before is not None and start > before:
        raise Invalid("the range ends before it begins; swap `from` and `before`", field="before")


def _named_guests(row: SalesRow) -> SalesRow:
    """Guests have no account whose id could be the key."""
    return row if row.key else msgspec.structs.replace(row, key=GUESTS)


async def _exported(
    columns: Sequence[str],
    turn: Callable[[str | None], Awaitable[Page[R]]],
    cells: Callable[[R], Sequence[str]],
) -> AsyncIterator[str]:
    yield rows_text([columns])
    cursor: str | None = None
    while True:
        page = await turn(cursor)
        yield rows_text(map(cells, page.items))
        if page.next is None:
            return
        cursor = page.next


def _sales_cells(row: SalesRow) -> Sequence[str]:
    return (
        row.key,
        row.sku or "",
        row.name or "",
        row.currency,
        str(row.orders),
        str(row.units),
        amount_cell(row.revenue, row.currency),
        str(row.returned_units),
        amount_cell(row.returned_value, row.currency),
    )


def _stock_value_cells(row: StockValueRow) -> Sequence[str]:
    return (
        row.key,
        row.name or "",
        row.currency,
        str(row.products),
        str(row.units),
        amount_cell(row.value, row.currency),
    )
