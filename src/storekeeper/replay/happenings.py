"""What can happen in a shop, as far as its invoice lines tell; values only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from storekeeper.domain.types import Struct
from storekeeper.replay.codes import is_goods


class Line(Struct, frozen=True, kw_only=True):
    """Units of one SKU at one price; an invoice may have several lines of the same SKU."""

    sku: str
    quantity: int
    unit_price_pence: int

    @property
    def amount_pence(self) -> int:
        return self.quantity * self.unit_price_pence


class Sale(Struct, frozen=True, kw_only=True, tag="sale"):
    """One order: every line has a positive quantity and a price of 0 or more."""

    invoice_no: str
    at: datetime
    customer_id: str | None
    country: str
    lines: tuple[Line, ...]

    @property
    def reference(self) -> str:
        return self.invoice_no

    @property
    def amount_pence(self) -> int:
        return _amount(self.lines)


class Return(Struct, frozen=True, kw_only=True, tag="return"):
    """Goods that came back: `lines` count up into stock, `credits` only move money.

    Quantities are positive in `lines`, and signed as in the file (negative) in `credits`.
    """

    invoice_no: str
    at: datetime
    customer_id: str | None
    country: str
    lines: tuple[Line, ...]
    credits: tuple[Line, ...]

    @property
    def reference(self) -> str:
        return self.invoice_no

    @property
    def amount_pence(self) -> int:
        """What the goods were worth, without the credits."""
        return _amount(self.lines)


class Adjustment(Struct, frozen=True, kw_only=True, tag="adjustment"):
    """A correction of one SKU's stock by `quantity`, up or down, with what the shop noted.

    `line` counts the invoice's lines from 1. The shop's own corrections have a price of 0.
    """

    invoice_no: str
    line: int
    at: datetime
    sku: str
    quantity: int
    unit_price_pence: int
    note: str | None

    @property
    def reference(self) -> str:
        return f"{self.invoice_no}/{self.line}"

    @property
    def amount_pence(self) -> int:
        return self.quantity * self.unit_price_pence


class Bookkeeping(Struct, frozen=True, kw_only=True, tag="bookkeeping"):
    """Money that moved without goods and without a sale; `lines` are signed as in the file."""

    invoice_no: str
    at: datetime
    customer_id: str | None
    lines: tuple[Line, ...]

    @property
    def reference(self) -> str:
        return f"{self.invoice_no}/money"

    @property
    def amount_pence(self) -> int:
        return _amount(self.lines)


Happening = Sale | Return | Adjustment | Bookkeeping


def stock_changes(happening: Happening) -> Iterator[tuple[str, int]]:
    """Each change of units on hand that the happening means, as (SKU, units)."""
    match happening:
        case Sale(lines=lines):
            yield from ((line.sku, -line.quantity) for line in lines if is_goods(line.sku))
        case Return(lines=lines):
            yield from ((line.sku, line.quantity) for line in lines)
        case Adjustment(sku=sku, quantity=quantity):
            yield sku, quantity
        case Bookkeeping():
            return


def _amount(lines: tuple[Line, ...]) -> int:
    return sum(line.amount_pence for line in lines)
