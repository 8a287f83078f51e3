"""Finds the order lines that a return takes back; it never takes back more than was sold.

The file doesn't say which order a return belongs to. Goods usually come back soon, so a customer's
newest order lines of the SKU are taken first, and within one order the last line first. What no
earlier line of that customer covers is left over; a guest's return always is, as nothing ties it
to an order.

The state is rebuilt by feeding the same happenings again; a replay that resumes does so without
touching the store. With `wanted` it stays small: only what is ever returned needs remembering.
"""

from __future__ import annotations

from collections.abc import Iterable

from storekeeper.domain.types import Struct
from storekeeper.replay.codes import is_goods
from storekeeper.replay.happenings import Happening, Line, Return, Sale

Claim = tuple[str, str]


class Taken(Struct, frozen=True, kw_only=True):
    """Units of one order line that come back; `line_index` counts the sale's lines from 0."""

    invoice_no: str
    line_index: int
    quantity: int


class Match(Struct, frozen=True, kw_only=True):
    """Where `taken` units come from, and how many are `leftover` without an order line."""

    taken: tuple[Taken, ...]
    leftover: int


class ReturnMatcher:
    """Remembers what each customer bought and hasn't brought back yet.

    `wanted` holds the (customer, SKU) pairs worth remembering, see `returned_claims`; None: all.
    """

    def __init__(self, wanted: frozenset[Claim] | None = None) -> None:
        self._wanted = wanted
        self._open: dict[Claim, list[Taken]] = {}

    def record_sale(
        self, customer_id: str | None, invoice_no: str, sku: str, quantity: int, line_index: int
    ) -> None:
        """Remembers one order line; those of a guest can't be asked for again."""
        if customer_id is None:
            return
        claim = (customer_id, sku)
        if self._wanted is None or claim in self._wanted:
            self._open.setdefault(claim, []).append(
                Taken(invoice_no=invoice_no, line_index=line_index, quantity=quantity)
            )

    def match(self, customer_id: str | None, sku: str, quantity: int) -> Match:
        """Takes up to `quantity` units out of what is remembered, newest line first."""
        taken: list[Taken] = []
        lines = self._open.get((customer_id, sku), []) if customer_id is not None else []
        while quantity and lines:
            newest = lines.pop()
            units = min(quantity, newest.quantity)
            quantity -= units
            taken.append(_part(newest, units))
            if units < newest.quantity:
                lines.append(_part(newest, newest.quantity - units))
        return Match(taken=tuple(taken), leftover=quantity)

    def record(self, sale: Sale) -> None:
        """Remembers all goods of an order."""
        for index, line in enumerate(sale.lines):
            if is_goods(line.sku):
                self.record_sale(sale.customer_id, sale.invoice_no, line.sku, line.quantity, index)

    def settle(self, returned: Return) -> list[tuple[Line, Match]]:
        """Each line of a return with where its units come from."""
        return [
            (line, self.match(returned.customer_id, line.sku, line.quantity))
            for line in returned.lines
        ]


def returned_claims(happenings: Iterable[Happening]) -> frozenset[Claim]:
    """The (customer, SKU) pairs that any return speaks of."""
    return frozenset(
        (happening.customer_id, line.sku)
        for happening in happenings
        if isinstance(happening, Return) and happening.customer_id is not None
        for line in happening.lines
    )


def _part(line: Taken, quantity: int) -> Taken:
    return Taken(invoice_no=line.invoice_no, line_index=line.line_index, quantity=quantity)
