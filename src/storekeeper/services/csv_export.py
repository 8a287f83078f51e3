"""Exports as CSV text, a few hundred rows at a time; what import reads comes out the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime

from storekeeper.domain.catalog import Product
from storekeeper.domain.orders import Order
from storekeeper.domain.stock import Level, Movement
from storekeeper.domain.types import ProductId
from storekeeper.services.base import Tools
from storekeeper.services.csv_format import (
    PRODUCT_COLUMNS,
    amount_cell,
    bool_cell,
    rows_text,
    tags_cell,
    texts_cell,
)
from storekeeper.store.port import unique

OnRows = Callable[[int], None]
MOVEMENT_COLUMNS = (
    "at",
    "sku",
    "product_id",
    "location",
    "on_hand",
    "reserved",
    "reason",
    "reference",
    "by",
    "note",
    "id",
)
ORDER_COLUMNS = (
    "number",
    "id",
    "state",
    "placed_at",
    "confirmed_at",
    "customer_id",
    "email",
    "currency",
    "order_total",
    "line",
    "sku",
    "name",
    "unit_price",
    "quantity",
    "line_total",
    "fulfilled",
    "cancelled",
    "returned",
)


class Exporter:
    """Each method yields text to write out as it comes; `on_rows` hears how many rows each has."""

    def __init__(self, tools: Tools, *, batch: int = 500) -> None:
        self._store = tools.store
        self._batch = batch

    async def export_products(self, on_rows: OnRows = lambda _: None) -> AsyncIterator[str]:
        """All products, archived too; parents stand before their variants, as import needs."""
        yield rows_text([PRODUCT_COLUMNS])
        has_variants = False
        async for batch in self._store.scan(Product, batch=self._batch):
            shown = [product for product in batch if product.parent_id is None]
            has_variants = has_variants or len(shown) < len(batch)
            yield await _text(_product_row(product, "") for product in shown)
            on_rows(len(shown))
        if not has_variants:
            return
        async for batch in self._store.scan(Product, batch=self._batch):
            variants = [product for product in batch if product.parent_id is not None]
            skus = await self._skus([str(product.parent_id) for product in variants])
            yield await _text(
                _product_row(product, skus.get(str(product.parent_id), "")) for product in variants
            )
            on_rows(len(variants))

    async def export_stock(self, on_rows: OnRows = lambda _: None) -> AsyncIterator[str]:
        """The units on hand by SKU and location, in the form that import takes as a count."""
        yield rows_text([("sku", "location", "on_hand")])
        async for batch in self._store.scan(Product, batch=self._batch):
            kept = {
                product.id: product
                for product in batch
                if product.track_stock and not product.is_parent
            }
            levels = await self._store.levels(list(kept))
            yield await _text(_level_row(kept[level.product_id], level) for level in levels)
            on_rows(len(levels))

    async def export_movements(self, on_rows: OnRows = lambda _: None) -> AsyncIterator[str]:
        """The whole ledger, oldest first."""
        yield rows_text([MOVEMENT_COLUMNS])
        async for batch in self._store.scan_movements(batch=self._batch):
            skus = await self._skus([movement.product_id for movement in batch])
            yield await _text(
                _movement_row(movement, skus.get(movement.product_id, "")) for movement in batch
            )
            on_rows(len(batch))

    async def export_orders(self, on_rows: OnRows = lambda _: None) -> AsyncIterator[str]:
        """All orders, a row for each line."""
        yield rows_text([ORDER_COLUMNS])
        # Orders may have thousands of lines, so fewer of them make a batch.
        async for batch in self._store.scan(Order, batch=max(1, self._batch // 10)):
            yield await _text(row for order in batch for row in _order_rows(order))
            on_rows(len(batch))

    async def _skus(self, product_ids: Sequence[str]) -> dict[str, str]:
        if not product_ids:
            return {}
        found = await self._store.get_many(Product, unique(product_ids))
        return {id: product.sku for id, product in found.items()}


async def _text(rows: Iterable[Sequence[str]]) -> str:
    """Formats off the event loop, where orders are waiting."""
    return await asyncio.to_thread(rows_text, rows)


def _product_row(product: Product, parent_sku: str) -> Sequence[str]:
    threshold = product.low_stock_threshold
    return (
        product.sku,
        product.name,
        product.description,
        amount_cell(product.price.amount, product.price.currency),
        product.price.currency,
        product.category or "",
        tags_cell(product.tags),
        product.image_url or "",
        texts_cell(product.attributes),
        product.status,
        bool_cell(product.track_stock),
        bool_cell(product.allow_backorder),
        "" if threshold is None else str(threshold),
        bool_cell(product.is_parent),
        parent_sku,
        texts_cell(product.options),
    )


def _level_row(product: Product, level: Level) -> Sequence[str]:
    return (product.sku, level.location_id, str(level.on_hand))


def _movement_row(movement: Movement, sku: str) -> Sequence[str]:
    return (
        _time(movement.at),
        sku,
        ProductId(movement.product_id),
        movement.location_id,
        str(movement.on_hand),
        str(movement.reserved),
        movement.reason,
        movement.reference,
        movement.by,
        movement.note,
        movement.id,
    )


def _order_rows(order: Order) -> Iterable[Sequence[str]]:
    head = (
        order.number,
        order.id,
        order.state,
        _time(order.placed_at),
        _time(order.confirmed_at),
        order.customer_id or "",
        order.email,
        order.currency,
        amount_cell(order.total.amount, order.currency),
    )
    for line in order.lines:
        yield (
            *head,
            str(line.id),
            line.sku,
            line.name,
            amount_cell(line.unit_price.amount, order.currency),
            str(line.quantity),
            amount_cell(line.total.amount, order.currency),
            str(line.fulfilled),
            str(line.cancelled),
            str(line.returned),
        )


def _time(at: datetime | None) -> str:
    return at.isoformat().replace("+00:00", "Z") if at else ""
