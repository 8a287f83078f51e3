"""An order and its life: every transition is a pure function that answers with a change set.

    place -> pending -> confirmed -> partially_shipped -> shipped -> delivered
    pending -> cancelled | expired; confirmed -> cancelled; shipped units -> returned, line by line

Stock: placing reserves, confirming takes reserved units off hand, cancelling and returning put
them back. The lines of one product at one location are one claim on its stock.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeVar

import msgspec

from storekeeper.domain.money import Money
from storekeeper.domain.types import (
    ONE_LINE,
    AccountId,
    LocationId,
    OrderId,
    ProductId,
    Quantity,
    Struct,
)

OrderState = Literal[
    "pending",
    "confirmed",
    "partially_shipped",
    "shipped",
    "delivered",
    "partially_returned",
    "returned",
    "cancelled",
    "expired",
]
# States in which units are reserved, or taken off hand and not yet all gone.
OPEN_STATES: tuple[OrderState, ...] = ("pending", "confirmed", "partially_shipped")

_ONE_LINE = r"^[^\x00-\x1f\x7f]*$(?!\n)"
Line = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=_ONE_LINE, extra=ONE_LINE)]
CountryCode = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Z]{2}$(?!\n)",
        examples=["GB"],
        extra={"form": "a country's code of two capital letters, such as GB"},
    ),
]
T = TypeVar("T")


class Address(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where an order goes. `country` is an ISO 3166-1 alpha-2 code that is assigned, or XK."""

    name: Line
    line1: Line
    city: Line
    country: CountryCode
    line2: Annotated[str, msgspec.Meta(max_length=200, pattern=_ONE_LINE, extra=ONE_LINE)] = ""
    region: Annotated[str, msgspec.Meta(max_length=200, pattern=_ONE_LINE, extra=ONE_LINE)] = ""
    postal_code: Annotated[str, msgspec.Meta(max_length=20, pattern=_ONE_LINE, extra=ONE_LINE)] = ""
    phone: Annotated[str, msgspec.Meta(max_length=40, pattern=_ONE_LINE, extra=ONE_LINE)] = ""


class Allocation(Struct, frozen=True, kw_only=True):
    """Units of a line that a location provides."""

    location_id: LocationId
    quantity: int


class OrderLine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was ordered, as it was when placed, and what became of it, in units.

    `fulfilled` units were shipped; `cancelled` ones never will be; `returned` ones came back.
    """

    id: int
    product_id: ProductId
    sku: str
    name: str
    unit_price: Money
    quantity: int
    tracked: bool = True
    allocations: tuple[Allocation, ...] = ()
    fulfilled: int = 0
    cancelled: int = 0
    returned: int = 0

    @property
    def total(self) -> Money:
        return self.unit_price * self.quantity

    @property
    def unshipped(self) -> int:
        return self.quantity - self.fulfilled - self.cancelled

    @property
    def returnable(self) -> int:
        return self.fulfilled - self.returned


class LineQuantity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A number of units of one order line, named by the line's `id`."""

    line_id: Annotated[int, msgspec.Meta(ge=1)]
    quantity: Quantity


class Shipment(Struct, frozen=True, kw_only=True):
    """Units that left from a location together."""

    id: str
    location_id: LocationId
    lines: tuple[LineQuantity, ...]
    shipped_at: datetime
    carrier: str = ""
    tracking_number: str = ""
    delivered_at: datetime | None = None


class Return(Struct, frozen=True, kw_only=True):
    """Units that came back together; `restock` puts them on hand at the location again."""

    id: str
    location_id: LocationId
    lines: tuple[LineQuantity, ...]
    restock: bool
    at: datetime
    reason: str = ""


class Transition(Struct, frozen=True, kw_only=True):
    """One entry of the timeline: what happened to the order, when, by whom."""

    at: datetime
    kind: str
    by: str
    detail: str = ""


class Order(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An order. `number` is for people, `id` for programs.

    `fingerprint` is the hash of the request that placed it: a retry must match it.
    `customer_id` is None for a guest, whose `email` and secret link are all there is.
    """

    id: OrderId
    version: int
    number: str
    state: OrderState
    currency: str
    lines: tuple[OrderLine, ...]
    total: Money
    placed_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    customer_id: AccountId | None = None
    email: str = ""
    shipping_address: Address | None = None
    note: str = ""
    fingerprint: str = ""
    confirmed_at: datetime | None = None
    shipments: tuple[Shipment, ...] = ()
    returns: tuple[Return, ...] = ()
    timeline: tuple[Transition, ...] = ()

    @property
    def units(self) -> int:
        return sum(line.quantity for line in self.lines)

    @property
    def reference(self) -> str:
        """How movements, events and logs name this order."""
        return f"order:{self.id}"


def state_of(order: Order) -> OrderState:
    """The state that the lines and shipments of a confirmed order amount to."""
    unshipped = sum(line.unshipped for line in order.lines)
    shipped = sum(line.fulfilled for line in order.lines)
    returned = sum(line.returned for line in order.lines)
    if shipped == 0:
        return "confirmed" if unshipped else "cancelled"
    if unshipped:
        return "partially_shipped"
    if returned:
        return "returned" if returned == shipped else "partially_returned"
    if all(shipment.delivered_at for shipment in order.shipments):
        return "delivered"
    return "shipped"


def claims_on_stock(order: Order) -> dict[tuple[ProductId, LocationId], int]:
    """Units per product and location that the order's tracked lines are allocated."""
    claims: dict[tuple[ProductId, LocationId], int] = {}
    for line in order.lines:
        if line.tracked:
            for allocation in line.allocations:
                key = (line.product_id, allocation.location_id)
                claims[key] = claims.get(key, 0) + allocation.quantity
    return claims


def reserved_by(order: Order) -> dict[tuple[ProductId, LocationId], int]:
    """Units that the order keeps reserved: all of its claims while pending, none after."""
    return claims_on_stock(order) if order.state == "pending" else {}
