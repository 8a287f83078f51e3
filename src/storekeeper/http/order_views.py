"""An order as the API shows it."""

from __future__ import annotations

from datetime import datetime

from storekeeper.domain.money import Money
from storekeeper.domain.orders import (
    Address,
    Allocation,
    Order,
    OrderLine,
    OrderState,
    Return,
    Shipment,
    Transition,
)
from storekeeper.domain.types import Struct
from storekeeper.http.answers import Answer


class OrderLineView(Struct, frozen=True, kw_only=True):
    """A line as placed, and what became of its units."""

    id: int
    product_id: str
    sku: str
    name: str
    unit_price: Money
    quantity: int
    total: Money
    fulfilled: int
    cancelled: int
    returned: int
    allocations: tuple[Allocation, ...]


class OrderView(Struct, frozen=True, kw_only=True):
    """An order as its customer and the shop see it. `token` is in a guest's first answer only."""

    id: str
    number: str
    version: int
    state: OrderState
    customer_id: str | None
    email: str
    currency: str
    total: Money
    units: int
    lines: tuple[OrderLineView, ...]
    shipping_address: Address | None
    note: str
    placed_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    confirmed_at: datetime | None
    shipments: tuple[Shipment, ...]
    returns: tuple[Return, ...]
    timeline: tuple[Transition, ...]
    token: str | None = None


def line_view(line: OrderLine) -> OrderLineView:
    return OrderLineView(
        id=line.id,
        product_id=line.product_id,
        sku=line.sku,
        name=line.name,
        unit_price=line.unit_price,
        quantity=line.quantity,
        total=line.total,
        fulfilled=line.fulfilled,
        cancelled=line.cancelled,
        returned=line.returned,
        allocations=line.allocations,
    )


def order_view(order: Order, token: str | None = None) -> OrderView:
    return OrderView(
        id=order.id,
        number=order.number,
        version=order.version,
        state=order.state,
        customer_id=order.customer_id,
        email=order.email,
        currency=order.currency,
        total=order.total,
        units=order.units,
        lines=tuple(map(line_view, order.lines)),
        shipping_address=order.shipping_address,
        note=order.note,
        placed_at=order.placed_at,
        updated_at=order.updated_at,
        expires_at=order.expires_at,
        confirmed_at=order.confirmed_at,
        shipments=order.shipments,
        returns=order.returns,
        timeline=order.timeline,
        token=token,
    )


def answer(
    order: Order, *, status: int = 200, token: str | None = None, replayed: bool = False
) -> Answer[OrderView]:
    headers = [(b"etag", b'"%d"' % order.version)]
    if status == 201:
        headers.append((b"location", b"/orders/" + order.id.encode()))
    if replayed:
        headers.append((b"idempotent-replayed", b"true"))
    return Answer(order_view(order, token), status_code=status, raw_headers=headers)
