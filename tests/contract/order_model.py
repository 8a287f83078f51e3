"""What a shop with orders must do, as plainly as it can be said: dictionaries and additions.

It predicts what is refused and what every level becomes. Which location serves a line is the
shop's own choice; the model only checks that the choice could be made.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from storekeeper.domain.orders import Order

Key = tuple[str, str]


@dataclass
class ModelProduct:
    tracked: bool = True
    backorder: bool = False
    threshold: int | None = None


@dataclass
class ModelLine:
    """`open`: units by location that are promised or taken, and not yet shipped."""

    product: str
    quantity: int
    open: Counter[str]
    shipped: int = 0
    returned: int = 0
    cancelled: int = 0

    @property
    def unshipped(self) -> int:
        return self.quantity - self.shipped - self.cancelled


@dataclass
class ModelOrder:
    state: str
    lines: dict[int, ModelLine]
    expires_at: float
    all_delivered: bool = True


@dataclass
class Model:
    products: dict[str, ModelProduct]
    locations: tuple[str, ...]
    on_hand: Counter[Key] = field(default_factory=Counter)
    reserved: Counter[Key] = field(default_factory=Counter)
    orders: dict[str, ModelOrder] = field(default_factory=dict)
    alerts: Counter[str] = field(default_factory=Counter)
    low: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.low = {id for id in self.products if self._is_low(id)}

    def available(self, product: str, location: str) -> int:
        return self.on_hand[product, location] - self.reserved[product, location]

    def can_place(self, wanted: Counter[str]) -> bool:
        """All lines or none: every product has enough over all locations together."""
        return all(
            not self.products[id].tracked
            or self.products[id].backorder
            or sum(max(0, self.available(id, place)) for place in self.locations) >= units
            for id, units in wanted.items()
        )

    def can_move(self, product: str, location: str, units: int) -> bool:
        return self.products[product].backorder or self.available(product, location) + units >= 0

    def receive(self, product: str, location: str, units: int) -> None:
        self.on_hand[product, location] += units
        self._note_low()

    def place(self, order: Order, *, confirm: bool, expires_at: float) -> None:
        lines = {
            line.id: ModelLine(
                line.product_id,
                line.quantity,
                Counter({place.location_id: place.quantity for place in line.allocations}),
            )
            for line in order.lines
        }
        for line in lines.values():
            tracked = self.products[line.product].tracked
            assert line.open.total() == (line.quantity if tracked else 0)
        stock = self.on_hand if confirm else self.reserved
        for key, units in _open(lines).items():
            assert self.can_move(*key, -units), "a location was given more than it had"
            stock[key] += -units if confirm else units
        self.orders[order.id] = ModelOrder("confirmed" if confirm else "pending", lines, expires_at)
        self._note_low()

    def confirm(self, id: str) -> None:
        order = self.orders[id]
        for key, units in _open(order.lines).items():
            self.on_hand[key] -= units
            self.reserved[key] -= units
        order.state = "confirmed"
        self._note_low()

    def release(self, id: str, state: str) -> None:
        """What ends a pending order gives its units back."""
        order = self.orders[id]
        for key, units in _open(order.lines).items():
            self.reserved[key] -= units
        order.state = state
        self._note_low()

    def cancel(self, id: str) -> None:
        order = self.orders[id]
        if order.state == "pending":
            self.release(id, "cancelled")
        else:
            self.on_hand.update(_open(order.lines))
        for line in order.lines.values():
            line.cancelled = line.quantity - line.shipped
            line.open.clear()
        if order.state != "cancelled":
            self._settle(order)
        self._note_low()

    def relocations(self, id: str, location: str, units: dict[int, int]) -> Counter[str]:
        """Units by product that a shipment takes over from the other location."""
        found: Counter[str] = Counter()
        for line_id, count in units.items():
            line = self.orders[id].lines[line_id]
            if self.products[line.product].tracked:
                found[line.product] += max(0, count - line.open[location])
        return +found

    def parcels(
        self, id: str, units: dict[int, int], at: str | None = None
    ) -> dict[str, dict[int, int]]:
        """Which location sends which units, if nobody says: those that they are open at, or of
        these only the ones at `at`. What has no stock goes along with the first parcel."""
        found: dict[str, dict[int, int]] = {}
        loose: dict[int, int] = {}
        for line_id, count in units.items():
            line = self.orders[id].lines[line_id]
            if not self.products[line.product].tracked:
                loose |= {line_id: count} if count else {}
                continue
            for place, waiting in line.open.items():
                part = min(count, waiting)
                if part and at in (None, place):
                    found.setdefault(place, {})[line_id] = part
                    count -= part
        if found:
            next(iter(found.values())).update(loose)
        elif loose and len(loose) == sum(1 for count in units.values() if count):
            found[at or "main"] = loose
        return found

    def ship(self, id: str, location: str, units: dict[int, int]) -> None:
        (other,) = (place for place in self.locations if place != location)
        for product, count in self.relocations(id, location, units).items():
            self.on_hand[product, other] += count
            self.on_hand[product, location] -= count
        order = self.orders[id]
        for line_id, count in units.items():
            line = order.lines[line_id]
            line.shipped += count
            if self.products[line.product].tracked:
                here = min(count, line.open[location])
                line.open[location] -= here
                line.open[other] -= count - here
        order.all_delivered = False
        self._settle(order)
        self._note_low()

    def deliver(self, id: str) -> None:
        self.orders[id].all_delivered = True
        self._settle(self.orders[id])

    def take_back(self, id: str, location: str, units: dict[int, int], *, restock: bool) -> None:
        order = self.orders[id]
        for line_id, count in units.items():
            line = order.lines[line_id]
            line.returned += count
            if restock and self.products[line.product].tracked:
                self.on_hand[line.product, location] += count
        self._settle(order)
        self._note_low()

    def _settle(self, order: ModelOrder) -> None:
        lines = order.lines.values()
        shipped = sum(line.shipped for line in lines)
        returned = sum(line.returned for line in lines)
        if not shipped:
            order.state = "cancelled"
        elif any(line.unshipped for line in lines):
            order.state = "partially_shipped"
        elif returned:
            order.state = "returned" if returned == shipped else "partially_returned"
        else:
            order.state = "delivered" if order.all_delivered else "shipped"

    def _is_low(self, product: str) -> bool:
        threshold = self.products[product].threshold
        return (
            threshold is not None
            and sum(self.available(product, place) for place in self.locations) <= threshold
        )

    def _note_low(self) -> None:
        for id in self.products:
            is_low = self._is_low(id)
            if is_low and id not in self.low:
                self.alerts[id] += 1
            (self.low.add if is_low else self.low.discard)(id)


def _open(lines: dict[int, ModelLine]) -> Counter[Key]:
    found: Counter[Key] = Counter()
    for line in lines.values():
        for place, units in line.open.items():
            found[line.product, place] += units
    return found
