"""The tables, defined once: `storekeeper init` and the deployment make them from here."""

from __future__ import annotations

from typing import Any, NamedTuple


class Index(NamedTuple):
    """A global secondary index: items by `partition`, in the order of `sort`. It holds the keys and
    the attributes of `shows`. Both key attributes are text."""

    name: str
    partition: str
    sort: str
    shows: tuple[str, ...]


class Table(NamedTuple):
    """A table with on-demand capacity and point-in-time recovery. Types: S text, N number.

    `ttl` names the attribute with the second (since 1970) at which an item may go.
    """

    name: str
    partition: tuple[str, str]
    sort: tuple[str, str] | None
    ttl: str | None
    purpose: str
    indexes: tuple[Index, ...] = ()


COMMITS = Table("commits", ("pk", "S"), ("sk", "N"), "ttl", "the log of all commits")
PRODUCTS = Table("products", ("pk", "S"), ("sk", "S"), None, "products and stock, for programs")
# One partition for a state: one node writes them all, no faster than one partition takes.
ORDERS = Table(
    "orders",
    ("pk", "S"),
    ("sk", "S"),
    None,
    "orders with their lines, for programs",
    (
        Index("by-customer", "customer_id", "placed_at", ("number", "state", "total")),
        Index("by-state", "state", "placed_at", ("number", "customer_id", "total")),
    ),
)
USERS = Table("users", ("pk", "S"), ("sk", "S"), "ttl", "accounts without secrets, for programs")
TABLES = (COMMITS, PRODUCTS, ORDERS, USERS)
VIEWS = (PRODUCTS, ORDERS, USERS)


def creation(table: Table, prefix: str) -> dict[str, Any]:
    """The parameters of CreateTable."""
    keys = [table.partition] + ([table.sort] if table.sort else [])
    attributes = keys + indexed(table)
    wanted: dict[str, Any] = {
        "TableName": prefix + table.name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": kind} for name, kind in attributes
        ],
        "KeySchema": [
            {"AttributeName": name, "KeyType": role}
            for (name, _), role in zip(keys, ("HASH", "RANGE"), strict=False)
        ],
    }
    if table.indexes:
        wanted["GlobalSecondaryIndexes"] = [index_creation(index) for index in table.indexes]
    return wanted


def index_creation(index: Index) -> dict[str, Any]:
    """An index as CreateTable and UpdateTable take it."""
    return {
        "IndexName": index.name,
        "KeySchema": [
            {"AttributeName": index.partition, "KeyType": "HASH"},
            {"AttributeName": index.sort, "KeyType": "RANGE"},
        ],
        "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(index.shows)},
    }


def indexed(table: Table) -> list[tuple[str, str]]:
    """The key attributes of a table's indexes, each once, with their types."""
    names = dict.fromkeys(name for index in table.indexes for name in (index.partition, index.sort))
    return [(name, "S") for name in names]
