"""Placing an order, and the transitions that end or confirm it before anything is shipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

import msgspec

from storekeeper.domain import events
from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import ChangeSet, Check, Put
from storekeeper.domain.errors import Invalid, OrderExpired, OrderState, TotalChanged
from storekeeper.domain.events import Event
from storekeeper.domain.money import Money
from storekeeper.domain.orders import (
    Address,
    Allocation,
    Order,
    OrderLine,
    Transition,
    claims_on_stock,
    state_of,
)
from storekeeper.domain.orders import (
    OrderState as State,
)
from storekeeper.domain.stock import Movement, Reason
from storekeeper.domain.types import MAX_AMOUNT, AccountId, LocationId, OrderId, ProductId, Struct

NewId = Callable[[], str]
Allocations = Mapping[int, tuple[Allocation, ...]]
# Transitions whose detail is a reason that somebody typed.
WITH_REASON = ("cancelled", "returned")


def _same_place(location_id: LocationId) -> LocationId:
    return location_id


class Step(Struct, frozen=True, kw_only=True):
    """What a transition needs from outside: the time, who does it, and fresh ids.

    `restock_to` says where units that come back to a location go: a closed one takes none.
    """

    now: datetime
    by: str
    new_id: NewId
    restock_to: Callable[[LocationId], LocationId] = _same_place


class WantedLine(Struct, frozen=True, kw_only=True):
    """A line as it was asked for. `unit_price` is set only where staff agreed on a price."""

    product: Product
    quantity: int
    unit_price: Money | None = None


class Placing(Struct, frozen=True, kw_only=True):
    """Everything that placing an order needs to know."""

    id: OrderId
    number: str
    lines: Sequence[WantedLine]
    expires_at: datetime
    confirm: bool = False
    customer_id: AccountId | None = None
    email: str = ""
    shipping_address: Address | None = None
    note: str = ""
    expected_total: Money | None = None
    fingerprint: str = ""


def place(
    placing: Placing, allocate: Callable[[Sequence[WantedLine]], Allocations], step: Step
) -> tuple[Order, ChangeSet]:
    """The order and the change set that reserves its stock (or takes it, with `confirm`).

    Raises `Invalid` for lines of two currencies or a total past what money can hold,
    `TotalChanged` when the expected total isn't the one now.
    """
    if not placing.lines:
        raise Invalid("an order needs at least one line", field="lines")
    currency = _price(placing.lines[0]).currency
    allocations = allocate(placing.lines)
    lines = []
    amount = 0
    checks: dict[str, Check] = {}
    for number, wanted in enumerate(placing.lines, start=1):
        product = wanted.product
        price = product.price if wanted.unit_price is None else wanted.unit_price
        if price.currency != currency:
            raise Invalid(
                f"{product.sku} is priced in {price.currency}, the first line in {currency}; "
                "order them apart",
                field=f"lines[{number - 1}]",
            )
        is_tracked = product.track_stock
        lines.append(
            OrderLine(
                id=number,
                product_id=product.id,
                sku=product.sku,
                name=product.name,
                unit_price=price,
                quantity=wanted.quantity,
                tracked=is_tracked,
                allocations=allocations.get(number, ()) if is_tracked else (),
            )
        )
        amount += price.amount * wanted.quantity
        checks[product.id] = Check("Product", product.id, product.version)
    total = Money(amount=amount, currency=currency)
    if total.amount > MAX_AMOUNT * 1_000:
        raise Invalid("the order's total is larger than the shop can book", field="lines")
    if placing.expected_total is not None and placing.expected_total != total:
        raise TotalChanged(
            f"the total is {total}, not {placing.expected_total}; show it and ask again",
            field="expected_total",
            total=total,
        )
    placed = Transition(at=step.now, kind="placed", by=step.by)
    order = Order(
        id=placing.id,
        version=1,
        number=placing.number,
        state="confirmed" if placing.confirm else "pending",
        currency=currency,
        lines=tuple(lines),
        total=total,
        placed_at=step.now,
        updated_at=step.now,
        expires_at=None if placing.confirm else placing.expires_at,
        customer_id=placing.customer_id,
        email=placing.email,
        shipping_address=placing.shipping_address,
        note=placing.note,
        fingerprint=placing.fingerprint,
        confirmed_at=step.now if placing.confirm else None,
        timeline=(placed, Transition(at=step.now, kind="confirmed", by=step.by))
        if placing.confirm
        else (placed,),
    )
    told = event(order, events.ORDER_PLACED, step)
    change = ChangeSet(
        puts=(Put(order),),
        checks=tuple(checks.values()),
        movements=tuple(
            movements(order, step, reason="sold", on_hand=-1)
            if placing.confirm
            else movements(order, step, reason="reserved", reserved=1)
        ),
        events=(told, _also(told, events.ORDER_CONFIRMED, step)) if placing.confirm else (told,),
    )
    return order, change


def confirm(order: Order, step: Step) -> tuple[Order, ChangeSet]:
    """Takes the reserved units off hand.

    Raises `OrderExpired` when the reservation's time is over, `OrderState` otherwise.
    """
    if order.state == "expired" or (
        order.state == "pending" and order.expires_at is not None and order.expires_at <= step.now
    ):
        raise OrderExpired("the reservation ran out; place the order again", state="expired")
    require_state(order, "confirmed", "pending")
    confirmed = moved(
        order, step, "confirmed", state="confirmed", confirmed_at=step.now, expires_at=None
    )
    return confirmed, ChangeSet(
        puts=(Put(confirmed),),
        movements=tuple(movements(order, step, reason="sold", on_hand=-1, reserved=-1)),
        events=(event(confirmed, events.ORDER_CONFIRMED, step),),
    )


def cancel(order: Order, step: Step, reason: str = "") -> tuple[Order, ChangeSet]:
    """Gives the stock back. Units shipped already stay shipped; the rest is cancelled."""
    require_state(order, "cancelled", "pending", "confirmed", "partially_shipped")
    lines = tuple(
        replace_line(line, cancelled=line.quantity - line.fulfilled) for line in order.lines
    )
    cancelled = moved(order, step, "cancelled", reason, lines=lines, expires_at=None)
    cancelled = moved_to(cancelled, state_of(cancelled))
    if order.state == "pending":
        back = movements(order, step, reason="released", reserved=-1)
    else:
        back = _restock(order, step)
    return cancelled, ChangeSet(
        puts=(Put(cancelled),),
        movements=tuple(back),
        events=(event(cancelled, events.ORDER_CANCELLED, step),),
    )


def expire(order: Order, step: Step) -> tuple[Order, ChangeSet]:
    """Releases what a pending order reserved. Raises `OrderState` before its time is over."""
    require_state(order, "expired", "pending")
    if order.expires_at is None or order.expires_at > step.now:
        raise OrderState("the reservation still holds", state=order.state)
    expired = moved(order, step, "expired", state="expired", expires_at=None)
    return expired, ChangeSet(
        puts=(Put(expired),),
        movements=tuple(movements(order, step, reason="released", reserved=-1)),
        events=(event(expired, events.ORDER_EXPIRED, step),),
    )


def without_personal_data(order: Order, step: Step) -> Order:
    """The order's next version, with nothing left that says who it was for; the same version where
    nothing does."""
    bare = redacted(order)
    return order if bare == order else moved(bare, step, "personal_data_removed")


def redacted(order: Order) -> Order:
    """The same version of the order with nothing that says who it was for.

    The customer's id stays: it leads to an account that holds no personal data either. Reasons go
    also where staff wrote them down: they are what the customer said. What a shipment was sent
    with stays.
    """
    return msgspec.structs.replace(
        order,
        email="",
        shipping_address=None,
        note="",
        returns=tuple(msgspec.structs.replace(one, reason="") for one in order.returns),
        timeline=tuple(
            msgspec.structs.replace(one, detail="") if one.kind in WITH_REASON else one
            for one in order.timeline
        ),
    )


def require_state(order: Order, verb: str, *states: str) -> None:
    """Raises `OrderState` unless the order is in one of `states`."""
    if order.state not in states:
        raise OrderState(
            f"an order that is {order.state} can't be {verb}; it has to be {' or '.join(states)}",
            state=order.state,
        )


def moved(order: Order, step: Step, kind: str, detail: str = "", **changes: object) -> Order:
    """The next version of the order, with the transition on its timeline."""
    fields = {name: getattr(order, name) for name in Order.__struct_fields__}
    fields.update(changes)
    fields["version"] = order.version + 1
    fields["updated_at"] = step.now
    fields["timeline"] = (
        *order.timeline,
        Transition(at=step.now, kind=kind, by=step.by, detail=detail),
    )
    return Order(**fields)


def moved_to(order: Order, state: State) -> Order:
    """The same version of the order in another state."""
    return Order(
        **{name: getattr(order, name) for name in Order.__struct_fields__ if name != "state"},
        state=state,
    )


def replace_line(line: OrderLine, **changes: object) -> OrderLine:
    fields = {name: getattr(line, name) for name in OrderLine.__struct_fields__}
    fields.update(changes)
    return OrderLine(**fields)


def movements(
    order: Order, step: Step, *, reason: Reason, on_hand: int = 0, reserved: int = 0
) -> Iterator[Movement]:
    """One movement per product and location; `on_hand` and `reserved` are signs (-1, 0, 1)."""
    reference = order.reference
    for (product_id, location_id), quantity in claims_on_stock(order).items():
        yield Movement(
            id=step.new_id(),
            product_id=product_id,
            location_id=location_id,
            on_hand=on_hand * quantity,
            reserved=reserved * quantity,
            reason=reason,
            at=step.now,
            by=step.by,
            reference=reference,
        )


def event(order: Order, kind: str, step: Step, **more: object) -> Event:
    """What the outside is told of the order; no address and no e-mail."""
    return Event(
        id=step.new_id(),
        kind=kind,
        subject=order.reference,
        at=step.now,
        data={
            "order_id": order.id,
            "number": order.number,
            "state": order.state,
            "total": {"amount": order.total.amount, "currency": order.currency},
            "customer_id": order.customer_id,
            **more,
        },
    )


def _also(told: Event, kind: str, step: Step) -> Event:
    """Another event of the same moment, which says the same of the order."""
    return Event(id=step.new_id(), kind=kind, subject=told.subject, at=told.at, data=told.data)


def _restock(order: Order, step: Step) -> Iterator[Movement]:
    """Puts unshipped units of a confirmed order back where they were taken from, if it is open.

    Shipped units are counted off a line's allocations in their order.
    """
    back: dict[tuple[ProductId, LocationId], int] = {}
    for line in order.lines:
        if not line.tracked:
            continue
        gone = line.fulfilled + line.cancelled
        for allocation in line.allocations:
            used = min(gone, allocation.quantity)
            gone -= used
            if allocation.quantity > used:
                key = (line.product_id, step.restock_to(allocation.location_id))
                back[key] = back.get(key, 0) + allocation.quantity - used
    for (product_id, location_id), quantity in back.items():
        yield Movement(
            id=step.new_id(),
            product_id=product_id,
            location_id=location_id,
            on_hand=quantity,
            reserved=0,
            reason="restocked",
            at=step.now,
            by=step.by,
            reference=order.reference,
        )


def _price(line: WantedLine) -> Money:
    return line.product.price if line.unit_price is None else line.unit_price
