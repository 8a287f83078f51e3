"""Derives the shop's products from its invoice lines: one per stock code; it invents nothing.

Name: the latest description on a line with a price; for a code that never had a price, the latest
that isn't a note (see `codes.is_note`); failing both, the SKU itself. Price: the latest positive
price at which it was sold; failing that, the latest at which it was taken back; else unknown.
Latest means last in the file, which is in order of time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from storekeeper.domain.types import Struct
from storekeeper.replay.codes import CodeKind, canonical_sku, is_note, kind_of
from storekeeper.replay.source import Row


class CatalogueProduct(Struct, frozen=True, kw_only=True):
    """A product as the file tells it; `price_pence` is None where no line had a price."""

    sku: str
    name: str
    price_pence: int | None
    kind: CodeKind

    @property
    def tracks_stock(self) -> bool:
        return self.kind is CodeKind.GOODS


@dataclass(slots=True)
class _Seen:
    """What is known of one code so far; empty and 0 mean not seen."""

    name: str = ""
    name_without_price: str = ""
    sold_at: int = 0
    taken_back_at: int = 0


class CatalogueBuilder:
    """Takes every row once, in order, and holds one small record per stock code."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def add(self, row: Row) -> None:
        seen = self._seen.setdefault(canonical_sku(row.stock_code), _Seen())
        name = " ".join(row.description.split())
        if row.unit_price_pence > 0:
            seen.name = name or seen.name
            if row.quantity > 0:
                seen.sold_at = row.unit_price_pence
            else:
                seen.taken_back_at = row.unit_price_pence
        elif not is_note(name):
            seen.name_without_price = name

    def products(self) -> list[CatalogueProduct]:
        """The products, by SKU."""
        return [
            CatalogueProduct(
                sku=sku,
                name=seen.name or seen.name_without_price or sku,
                price_pence=seen.sold_at or seen.taken_back_at or None,
                kind=kind_of(sku),
            )
            for sku, seen in sorted(self._seen.items())
        ]


def catalogue_of(rows: Iterable[Row]) -> list[CatalogueProduct]:
    """The products of all `rows`, by SKU."""
    builder = CatalogueBuilder()
    for row in rows:
        builder.add(row)
    return builder.products()
