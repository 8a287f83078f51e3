"""What other programs are shown of the shop: products, stock, orders and accounts as items.

An item says everything of its record but secrets. What would make it larger than DynamoDB allows
is packed: the heavy fields together, as compressed JSON.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from storekeeper.domain.accounts import Account
from storekeeper.domain.catalog import Product
from storekeeper.domain.orders import Order
from storekeeper.domain.stock import Level
from storekeeper.store.dynamodb.tables import ORDERS, PRODUCTS, USERS, Table

PRODUCT = "product"
ORDER = "order"
ACCOUNT = "account"
STOCK = "stock#"
PACKED = "#packed#"
# Where the items of each kind are.
TABLE_OF = {PRODUCT: PRODUCTS, STOCK: PRODUCTS, ORDER: ORDERS, ACCOUNT: USERS}
# An item may have 400 KB (409,600 bytes), names of attributes included.
MOST_BYTES = 350_000
_HEAVY = {
    PRODUCT: ("description", "attributes"),
    ORDER: ("lines", "shipments", "returns", "timeline"),
}
_SECRET = {ACCOUNT: ("password_hash", "epoch", "not_before"), ORDER: ("fingerprint",)}


class Item(NamedTuple):
    """An item without its `seq`, in DynamoDB's notation; `key` is its partition and sort key."""

    table: Table
    key: tuple[str, str]
    attributes: dict[str, Any]


def of_product(product: Product) -> list[Item]:
    return _items(PRODUCTS, product.id, PRODUCT, _fields(product, PRODUCT))


def of_deleted_product(id: str) -> list[Item]:
    """What is left, so that nothing older takes its place again."""
    return _items(PRODUCTS, id, PRODUCT, {"id": id, "status": "deleted"})


def of_level(level: Level) -> list[Item]:
    fields = {
        "product_id": level.product_id,
        "location_id": level.location_id,
        "on_hand": level.on_hand,
        "reserved": level.reserved,
        "available": level.on_hand - level.reserved,
    }
    return _items(PRODUCTS, level.product_id, f"{STOCK}{level.location_id}", fields)


def of_order(order: Order) -> list[Item]:
    """The order's item; of a packed one that is still too large, its parts before it."""
    fields = _fields(order, ORDER)
    # Always with a fraction, so that times as text sort as times.
    fields["placed_at"] = _sorted_time(order.placed_at)
    if fields.get("customer_id") is None:
        fields.pop("customer_id", None)  # a guest's order is in no customer's list
    return _items(ORDERS, order.id, ORDER, fields)


def of_account(account: Account) -> list[Item]:
    return _items(USERS, account.id, ACCOUNT, _fields(account, ACCOUNT))


def unpacked(head: dict[str, Any], parts: Sequence[bytes] = ()) -> dict[str, Any]:
    """The fields that a packed item holds, put together as a reader of the views would."""
    data = head["packed"]["B"] if "packed" in head else b"".join(parts)
    found: dict[str, Any] = msgspec.json.decode(gzip.decompress(data))
    return found


def _fields(record: Any, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(record)
    for name in _SECRET.get(kind, ()):
        found.pop(name, None)
    return found


def _sorted_time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def _items(table: Table, pk: str, sk: str, fields: dict[str, Any]) -> list[Item]:
    heavy = _HEAVY.get(sk, ())
    if not heavy or len(msgspec.json.encode(fields)) <= MOST_BYTES:
        return [_item(table, pk, sk, fields)]
    packed = {name: fields.pop(name) for name in heavy if name in fields}
    data = gzip.compress(msgspec.json.encode(packed), mtime=0)
    pieces = [data[at : at + MOST_BYTES] for at in range(0, len(data), MOST_BYTES)]
    head = _item(table, pk, sk, {**fields, "packed_fields": list(packed)})
    if len(pieces) == 1 and len(msgspec.json.encode(fields)) + len(data) <= MOST_BYTES:
        head.attributes["packed"] = {"B": data}
        return [head]
    head.attributes["packed_parts"] = {"N": str(len(pieces))}
    parts = [_item(table, pk, f"{sk}{PACKED}{at:04}", {}) for at in range(len(pieces))]
    for part, piece in zip(parts, pieces, strict=True):
        part.attributes["data"] = {"B": piece}
    return [*parts, head]


def _item(table: Table, pk: str, sk: str, fields: dict[str, Any]) -> Item:
    typed = {name: _typed(value) for name, value in fields.items()}
    return Item(table, (pk, sk), {"pk": {"S": pk}, "sk": {"S": sk}, **typed})


def _typed(value: Any) -> dict[str, Any]:
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int):
        return {"N": str(value)}
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, dict):
        return {"M": {name: _typed(one) for name, one in value.items()}}
    return {"L": [_typed(one) for one in value]}
