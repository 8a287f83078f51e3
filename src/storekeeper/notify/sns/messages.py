"""What a message says: the body's schema, the attributes for filter policies, the subject line.

The body is a promise to subscribers: within one `VERSION` fields are added, never taken away or
changed. docs/sns.schema.json and the tables of docs/sns.md are made from these structs. A message
holds no address and no e-mail, as the event holds none.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from storekeeper.domain import events
from storekeeper.domain.catalog import Product
from storekeeper.domain.events import Event
from storekeeper.domain.money import Money
from storekeeper.domain.orders import OrderState
from storekeeper.domain.types import Struct

T = TypeVar("T")
VERSION = "1"
ORDER_KINDS = (
    events.ORDER_PLACED,
    events.ORDER_CONFIRMED,
    events.ORDER_CANCELLED,
    events.ORDER_EXPIRED,
    events.ORDER_SHIPPED,
    events.ORDER_DELIVERED,
    events.ORDER_RETURNED,
)
STOCK_KINDS = (events.STOCK_LOW,)
# SNS takes fewer than 100 characters.
LONGEST_TITLE = 99

OrderKind = Literal[
    "order.placed",
    "order.confirmed",
    "order.cancelled",
    "order.expired",
    "order.shipped",
    "order.delivered",
    "order.returned",
]
_Version = Annotated[Literal["1"], Meta(description="of this schema")]
_EventId = Annotated[
    str, Meta(description="the event's id; the same one again means the same event again")
]
_At = Annotated[datetime, Meta(tz=True, description="when it was committed")]


class Total(Struct, frozen=True, kw_only=True):
    """An amount of money."""

    amount: Annotated[int, Meta(description="minor units (pence, cents)")]
    currency: Annotated[str, Meta(description="ISO 4217")]


class OrderData(Struct, frozen=True, kw_only=True):
    """What happened to an order. Read the order through the API for more."""

    order_id: Annotated[str, Meta(description="for `GET /orders/{id}`")]
    number: Annotated[str, Meta(description="the number that customers see")]
    state: Annotated[OrderState, Meta(description="of the order after the event")]
    total: Annotated[Total, Meta(description="of the order")]
    customer_id: Annotated[str | None, Meta(description="null for a guest's order")]
    shipment_id: Annotated[str | UnsetType, Meta(description="of `order.shipped`")] = UNSET
    carrier: Annotated[str | UnsetType, Meta(description="of `order.shipped`; may be empty")] = (
        UNSET
    )
    tracking_number: Annotated[
        str | UnsetType, Meta(description="of `order.shipped`; may be empty")
    ] = UNSET
    return_id: Annotated[str | UnsetType, Meta(description="of `order.returned`")] = UNSET
    restock: Annotated[
        bool | UnsetType, Meta(description="of `order.returned`: whether the units are sold again")
    ] = UNSET


class StockData(Struct, frozen=True, kw_only=True):
    """A product whose available units fell to its reorder point. Once per crossing."""

    product_id: Annotated[str, Meta(description="for `GET /products/{id}`")]
    sku: Annotated[str | None, Meta(description="null if the product was deleted meanwhile")]
    name: Annotated[str | None, Meta(description="null if the product was deleted meanwhile")]
    available: Annotated[
        int, Meta(description="units that can be ordered, over all locations; below 0 on backorder")
    ]
    threshold: Annotated[int, Meta(description="the reorder point")]


class OrderEvent(Struct, frozen=True, kw_only=True):
    """The body of a message on the topic of orders."""

    schema_version: _Version
    id: _EventId
    kind: Annotated[OrderKind, Meta(description="what happened")]
    subject: Annotated[
        str, Meta(description="`order:` and the order's id; its events are published in order")
    ]
    at: _At
    data: Annotated[OrderData, Meta(description="what the event is about")]


class StockEvent(Struct, frozen=True, kw_only=True):
    """The body of a message on the topic of stock alerts."""

    schema_version: _Version
    id: _EventId
    kind: Annotated[Literal["stock.low"], Meta(description="what happened")]
    subject: Annotated[
        str, Meta(description="`product:` and the product's id; its events are published in order")
    ]
    at: _At
    data: Annotated[StockData, Meta(description="what the event is about")]


class Message(Struct, frozen=True, kw_only=True):
    """One message, before SNS's own words for it. `group` is the event's subject."""

    id: str
    group: str
    body: str
    title: str
    attributes: Mapping[str, str]

    @property
    def size(self) -> int:
        """Bytes, as SNS counts them: body and attributes; the title and some frame as a reserve."""
        parts = [self.body, self.title, *self.attributes.keys(), *self.attributes.values()]
        return sum(len(part.encode()) for part in parts) + 16 * len(self.attributes) + 256


def order_message(event: Event) -> Message:
    """Raises `msgspec.ValidationError` for an event that doesn't fit the schema."""
    told = _body(event, OrderEvent)
    happened = event.kind.removeprefix("order.")
    total = Money(amount=told.data.total.amount, currency=told.data.total.currency)
    title = f"Order {told.data.number} {happened}: {total}"
    return _message(event, told, title, state=told.data.state, currency=total.currency)


def stock_message(event: Event, product: Product | None) -> Message:
    """`product` as it is now; raises `msgspec.ValidationError` as above."""
    named = {"sku": product and product.sku, "name": product and product.name}
    told = _body(event, StockEvent, **named)
    data = told.data
    what = f"{data.sku} ({data.name})" if data.sku else f"product {data.product_id}"
    title = f"Low stock: {data.available} left of {what}"
    return _message(event, told, title, **({"sku": data.sku} if data.sku else {}))


def schema() -> dict[str, Any]:
    """The JSON Schema of both bodies, with each under `$defs`."""
    (order, stock), parts = msgspec.json.schema_components(
        [OrderEvent, StockEvent], ref_template="#/$defs/{name}"
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Storekeeper's messages on Amazon SNS, version {VERSION}",
        "anyOf": [order, stock],
        "$defs": parts,
    }


def _body(event: Event, kind: type[T], **more: Any) -> T:
    """What the event says, and `more` that is known of it now, held against the schema."""
    head = {"id": event.id, "kind": event.kind, "subject": event.subject, "at": event.at}
    return msgspec.convert(
        {"schema_version": VERSION, **head, "data": {**event.data, **more}}, kind
    )


def _message(event: Event, told: OrderEvent | StockEvent, title: str, **more: str) -> Message:
    """`more`: attributes beside those that each message has."""
    return Message(
        id=event.id,
        group=event.subject,
        body=msgspec.json.encode(told).decode(),
        title=_one_line(title),
        attributes={"kind": event.kind, "schema_version": VERSION, **more},
    )


def _one_line(text: str) -> str:
    """No line ends, no control characters, no longer than SNS takes."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= LONGEST_TITLE else line[: LONGEST_TITLE - 1].rstrip() + "…"
