"""Turns invoice lines into what happened in the shop, in order of time; it never touches a store.

One invoice is one happening:

- a number without a letter is a `Sale`: all its lines with a positive quantity. A line at price 0
  is part of it (something given along). Where customer, price and product name are all missing,
  though, nobody bought anything: stock was found, and each line is an `Adjustment`;
- a number with `C` is a `Return`: its goods come back into stock. Its other lines (discount,
  carriage, manual credit, samples) only move money and are the return's `credits`. Without any
  goods it is `Bookkeeping`;
- any other letter (`A`: bad debts) is `Bookkeeping`.

What doesn't fit its invoice goes beside it: a negative quantity of goods on a sale's invoice is an
`Adjustment` each; a fee, a negative price, or a negative quantity of what has no stock is
`Bookkeeping`. A positive quantity on a cancellation is refused, as it could mean two things.

Invoices come in order of their first line, whose minute is the happening's time. An invoice's lines
may run over several minutes and lie among other invoices' lines; more than `INVOICE_SPAN` after its
start they are taken for a mistake and refused. That keeps memory small for any length of file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from storekeeper.replay.codes import CodeKind, canonical_sku, is_goods, is_note, kind_of
from storekeeper.replay.happenings import Adjustment, Bookkeeping, Happening, Line, Return, Sale
from storekeeper.replay.source import Row, SourceError

INVOICE_SPAN = timedelta(hours=1)


def plan(rows: Iterable[Row]) -> Iterator[Happening]:
    """What happened, in order of time; each `reference` occurs once.

    Same rows, same stream: how many happenings were played is enough to resume.
    Raises `SourceError` where rows aren't in order of time or an invoice contradicts itself.
    """
    for invoice in _invoices(rows):
        yield from _happenings(invoice)


def _invoices(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows gathered by invoice, in order of each invoice's first row."""
    waiting: dict[str, list[Row]] = {}
    finished: set[str] = set()
    latest: datetime | None = None
    for row in rows:
        if latest is not None and row.at < latest:
            raise SourceError("earlier than the line before; sort by invoiced_at", row.line)
        latest = row.at
        while waiting:
            number, oldest = next(iter(waiting.items()))
            if row.at - oldest[0].at <= INVOICE_SPAN:
                break
            finished.add(number)
            del waiting[number]
            yield oldest
        if row.invoice_no in finished:
            raise SourceError(
                f"invoice {row.invoice_no} goes on more than {INVOICE_SPAN} after its start",
                row.line,
            )
        waiting.setdefault(row.invoice_no, []).append(row)
    yield from waiting.values()


def _happenings(invoice: list[Row]) -> list[Happening]:
    head = invoice[0]
    for row in invoice:
        if (row.customer_id, row.country) != (head.customer_id, head.country):
            raise SourceError(f"invoice {row.invoice_no} has two customers or countries", row.line)
    letter = head.invoice_no[0].upper()
    if letter.isdigit():
        return _from_sale(invoice)
    if letter == "C":
        return [_from_cancellation(invoice)]
    return [_bookkeeping(invoice)]


def _from_sale(invoice: list[Row]) -> list[Happening]:
    booked = [row for row in invoice if _is_only_money(row)]
    bought = any(_tells_of_a_buyer(row) for row in invoice if not _is_only_money(row))
    sold: list[Row] = []
    corrected: list[Happening] = []
    for number, row in enumerate(invoice, start=1):
        if _is_only_money(row):
            continue
        if row.quantity > 0 and bought:
            sold.append(row)
        elif is_goods(canonical_sku(row.stock_code)):
            corrected.append(_adjustment(number, row))
        else:
            booked.append(row)
    result: list[Happening] = [_sale(sold)] if sold else []
    result.extend(corrected)
    if booked:
        result.append(_bookkeeping(booked))
    return result


def _is_only_money(row: Row) -> bool:
    return row.unit_price_pence < 0 or kind_of(canonical_sku(row.stock_code)) is CodeKind.FEE


def _tells_of_a_buyer(row: Row) -> bool:
    """Whether the row adds something and names a customer, a charge or a product.

    Where no row of an invoice does, nobody bought anything: stock was found.
    """
    return row.quantity > 0 and bool(
        row.customer_id or row.unit_price_pence or not is_note(row.description)
    )


def _from_cancellation(invoice: list[Row]) -> Happening:
    goods: list[Line] = []
    money: list[Line] = []
    for row in invoice:
        if row.quantity > 0:
            raise SourceError(
                f"invoice {row.invoice_no} is a cancellation, but its quantity is positive",
                row.line,
            )
        if row.unit_price_pence >= 0 and is_goods(canonical_sku(row.stock_code)):
            goods.append(_line(row, -row.quantity))
        else:
            money.append(_line(row, row.quantity))
    if not goods:
        return _bookkeeping(invoice)
    head = invoice[0]
    return Return(
        invoice_no=head.invoice_no,
        at=head.at,
        customer_id=head.customer_id,
        country=head.country,
        lines=tuple(goods),
        credits=tuple(money),
    )


def _sale(rows: list[Row]) -> Sale:
    head = rows[0]
    return Sale(
        invoice_no=head.invoice_no,
        at=head.at,
        customer_id=head.customer_id,
        country=head.country,
        lines=tuple(_line(row, row.quantity) for row in rows),
    )


def _adjustment(number: int, row: Row) -> Adjustment:
    note = row.description
    return Adjustment(
        invoice_no=row.invoice_no,
        line=number,
        at=row.at,
        sku=canonical_sku(row.stock_code),
        quantity=row.quantity,
        unit_price_pence=row.unit_price_pence,
        note=note if note and note != "nan" else None,
    )


def _bookkeeping(rows: list[Row]) -> Bookkeeping:
    head = rows[0]
    return Bookkeeping(
        invoice_no=head.invoice_no,
        at=head.at,
        customer_id=head.customer_id,
        lines=tuple(_line(row, row.quantity) for row in rows),
    )


def _line(row: Row, quantity: int) -> Line:
    return Line(
        sku=canonical_sku(row.stock_code),
        quantity=quantity,
        unit_price_pence=row.unit_price_pence,
    )
