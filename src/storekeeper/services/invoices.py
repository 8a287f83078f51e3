"""Invoices: made when one is first asked for, the same ever after."""

from __future__ import annotations

import asyncio

from storekeeper.domain import invoices
from storekeeper.domain.errors import NotFound
from storekeeper.domain.invoices import SERIES, Invoice, Series
from storekeeper.domain.orders import Order
from storekeeper.domain.types import OrderId
from storekeeper.services.base import Tools, with_fresh_reads


class Invoices:
    """Who may see an order may have its invoice: the caller has looked it up as `order_changes`
    gives it."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store
        # Each number follows the one before it, so those who ask here at once take turns; only
        # other processes are left to race.
        self._turn = asyncio.Lock()

    async def of(self, order: Order) -> Invoice:
        """The order's invoice. Raises `OrderState` for an order of which nothing was sold."""
        kept = await self._store.get(Invoice, order.id)
        if kept is not None:
            return kept
        async with self._turn:
            return await with_fresh_reads(lambda: self._issue(order.id))

    async def is_there(self, order: Order) -> bool:
        """Whether the order has an invoice or would have one if somebody asked."""
        if order.confirmed_at is None or order.state != "cancelled":
            return order.confirmed_at is not None
        return await self._store.get(Invoice, order.id) is not None

    async def _issue(self, order_id: OrderId) -> Invoice:
        kept = await self._store.get(Invoice, order_id)
        if kept is not None:
            return kept
        order = await self._store.get(Order, order_id)
        if order is None:
            raise NotFound(f"there is no order {order_id}")
        series = await self._store.get(Series, SERIES)
        invoice, change = invoices.issue(order, series, self._tools.clock())
        await self._store.commit(change)
        return invoice
