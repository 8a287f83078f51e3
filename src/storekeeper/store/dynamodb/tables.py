"""The tables, defined once: `storekeeper init` and the deployment make them from here."""

from __future__ import annotations

from typing import Any, NamedTuple


class Table(NamedTuple):
    """A table with on-demand capacity and point-in-time recovery. Types: S text, N number.

    `ttl` names the attribute with the second (since 1970) at which an item may go.
    """

    name: str
    partition: tuple[str, str]
    sort: tuple[str, str] | None
    ttl: str | None
    purpose: str


COMMITS = Table("commits", ("pk", "S"), ("sk", "N"), "ttl", "the log of all commits")
PRODUCTS = Table("products", ("pk", "S"), ("sk", "S"), None, "products, stock by location, ledger")
ORDERS = Table("orders", ("pk", "S"), ("sk", "S"), None, "orders with their lines and timeline")
USERS = Table("users", ("pk", "S"), ("sk", "S"), "ttl", "accounts, sessions, keys, guards, work")
TABLES = (COMMITS, PRODUCTS, ORDERS, USERS)


def creation(table: Table, prefix: str) -> dict[str, Any]:
    """The parameters of CreateTable."""
    keys = [table.partition] + ([table.sort] if table.sort else [])
    return {
        "TableName": prefix + table.name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": kind} for name, kind in keys
        ],
        "KeySchema": [
            {"AttributeName": name, "KeyType": role}
            for (name, _), role in zip(keys, ("HASH", "RANGE"), strict=False)
        ],
    }
