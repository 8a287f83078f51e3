"""What is published fits what the documents promise, whatever happens to an order."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, get_args

import jsonschema_rs
import pytest

from storekeeper.domain.events import ORDER_PLACED, Event
from storekeeper.domain.orders import LineQuantity
from storekeeper.domain.types import OrderId
from storekeeper.notify.sns.messages import (
    ORDER_KINDS,
    STOCK_KINDS,
    OrderKind,
    order_message,
    stock_message,
)
from storekeeper.services.locations import Locations
from tests.support.builders import BY_STAFF, a_call, a_product, a_request, an_event
from tests.support.shop import Shop
from tools.sns_docs import PAGE, SCHEMA, page_with_tables, schema_text


def test_the_documents_are_those_of_the_code() -> None:
    """`python -m tools.sns_docs` writes them; a field that changes or goes needs a new version."""
    assert SCHEMA.read_text() == schema_text()
    page = PAGE.read_text()
    assert page == page_with_tables(page)
    assert page.count("<!-- fields of ") == 5


def validated(body: str, part: str) -> dict[str, Any]:
    document = json.loads(SCHEMA.read_text())
    validator = jsonschema_rs.validator_for(
        {"$ref": f"#/$defs/{part}", "$defs": document["$defs"]}, validate_formats=True
    )
    read: dict[str, Any] = json.loads(body)
    validator.validate(read)
    return read


def test_every_kind_of_order_event_has_a_place_in_the_schema() -> None:
    assert get_args(OrderKind) == ORDER_KINDS
    assert all(kind.startswith("order.") for kind in ORDER_KINDS)
    assert STOCK_KINDS == ("stock.low",)


async def test_an_order_from_placing_to_returning_fits_the_schema(shop: Shop) -> None:
    await shop.sell("LAMP", stock=9)
    told = await happened_to_orders(shop)
    assert {event.kind for event in told} == set(ORDER_KINDS)
    for event in told:
        message = order_message(event)
        body = validated(message.body, "OrderEvent")
        assert body["data"] == event.data
        assert (body["id"], body["kind"], body["subject"]) == (event.id, event.kind, event.subject)
        assert message.attributes == {
            "kind": event.kind,
            "schema_version": "1",
            "state": event.data["state"],
            "currency": "GBP",
        }


def test_an_alert_names_the_product() -> None:
    event = an_event("product:1", "stock.low", product_id="1", available=2, threshold=3)
    message = stock_message(event, a_product("LAMP", name="Desk lamp"))
    assert validated(message.body, "StockEvent")["data"]["name"] == "Desk lamp"
    assert message.attributes == {"kind": "stock.low", "schema_version": "1", "sku": "LAMP"}
    assert message.title == "Low stock: 2 left of LAMP (Desk lamp)"


def test_an_alert_of_a_product_that_was_deleted_still_goes_out() -> None:
    event = an_event("product:1", "stock.low", product_id="1", available=0, threshold=3)
    message = stock_message(event, None)
    assert validated(message.body, "StockEvent")["data"]["sku"] is None
    assert message.attributes == {"kind": "stock.low", "schema_version": "1"}


@pytest.mark.parametrize("name", ["x" * 200, "two\u2028lines", "café " * 40, "🛋" * 150])
def test_a_subject_line_is_one_that_sns_takes(name: str) -> None:
    """SNS refuses a message for a subject of 100 characters, or with a line end in it."""
    event = an_event("product:1", "stock.low", product_id="1", available=2, threshold=3)
    title = stock_message(event, a_product("LAMP", name=name)).title
    assert title.startswith("Low stock: 2 left of LAMP (")
    assert len(title) < 100
    assert title.isprintable()


def test_times_are_in_utc() -> None:
    at = datetime(2030, 1, 1, 9, 0, 0, 1_000, tzinfo=UTC)
    event = Event(
        id="1",
        kind="stock.low",
        subject="product:1",
        at=at,
        data={"product_id": "1", "available": 1, "threshold": 1},
    )
    assert validated(stock_message(event, None).body, "StockEvent")["at"] == (
        "2030-01-01T09:00:00.001000Z"
    )


async def happened_to_orders(shop: Shop) -> list[Event]:
    """Orders that go every way there is."""
    await Locations(shop.tools).ensure_defaults()
    call = a_call()
    for confirm in (True, False, False):
        await shop.checkout.place(call, a_request(("LAMP", 2), confirm=confirm))
    stored = await shop.store.events_after(0, 100)
    sold, given_up, _ = [
        OrderId(one.event.data["order_id"]) for one in stored if one.event.kind == ORDER_PLACED
    ]
    await shop.order_changes.cancel(call, given_up)
    await shop.order_changes.ship(BY_STAFF, sold, lines=None, carrier="Royal Mail")
    await shop.order_changes.deliver(BY_STAFF, sold)
    await shop.order_changes.take_back(
        BY_STAFF, sold, lines=[LineQuantity(line_id=1, quantity=1)], restock=False
    )
    shop.clock.advance(minutes=16)
    assert await shop.order_changes.expire_due() == 1
    stored = await shop.store.events_after(0, 100)
    return [one.event for one in stored if one.event.kind.startswith("order.")]
