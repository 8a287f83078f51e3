"""Examples for the document, by the name of the field, so that one shop's story runs through all.

A test decodes each of them into its type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import inspect

from storekeeper.domain.errors import ShopError
from storekeeper.http.schemas import name_of

ID = "0199c8f2-6a3e-7c41-9d5b-3f1e8a7b2c60"
NOW = "2026-03-14T09:26:53.589793Z"
_ADDRESS = {
    "name": "Ada Lovelace",
    "line1": "12 Market Square",
    "city": "London",
    "postal_code": "SW1Y 4JH",
    "country": "GB",
}
_LINES = [{"sku": "85123A", "quantity": 6}, {"sku": "22423", "quantity": 1}]

# What a field of this name holds, in any type; a name with its type goes before a name alone.
BY_FIELD: Mapping[str, Any] = {
    "id": ID,
    "Job.state": "done",
    "ApiKeyView.name": "Warehouse scanner",
    "Attempts.id": ID,
    "Health.status": "ok",
    "Level.reserved": 6,
    "LocationView.name": "Main warehouse",
    "LocationView.id": "main",
    "NewApiKey.name": "Warehouse scanner",
    "OrderLineView.cancelled": 0,
    "OrderLineView.id": 1,
    "OrderLineView.returned": 0,
    "OrderLineView.total": {"amount": 1530, "currency": "GBP"},
    "OrderLineView.unit_price": {"amount": 255, "currency": "GBP"},
    "OrderView.returns": [],
    "OrderView.shipments": [],
    "OrderView.state": "confirmed",
    "OrderView.total": {"amount": 1530, "currency": "GBP"},
    "OrderView.units": 6,
    "OrderView.version": 2,
    "ProductView.allow_backorder": False,
    "ProductView.is_parent": False,
    "ProductView.attributes": {"material": "wood"},
    "ProductView.low_stock_threshold": 24,
    "ProductView.options": {},
    "ProductView.price": {"amount": 255, "currency": "GBP"},
    "ProductStockView.is_low": False,
    "ProductStockView.available": 114,
    "Readiness.relay": "ok",
    "Readiness.status": "ready",
    "Readiness.store": "ok",
    "RegisterRequest.name": "Ada Lovelace",
    "RoleRequest.role": "staff",
    "SalesView.key": "2026-03-14",
    "SalesView.name": None,
    "SalesView.orders": 7,
    "SalesView.returned_units": 1,
    "SalesView.returned_value": {"amount": 255, "currency": "GBP"},
    "SalesView.revenue": {"amount": 9180, "currency": "GBP"},
    "SalesView.sku": None,
    "SalesView.units": 36,
    "SessionView.id": ID,
    "StockValueView.key": "lighting",
    "StockValueView.name": "Lighting",
    "StockValueView.products": 12,
    "StockValueView.units": 480,
    "StockValueView.value": {"amount": 122400, "currency": "GBP"},
    "SummaryView.low_products": 3,
    "SummaryView.movements": 6120,
    "SummaryView.orders": {"confirmed": 10, "shipped": 412},
    "SummaryView.products": 290,
    "SummaryView.returned_units": 191,
    "SummaryView.returned_value": [{"amount": 72753, "currency": "GBP"}],
    "SummaryView.revenue": [{"amount": 5704034, "currency": "GBP"}],
    "SummaryView.sold_orders": 422,
    "SummaryView.sold_units": 29774,
    "Transition.detail": "",
    "Transition.kind": "placed",
    "UserView.name": "Ada Lovelace",
    "access_token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIwMTk5In0.c2lnbmF0dXJl",
    "account_id": ID,
    "amount": 1999,
    "at": NOW,
    "by": f"customer:{ID}",
    "carrier": "Royal Mail",
    "category": "Lighting",
    "city": "London",
    "client": "curl/8.10.1",
    "code": "invalid",
    "confirmed_at": NOW,
    "country": "GB",
    "created_at": NOW,
    "created_by": f"admin:{ID}",
    "cursor": None,
    "currency": "GBP",
    "current_password": "correct horse battery",
    "customer_id": ID,
    "delivered_at": NOW,
    "description": "A warm white light for the window.",
    "DeliveryView.id": f"mail|{ID}",
    "email": "ada@example.com",
    "EndpointView.description": "The warehouse's system",
    "error": "",
    "event_id": ID,
    "expires_at": "2026-04-14T09:26:53.589793Z",
    "expires_in": 900,
    "field": "lines[0].quantity",
    "fulfilled": 0,
    "id_token": "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIwMTk5In0.c2lnbmF0dXJl",
    "image_url": "/images/85123a.jpg",
    "key": None,
    "kind": "order.placed",
    "kinds": ["order.placed", "order.shipped"],
    "line1": "12 Market Square",
    "line2": "",
    "line_id": 1,
    "Location.id": "main",
    "location": "main",
    "location_id": "main",
    "locations": ["main"],
    "message": "",
    "name": "White hanging heart T-light holder",
    "new_password": "a longer and better one",
    "next": None,
    "next_at": None,
    "note": "Please ring twice.",
    "number": "7Q4XN-3K9DZ",
    "on_hand": 120,
    "parent_id": None,
    "password": "correct horse battery",
    "phone": "",
    "placed_at": NOW,
    "postal_code": "SW1Y 4JH",
    "product_id": ID,
    "quantity": 6,
    "reason": "",
    "reference": "delivery note 4711",
    "refresh_token": "0199c8f2.Jm7pQ2xVb1sK9dRt",
    "region": "",
    "request_id": ID,
    "requested": 6,
    "available": 4,
    "reserved": 6,
    "role": "customer",
    "scopes": ["orders:read", "stock:read"],
    "secret": None,
    "shipment_id": ID,
    "shipping_address": _ADDRESS,
    "sink": "mail",
    "sku": "85123A",
    "status_code": 200,
    "subject": f"order:{ID}",
    "switched_off": "",
    "tags": ["christmas", "gift"],
    "title": "A value is not acceptable",
    "token": None,
    "tracking_number": "RM123456785GB",
    "updated_at": NOW,
    "url": "https://example.com/hooks",
    "used_at": NOW,
    "version": 3,
}
# Whole bodies that read better than one made field by field.
BY_TYPE: Mapping[str, Any] = {
    "Address": _ADDRESS,
    "AdjustRequest": {"sku": "85123A", "quantity": -2, "reason": "damaged", "note": "fell off"},
    "CancelRequest": {"reason": "ordered twice"},
    "CountRequest": {"sku": "85123A", "on_hand": 118},
    "DeletionRequest": {"password": "correct horse battery"},
    "DeliverRequest": {},
    "LineRequest": {"sku": "85123A", "quantity": 6},
    "LocationInput": {"id": "shop", "name": "Shop floor", "priority": 10},
    "LocationPatch": {"priority": 5},
    "LogOutRequest": {"everywhere": True},
    "NewApiKey": {"name": "Warehouse scanner", "scopes": ["orders:read", "stock:read"]},
    "PlaceOrder": {
        "lines": _LINES,
        "shipping_address": _ADDRESS,
        "note": "Please ring twice.",
        "expected_total": {"amount": 2805, "currency": "GBP"},
        "confirm": True,
    },
    "ProductInput": {
        "sku": "85123A",
        "name": "White hanging heart T-light holder",
        "price": {"amount": 255, "currency": "GBP"},
        "description": "A warm white light for the window.",
        "category": "Lighting",
        "tags": ["christmas", "gift"],
        "attributes": {"material": "wood"},
        "low_stock_threshold": 24,
    },
    "ProductPatch": {"price": {"amount": 295}, "category": None, "status": "archived"},
    "ProfileRequest": {"name": "Ada King"},
    "ReceiveRequest": {"sku": "85123A", "quantity": 120, "reference": "delivery note 4711"},
    "ResetRequest": {
        "token": "Jm7pQ2xVb1sK9dRt5wYz",
        "new_password": "a longer and better one",
    },
    "ReturnRequest": {
        "lines": [{"line_id": 1, "quantity": 2}],
        "restock": False,
        "reason": "two arrived broken",
    },
    "ShipRequest": {
        "lines": [{"line_id": 1, "quantity": 6}],
        "carrier": "Royal Mail",
        "tracking_number": "RM123456785GB",
    },
    "TransferRequest": {
        "sku": "85123A",
        "quantity": 12,
        "from_location_id": "main",
        "to_location_id": "shop",
    },
}
# Where a problem's own words differ from its remedy: detail, field, further members.
PROBLEMS: Mapping[str, tuple[str, str | None, dict[str, Any]]] = {
    "invalid": (
        "lines[0].quantity must be a whole number, not a string",
        "lines[0].quantity",
        {},
    ),
    "not_found": (f"there is no order {ID}", None, {}),
    "unauthenticated": (
        "log in first: send an access token or an API key as a bearer token",
        None,
        {},
    ),
    "forbidden": ("this needs the scope orders:write", None, {"scope": "orders:write"}),
    "conflict": ("others keep changing this; try again shortly", None, {}),
    "precondition_failed": ("the order is at version 3; read it again", None, {"current": 3}),
    "already_exists": ("another product has this SKU", "sku", {}),
    "limit_reached": ("there are 100 endpoints already; remove one first", None, {}),
    "in_use": ("orders refer to this product; archive it instead", None, {}),
    "insufficient_stock": (
        "there is not enough of 85123A (6 ordered on 2 lines together, 4 available); order less "
        "of it",
        "lines",
        {
            "lines": [
                {
                    "product_id": ID,
                    "sku": "85123A",
                    "line_numbers": [1, 3],
                    "requested": 6,
                    "available": 4,
                }
            ]
        },
    ),
    "product_unavailable": ("22423 is not for sale", "lines[1]", {}),
    "total_changed": (
        "the total is 29.35 GBP, not 28.05 GBP; show it and ask again",
        "expected_total",
        {"total": {"amount": 2935, "currency": "GBP"}},
    ),
    "order_expired": ("the reservation ran out at 09:41; place the order again", None, {}),
    "order_state": ("a shipped order can't be cancelled", None, {"state": "shipped"}),
    "too_many": ("line 1 has 6 units left to ship, not 8", "lines[0].quantity", {}),
    "idempotency_key_reused": (
        "this Idempotency-Key was sent before with another order; use a new key",
        "Idempotency-Key",
        {},
    ),
    "last_admin": ("this is the last admin; make somebody else one first", None, {}),
    "open_orders": ("2 orders are still open", None, {}),
    "weak_password": ("this password is one of the most common ones", "password", {}),
    "wrong_password": ("the current password is another", "password", {}),
    "link_invalid": ("the link is used up or too old; ask for a new one", "token", {}),
    "too_many_requests": ("at most 1200 requests a minute; wait 7 s", None, {"retry_after": 7}),
    "overloaded": (
        "too many requests wait already; try again shortly",
        None,
        {"retry_after": 1},
    ),
    "store_unavailable": ("the database is locked by another process", None, {}),
    "outcome_unknown": (
        "the shop's store didn't answer, and whether this was done isn't known; send it again "
        "with the same Idempotency-Key, or look first",
        None,
        {},
    ),
    "payload_too_large": ("a request's body has at most 2097152 bytes", None, {}),
    "head_too_large": ("a request's address and headers have at most 65536 bytes", None, {}),
    "malformed": ("the body is not JSON: Input data was truncated", None, {}),
    "unsupported_media_type": ("send the body as application/json", None, {}),
    "method_not_allowed": ("/orders doesn't take DELETE", None, {"allow": "GET, HEAD, POST"}),
    "internal": ("something went wrong on our side; it was logged", None, {}),
}


def problem_example(kind: type[ShopError]) -> dict[str, Any]:
    """A problem as it is sent."""
    detail, field, members = PROBLEMS.get(kind.code, (kind.remedy, None, {}))
    found: dict[str, Any] = {
        "type": f"/docs/errors#{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "code": kind.code,
        "detail": detail,
    }
    if field is not None:
        found["field"] = field
    return {**found, "request_id": ID, **members}


def example_of(kind: Any) -> Any:
    """A value that the type takes, as it is in JSON."""
    return _example(inspect.type_info(kind), "", "")


def _example(info: inspect.Type, owner: str, field: str) -> Any:
    for name in (f"{owner}.{field}", field):
        if name in BY_FIELD and _takes(info, BY_FIELD[name]):
            return BY_FIELD[name]
    if isinstance(info, inspect.Metadata):
        examples = (info.extra_json_schema or {}).get("examples")
        return examples[0] if examples else _example(info.type, owner, "")
    if isinstance(info, inspect.StructType):
        return _struct(info)
    if isinstance(info, inspect.UnionType):
        known = [one for one in info.types if not isinstance(one, inspect.NoneType)]
        return _example(known[0], owner, "")
    if isinstance(info, (inspect.VarTupleType, inspect.ListType)):
        return [_example(info.item_type, owner, "")]
    if isinstance(info, inspect.DictType):
        return {"size": "L"} if _takes(info, {"size": "L"}) else {}
    return _plain(info)


def _struct(info: inspect.StructType) -> Any:
    name = name_of(info.cls)
    if name in BY_TYPE:
        return BY_TYPE[name]
    found = {}
    for field in info.fields:
        value = _example(field.type, name, field.encode_name)
        if value is None and not field.required:
            continue  # null is what it is anyhow
        found[field.encode_name] = value
    return found


def _plain(info: Any) -> Any:
    if isinstance(info, inspect.LiteralType):
        return info.values[0]
    if isinstance(info, inspect.BoolType):
        return True
    if isinstance(info, (inspect.IntType, inspect.FloatType)):
        return max(1, info.ge or 0)
    if isinstance(info, inspect.DateTimeType):
        return NOW
    return "…" if isinstance(info, inspect.StrType) else None


def _takes(info: inspect.Type, value: Any) -> bool:
    """Whether such a value fits; only the kind is looked at, a test checks the rest."""
    if isinstance(info, inspect.Metadata):
        return _takes(info.type, value)
    if isinstance(info, inspect.UnionType):
        return any(_takes(one, value) for one in info.types)
    if isinstance(info, inspect.LiteralType):
        return value in info.values
    kinds: tuple[tuple[type, tuple[type, ...]], ...] = (
        (type(None), (inspect.NoneType,)),
        (bool, (inspect.BoolType,)),
        (int, (inspect.IntType,)),
        (str, (inspect.StrType, inspect.DateTimeType)),
        (list, (inspect.VarTupleType, inspect.ListType)),
        (dict, (inspect.StructType, inspect.DictType)),
    )
    for python, infos in kinds:
        if type(value) is python:
            return isinstance(info, infos)
    return False


def encoded(value: Any) -> str:
    """As people read it."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
