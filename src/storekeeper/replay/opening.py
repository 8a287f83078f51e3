"""Derives the stock that the shop must have had at the start, as the file has no stock levels."""

from __future__ import annotations

from collections.abc import Iterable

from storekeeper.replay.happenings import Happening, stock_changes


class OpeningStock:
    """Takes every happening once, in order, and holds two numbers per SKU."""

    def __init__(self) -> None:
        self._on_hand: dict[str, int] = {}
        self._lowest: dict[str, int] = {}

    def add(self, happening: Happening) -> None:
        for sku, change in stock_changes(happening):
            on_hand = self._on_hand.get(sku, 0) + change
            self._on_hand[sku] = on_hand
            self._lowest[sku] = min(self._lowest.get(sku, 0), on_hand)

    def units(self) -> dict[str, int]:
        """Per SKU of goods, the least opening quantity with which on hand never falls below 0."""
        return {sku: -lowest for sku, lowest in sorted(self._lowest.items())}


def opening_stock(happenings: Iterable[Happening]) -> dict[str, int]:
    """The opening quantities for all `happenings`, by SKU; SKUs that never moved aren't in it."""
    opening = OpeningStock()
    for happening in happenings:
        opening.add(happening)
    return opening.units()
