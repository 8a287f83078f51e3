"""Holds the file's figures beside what the shop says after a replay; pure."""

from __future__ import annotations

from collections.abc import Mapping

from storekeeper.domain.types import Struct
from storekeeper.replay.figures import Figures


class ShopFigures(Struct, frozen=True, kw_only=True):
    """What the shop itself says it came to; money in pence, `on_hand` by SKU of what is tracked."""

    orders: int
    units: int
    revenue: int
    returned_units: int
    on_hand: Mapping[str, int]


class Comparison(Struct, frozen=True, kw_only=True):
    """One figure as the file has it and as the shop (or the played happenings) has it."""

    figure: str
    expected: int
    found: int
    source: str
    unit: str = ""

    @property
    def is_equal(self) -> bool:
        return self.expected == self.found


def compare(figures: Figures, shop: ShopFigures, played: Mapping[str, int]) -> list[Comparison]:
    """The file's figures beside the shop's, and beside the played happenings' where a shop keeps
    no such figure. SKUs whose units on hand differ follow, each on its own."""
    total = figures.total
    matched = played.get("units_returned", 0) - played.get("units_without_order", 0)
    rows = [
        _row("orders", total.sale_orders, shop.orders),
        _row("units sold", total.units_sold, shop.units),
        _row("revenue", total.revenue_pence, shop.revenue, unit="pence"),
        _row("units returned to an order", matched, shop.returned_units),
        _row("units on hand", figures.units_on_hand, sum(shop.on_hand.values())),
    ]
    for field, name, unit in _PLAYED_ONLY:
        expected = getattr(total, field, None)
        if expected is None:
            expected = getattr(figures, field)
        rows.append(_row(name, expected, played.get(field, 0), source="played", unit=unit))
    skus = sorted({*figures.on_hand, *shop.on_hand})
    wrong = [
        _row(f"units on hand of {sku}", figures.on_hand.get(sku, 0), shop.on_hand.get(sku, 0))
        for sku in skus
        if figures.on_hand.get(sku, 0) != shop.on_hand.get(sku, 0)
    ]
    rows.append(_row("SKUs with other units on hand", 0, len(wrong)))
    return rows + wrong


_PLAYED_ONLY = (
    ("sale_lines", "order lines", ""),
    ("returns", "returns", ""),
    ("units_returned", "units returned", ""),
    ("returned_pence", "value returned", "pence"),
    ("adjustments", "stock corrections", ""),
    ("units_found", "units found", ""),
    ("units_written_off", "units written off", ""),
    ("credited_pence", "credited with returns", "pence"),
    ("booked_pence", "booked without goods", "pence"),
)


def _row(
    figure: str, expected: int, found: int, *, source: str = "shop", unit: str = ""
) -> Comparison:
    return Comparison(figure=figure, expected=expected, found=found, source=source, unit=unit)
