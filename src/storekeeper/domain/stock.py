"""Stock: levels per product and location, and the ledger of movements that makes them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from storekeeper.domain.errors import Invalid
from storekeeper.domain.types import LocationId, ProductId, ShortText, Struct

MAIN = LocationId("main")

# What staff may give as the reason of an adjustment.
AdjustReason = Literal["damaged", "lost", "found", "stolen", "expired", "sample", "correction"]
Reason = Literal[
    AdjustReason,
    "received",
    "counted",
    "transferred_out",
    "transferred_in",
    "imported",
    "reserved",
    "released",
    "sold",
    "restocked",
    "shipped",
    "reallocated",
    "returned",
    "scrapped",
]


class Location(Struct, frozen=True, kw_only=True):
    """A place that holds stock. Orders are allocated to locations by `priority`, lowest first."""

    id: LocationId
    version: int
    name: ShortText
    priority: int = 0
    active: bool = True


class Level(Struct, frozen=True, kw_only=True):
    """Units of one product at one location. `available` is what a customer can still order."""

    product_id: ProductId
    location_id: LocationId
    on_hand: int
    reserved: int

    @property
    def available(self) -> int:
        return self.on_hand - self.reserved


class StockTotal(Struct, frozen=True, kw_only=True):
    """Units of one product over all locations, with the rule that guards them."""

    product_id: ProductId
    on_hand: int
    reserved: int
    threshold: int | None
    is_low: bool
    allow_backorder: bool

    @property
    def available(self) -> int:
        return self.on_hand - self.reserved


class Movement(Struct, frozen=True, kw_only=True):
    """One line of the ledger: the change of on hand and of reserved that it stands for.

    Applying it is the only way in which stock changes, so a level is the sum of its movements.
    `reference` is what caused it (`order:ID`, `import:ID`, a delivery note's number).
    """

    id: str
    product_id: ProductId
    location_id: LocationId
    on_hand: int
    reserved: int
    reason: Reason
    at: datetime
    by: str
    reference: str = ""
    note: str = ""


class Shortage(Struct, frozen=True, kw_only=True):
    """How much of a product was asked for at a location, and how much there is."""

    product_id: ProductId
    location_id: LocationId
    requested: int
    available: int


def is_low(available: int, threshold: int | None) -> bool:
    """At or below the reorder point."""
    return threshold is not None and available <= threshold


def require_change(quantity: int, field: str = "quantity") -> None:
    if quantity == 0:
        raise Invalid("a movement of no units changes nothing", field=field)
