"""Shipping, delivering and taking back what was sold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from storekeeper.domain import events
from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.errors import Invalid, NotFound, TooMany
from storekeeper.domain.ordering import Step, event, moved, moved_to, replace_line, require_state
from storekeeper.domain.orders import (
    Allocation,
    LineQuantity,
    Order,
    OrderLine,
    Return,
    Shipment,
    state_of,
)
from storekeeper.domain.stock import MAIN, Movement, Reason
from storekeeper.domain.types import LocationId, ProductId

SHIPPABLE = ("confirmed", "partially_shipped")
RETURNABLE = ("partially_shipped", "shipped", "delivered", "partially_returned")


def ship(
    order: Order,
    lines: Sequence[LineQuantity] | None,
    location_id: LocationId | None,
    step: Step,
    *,
    carrier: str = "",
    tracking_number: str = "",
) -> tuple[Order, ChangeSet]:
    """Sends units, as one shipment from each location that they leave.

    `lines` None means all that is left, at `location_id` if that is given; `location_id` None
    means from where the units are allocated. Units that are sent from elsewhere than where they
    were allocated are moved in the ledger: they go back on hand there and come off hand here, and
    the guard refuses where they aren't. Raises `TooMany` for more units than are left to ship.
    """
    require_state(order, "shipped", *SHIPPABLE)
    shipments = list(order.shipments)
    new_lines = {line.id: line for line in order.lines}
    movements: list[Movement] = []
    for place, units in _parcels(order, lines, location_id, step).items():
        shipments.append(
            Shipment(
                id=step.new_id(),
                location_id=place,
                lines=_quantities(units),
                shipped_at=step.now,
                carrier=carrier,
                tracking_number=tracking_number,
            )
        )
        movements.extend(_send(order, new_lines, units, place, step))
    shipped = moved(
        order,
        step,
        "shipped",
        " ".join(part for part in (carrier, tracking_number) if part),
        lines=tuple(new_lines.values()),
        shipments=tuple(shipments),
    )
    shipped = _settled(shipped)
    return shipped, ChangeSet(
        puts=(Put(shipped),),
        movements=tuple(movements),
        events=tuple(
            event(
                shipped,
                events.ORDER_SHIPPED,
                step,
                shipment_id=shipment.id,
                carrier=carrier,
                tracking_number=tracking_number,
            )
            for shipment in shipments[len(order.shipments) :]
        ),
    )


def deliver(order: Order, shipment_id: str | None, step: Step) -> tuple[Order, ChangeSet]:
    """Marks one shipment, or all of them, as delivered."""
    require_state(order, "delivered", "partially_shipped", "shipped", "partially_returned")
    known = {shipment.id for shipment in order.shipments}
    if shipment_id is not None and shipment_id not in known:
        raise NotFound(f"the order has no shipment {shipment_id}", field="shipment_id")
    shipments = tuple(
        _delivered(shipment, step)
        if shipment.delivered_at is None and shipment_id in (None, shipment.id)
        else shipment
        for shipment in order.shipments
    )
    if shipments == order.shipments:
        return order, ChangeSet()
    delivered = _settled(moved(order, step, "delivered", shipments=shipments))
    return delivered, ChangeSet(
        puts=(Put(delivered),), events=(event(delivered, events.ORDER_DELIVERED, step),)
    )


def take_back(
    order: Order,
    lines: Sequence[LineQuantity] | None,
    location_id: LocationId,
    step: Step,
    *,
    restock: bool,
    reason: str = "",
) -> tuple[Order, ChangeSet]:
    """Takes shipped units back; `lines` None means all that are out.

    `restock` puts them on hand again; otherwise they are scrapped, which the ledger shows as
    units that came in and went out. Raises `TooMany` for more units than were shipped.
    """
    require_state(order, "returned", *RETURNABLE)
    if restock and step.restock_to(location_id) != location_id:
        raise Invalid(f"{location_id} takes no stock any more", field="location_id")
    units = _units(order, lines, lambda line: line.returnable, "out to be returned")
    record = Return(
        id=step.new_id(),
        location_id=location_id,
        lines=_quantities(units),
        restock=restock,
        at=step.now,
        reason=reason,
    )
    returned = moved(
        order,
        step,
        "returned",
        reason,
        lines=tuple(
            replace_line(line, returned=line.returned + units.get(line.id, 0))
            for line in order.lines
        ),
        returns=(*order.returns, record),
    )
    returned = _settled(returned)
    return returned, ChangeSet(
        puts=(Put(returned),),
        movements=tuple(_returning(order, units, location_id, restock, step)),
        events=(
            event(returned, events.ORDER_RETURNED, step, return_id=record.id, restock=restock),
        ),
    )


def _settled(order: Order) -> Order:
    return moved_to(order, state_of(order))


def _delivered(shipment: Shipment, step: Step) -> Shipment:
    fields = {name: getattr(shipment, name) for name in Shipment.__struct_fields__}
    return Shipment(**{**fields, "delivered_at": step.now})


def _quantities(units: dict[int, int]) -> tuple[LineQuantity, ...]:
    return tuple(LineQuantity(line_id=id, quantity=count) for id, count in units.items())


def _units(
    order: Order,
    lines: Sequence[LineQuantity] | None,
    limit: Callable[[OrderLine], int],
    what: str,
) -> dict[int, int]:
    """Units per line id, checked against what each line allows."""
    allowed = {line.id: limit(line) for line in order.lines}
    if lines is None:
        units = {id: count for id, count in allowed.items() if count}
    else:
        units = {}
        for number, wanted in enumerate(lines):
            if wanted.line_id not in allowed:
                raise Invalid(
                    f"the order has no line {wanted.line_id}", field=f"lines[{number}].line_id"
                )
            units[wanted.line_id] = units.get(wanted.line_id, 0) + wanted.quantity
            if units[wanted.line_id] > allowed[wanted.line_id]:
                raise TooMany(
                    f"line {wanted.line_id} has {allowed[wanted.line_id]} units {what}, "
                    f"not {units[wanted.line_id]}",
                    field=f"lines[{number}].quantity",
                )
    if not units:
        raise TooMany(f"there are no units {what}", field="lines")
    return units


def _parcels(
    order: Order, lines: Sequence[LineQuantity] | None, location_id: LocationId | None, step: Step
) -> dict[LocationId, dict[int, int]]:
    """Units per line id, by the location that sends them.

    What a closed location promised leaves from where its units go now. Units without stock are
    nowhere; they go along with the first parcel.
    """
    units = _units(order, lines, lambda line: line.unshipped, "left to ship")
    if lines is not None and location_id is not None:
        return {location_id: units}
    parcels: dict[LocationId, dict[int, int]] = {}
    loose: dict[int, int] = {}
    for line in order.lines:
        need = units.get(line.id, 0)
        if not line.tracked:
            loose |= {line.id: need} if need else {}
            continue
        for origin, waiting in unshipped_at(line).items():
            places = (origin, step.restock_to(origin))
            count = min(need, waiting)
            if count and location_id in (None, *places):
                parcel = parcels.setdefault(location_id or places[1], {})
                parcel[line.id] = parcel.get(line.id, 0) + count
                need -= count
    if not parcels and len(loose) < len(units):
        raise TooMany(
            f"nothing that is left to ship is allocated at {location_id}; leave location_id out to "
            "ship from where it is, or name lines to ship them from there all the same",
            field="location_id",
        )
    if not parcels:
        return {location_id or step.restock_to(MAIN): loose}
    next(iter(parcels.values())).update(loose)
    return parcels


def unshipped_at(line: OrderLine) -> dict[LocationId, int]:
    """Units of a line that haven't left, by the location that they are allocated at.

    Allocations keep the order shipped first, unshipped after, so that units gone can be counted
    off from the front.
    """
    gone = line.fulfilled + line.cancelled
    waiting: dict[LocationId, int] = {}
    for allocation in line.allocations:
        used = min(gone, allocation.quantity)
        gone -= used
        if allocation.quantity > used:
            place = allocation.location_id
            waiting[place] = waiting.get(place, 0) + allocation.quantity - used
    return waiting


def _send(
    order: Order,
    lines: dict[int, OrderLine],
    units: dict[int, int],
    location_id: LocationId,
    step: Step,
) -> Iterator[Movement]:
    """Notes in `lines` that units left from a location; answers the ledger's lines about it."""
    sent: dict[ProductId, int] = {}
    elsewhere: dict[tuple[ProductId, LocationId], int] = {}
    for id, count in units.items():
        line = lines[id]
        allocations = line.allocations
        if line.tracked:
            sent[line.product_id] = sent.get(line.product_id, 0) + count
            allocations, taken = _ship_from(line, count, location_id, step)
            for origin, moved_units in taken.items():
                place = step.restock_to(origin)
                if place == location_id:
                    continue  # what came back from a closed location has come back here
                key = (line.product_id, place)
                elsewhere[key] = elsewhere.get(key, 0) + moved_units
        lines[id] = replace_line(line, fulfilled=line.fulfilled + count, allocations=allocations)
    return _shipping(order, sent, elsewhere, location_id, step)


def _ship_from(
    line: OrderLine, count: int, location_id: LocationId, step: Step
) -> tuple[tuple[Allocation, ...], dict[LocationId, int]]:
    """The line's allocations with `count` more units shipped from `location_id`, those that wait
    there first. The second answer: units taken over from other locations."""
    gone = line.fulfilled + line.cancelled
    shipped: list[Allocation] = []
    for allocation in line.allocations:
        used = min(gone, allocation.quantity)
        gone -= used
        if used:
            shipped.append(Allocation(location_id=allocation.location_id, quantity=used))
    waiting = unshipped_at(line)
    need = count
    taken: dict[LocationId, int] = {}
    for place in sorted(
        waiting,
        key=lambda place: (place != location_id, step.restock_to(place) != location_id),
    ):
        units = min(need, waiting[place])
        waiting[place] -= units
        need -= units
        if units and place != location_id:
            taken[place] = units
    shipped.append(Allocation(location_id=location_id, quantity=count))
    rest = [Allocation(location_id=place, quantity=n) for place, n in waiting.items() if n]
    return (*shipped, *rest), taken


def _shipping(
    order: Order,
    sent: dict[ProductId, int],
    elsewhere: dict[tuple[ProductId, LocationId], int],
    location_id: LocationId,
    step: Step,
) -> Iterator[Movement]:
    def movement(
        product: ProductId, place: LocationId, units: int, reason: Reason, note: str = ""
    ) -> Movement:
        return Movement(
            id=step.new_id(),
            product_id=product,
            location_id=place,
            on_hand=units,
            reserved=0,
            reason=reason,
            at=step.now,
            by=step.by,
            reference=order.reference,
            note=note,
        )

    for (product, origin), units in elsewhere.items():
        yield movement(product, origin, units, "reallocated", f"shipped from {location_id}")
        yield movement(product, location_id, -units, "reallocated", f"allocated at {origin}")
    for product, units in sent.items():
        # Confirming took the units off hand already; this line records that they left.
        yield movement(product, location_id, 0, "shipped", f"{units} units left")


def _returning(
    order: Order, units: dict[int, int], location_id: LocationId, restock: bool, step: Step
) -> Iterator[Movement]:
    back: dict[ProductId, int] = {}
    for line in order.lines:
        if line.tracked and units.get(line.id):
            back[line.product_id] = back.get(line.product_id, 0) + units[line.id]
    for product, count in back.items():
        reasons: tuple[tuple[Reason, int], ...] = (("returned", count),)
        if not restock:
            reasons = (("returned", count), ("scrapped", -count))
        for reason, change in reasons:
            yield Movement(
                id=step.new_id(),
                product_id=product,
                location_id=location_id,
                on_hand=change,
                reserved=0,
                reason=reason,
                at=step.now,
                by=step.by,
                reference=order.reference,
            )
