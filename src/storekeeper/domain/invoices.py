"""Invoices: one for an order that was sold, under a number of a series without gaps.

A number is drawn when the invoice is first asked for, in the commit that keeps it: none is lost,
none is given twice, and a sale needn't wait for the one before it. The invoice itself holds nothing
personal; what it says of the buyer is the order's, and goes with it.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from storekeeper.domain.changes import ChangeSet, Check, Put
from storekeeper.domain.errors import OrderState
from storekeeper.domain.money import Money, total
from storekeeper.domain.orders import Order, OrderLine
from storekeeper.domain.types import OrderId, Struct

# The one series that there is.
SERIES = "invoices"


class Invoice(Struct, frozen=True, kw_only=True):
    """The invoice of the order with the same id; it stays as it is whatever the order becomes.

    `leaves_out_cancelled`: units that were cancelled before it was made aren't on it.
    """

    id: OrderId
    version: int
    number: int
    issued_at: datetime
    total: Money
    leaves_out_cancelled: bool = False


class Series(Struct, frozen=True, kw_only=True):
    """Numbers that count up from 1; `last` is the one that was given last."""

    id: str
    version: int
    last: int


class InvoicedLine(NamedTuple):
    """A line of the order with the units that the invoice is about."""

    line: OrderLine
    quantity: int

    @property
    def total(self) -> Money:
        return self.line.unit_price * self.quantity


def issue(order: Order, series: Series | None, now: datetime) -> tuple[Invoice, ChangeSet]:
    """The order's invoice under the number after the series' last (None: there was none yet).

    Raises `OrderState` for an order of which nothing was sold.
    """
    lines = _lines(order, leaves_out_cancelled=True)
    if order.confirmed_at is None or not lines:
        raise OrderState(
            "there is an invoice only for an order that was confirmed", state=order.state
        )
    last = 0 if series is None else series.last
    invoice = Invoice(
        id=order.id,
        version=1,
        number=last + 1,
        issued_at=now,
        total=total((line.total for line in lines), order.currency),
        leaves_out_cancelled=any(line.cancelled for line in order.lines),
    )
    after = Series(
        id=SERIES, version=1 if series is None else series.version + 1, last=invoice.number
    )
    return invoice, ChangeSet(
        puts=(Put(invoice), Put(after)),
        # What is cancelled in this moment must not be on it.
        checks=(Check("Order", order.id, order.version),),
    )


def lines_of(order: Order, invoice: Invoice) -> list[InvoicedLine]:
    """What the invoice lists, in the order's order."""
    return _lines(order, leaves_out_cancelled=invoice.leaves_out_cancelled)


def _lines(order: Order, *, leaves_out_cancelled: bool) -> list[InvoicedLine]:
    found = [
        InvoicedLine(line, line.quantity - (line.cancelled if leaves_out_cancelled else 0))
        for line in order.lines
    ]
    return [one for one in found if one.quantity]
