"""The shop's figures, counted straight from the rows; a replay must end with the same.

This is the reference that a replay is held against, so it shares nothing with the plan but the
meaning of a code and of a note (`codes`), and keeps to sums. Months are UTC, by the invoice's first
line, as a store knows an order's time and no time zone.

Nothing gets lost between the figures: revenue - returned + credited + booked is the value of all
rows together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from storekeeper.domain.types import Struct
from storekeeper.replay.codes import CodeKind, canonical_sku, is_goods, is_note, kind_of
from storekeeper.replay.source import Row


class Period(Struct, frozen=True, kw_only=True):
    """What a span of time came to. `goods_sold` leaves out what has no stock, such as carriage.

    A return's units and value are its goods; money credited along with them is in `Figures`.
    """

    sale_orders: int = 0
    sale_lines: int = 0
    units_sold: int = 0
    goods_sold: int = 0
    revenue_pence: int = 0
    returns: int = 0
    return_lines: int = 0
    units_returned: int = 0
    returned_pence: int = 0
    adjustments: int = 0
    units_found: int = 0
    units_written_off: int = 0


class Figures(Struct, frozen=True, kw_only=True):
    """All of a file, or of a replay of it; two that say the same are equal.

    `credited_pence` is the money-only part of returns (negative: paid out), `booked_pence` all
    that is neither sale nor return. Neither has a place in a shop's store.
    """

    total: Period
    months: dict[str, Period]
    on_hand: dict[str, int]
    units_on_hand: int
    credited_pence: int = 0
    booked_pence: int = 0


class FiguresCount:
    """Takes every row once, in any order, and holds sums.

    Only rows whose meaning depends on the rest of their invoice wait for the end: some hundreds.
    """

    def __init__(self) -> None:
        self._sums: Counter[tuple[str, str]] = Counter()
        self._moved: Counter[str] = Counter()
        self._month_of: dict[str, str] = {}
        self._orders: set[str] = set()
        self._returns: set[str] = set()
        self._maybe_found: list[Row] = []
        self._maybe_credit: list[Row] = []
        self._booked_pence = 0

    def add(self, row: Row) -> None:
        self._month_of.setdefault(row.invoice_no, f"{row.at:%Y-%m}")
        sku = canonical_sku(row.stock_code)
        letter = row.invoice_no[0].upper()
        if letter == "C":
            self._take_back(row, sku)
        elif not letter.isdigit() or row.unit_price_pence < 0 or kind_of(sku) is CodeKind.FEE:
            self._booked_pence += row.amount_pence
        elif row.quantity < 0:
            self._correct(row, sku)
        elif row.customer_id or row.unit_price_pence or not is_note(row.description):
            self._sell(row, sku)
        else:
            self._maybe_found.append(row)

    def figures(self, opening: Mapping[str, int]) -> Figures:
        """The figures of the rows taken, with `opening` units on hand per SKU. To be asked once."""
        for row in self._maybe_found:
            sku = canonical_sku(row.stock_code)
            if row.invoice_no in self._orders:
                self._sell(row, sku)
            else:
                self._correct(row, sku)
        credited = sum(r.amount_pence for r in self._maybe_credit if r.invoice_no in self._returns)
        refunded = sum(r.amount_pence for r in self._maybe_credit)
        for invoice_no in self._orders:
            self._count(invoice_no, sale_orders=1)
        for invoice_no in self._returns:
            self._count(invoice_no, returns=1)
        on_hand = Counter(opening)
        on_hand.update(self._moved)
        return Figures(
            total=self._period(None),
            months={month: self._period(month) for month in sorted(set(self._month_of.values()))},
            on_hand=dict(sorted(on_hand.items())),
            units_on_hand=on_hand.total(),
            credited_pence=credited,
            booked_pence=self._booked_pence + refunded - credited,
        )

    def _sell(self, row: Row, sku: str) -> None:
        self._orders.add(row.invoice_no)
        goods = row.quantity if is_goods(sku) else 0
        self._count(
            row.invoice_no,
            sale_lines=1,
            units_sold=row.quantity,
            goods_sold=goods,
            revenue_pence=row.amount_pence,
        )
        if goods:
            self._moved[sku] -= goods

    def _take_back(self, row: Row, sku: str) -> None:
        if not is_goods(sku) or row.unit_price_pence < 0:
            self._maybe_credit.append(row)
            return
        self._returns.add(row.invoice_no)
        self._moved[sku] -= row.quantity
        self._count(
            row.invoice_no,
            return_lines=1,
            units_returned=-row.quantity,
            returned_pence=-row.amount_pence,
        )

    def _correct(self, row: Row, sku: str) -> None:
        self._booked_pence += row.amount_pence
        if not is_goods(sku):
            return
        self._moved[sku] += row.quantity
        self._count(
            row.invoice_no,
            adjustments=1,
            units_found=max(row.quantity, 0),
            units_written_off=max(-row.quantity, 0),
        )

    def _count(self, invoice_no: str, **units: int) -> None:
        month = self._month_of[invoice_no]
        for field, number in units.items():
            self._sums[month, field] += number

    def _period(self, month: str | None) -> Period:
        """The sums of one month, or of all."""
        values: Counter[str] = Counter()
        for (of_month, field), number in self._sums.items():
            if month is None or of_month == month:
                values[field] += number
        return Period(**values)


def figures_of(rows: Iterable[Row], opening: Mapping[str, int]) -> Figures:
    """The figures of all `rows`, given the units on hand per SKU before the first."""
    count = FiguresCount()
    for row in rows:
        count.add(row)
    return count.figures(opening)


def differences(expected: Figures, found: Figures) -> list[str]:
    """Each figure that isn't the same, in words; none when the two are equal."""
    wrong: list[str] = []
    _compare(wrong, "in all", expected.total, found.total)
    for month in sorted({*expected.months, *found.months}):
        _compare(
            wrong, month, expected.months.get(month, Period()), found.months.get(month, Period())
        )
    for sku in sorted({*expected.on_hand, *found.on_hand}):
        _differ(wrong, f"on hand of {sku}", expected.on_hand.get(sku), found.on_hand.get(sku))
    for field in ("units_on_hand", "credited_pence", "booked_pence"):
        _differ(wrong, field, getattr(expected, field), getattr(found, field))
    return wrong


def _compare(wrong: list[str], when: str, expected: Period, found: Period) -> None:
    for field in Period.__struct_fields__:
        _differ(wrong, f"{field} {when}", getattr(expected, field), getattr(found, field))


def _differ(wrong: list[str], what: str, expected: int | None, found: int | None) -> None:
    if expected != found:
        wrong.append(f"{what}: {found}, expected {expected}")
