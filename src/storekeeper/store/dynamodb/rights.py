"""Tries, before anything else is done, whether this role may do what the shop will do later.

A right that is missing is told then, and not to the first customer. Nothing is read but keys that
don't exist, and nothing is written. The calls go out together; each costs one unit at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import botocore.exceptions as failures

from storekeeper.domain.errors import StoreUnavailable
from storekeeper.store.bucket import code_of
from storekeeper.store.dynamodb.remote import DENIED, Remote
from storekeeper.store.dynamodb.tables import COMMITS, ORDERS, PRODUCTS, USERS, Table

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

Action = Literal["Query", "GetItem", "Scan", "PutItem", "DeleteItem"]
Rights = Mapping[Table, Sequence[Action]]

# What the shop does at run time, beside DescribeTable.
OF_LOG: Rights = {COMMITS: ("Query", "GetItem", "PutItem", "DeleteItem")}
# Accounts are never so long that they would lie in parts, which are asked for and removed.
OF_VIEWS: Rights = {
    PRODUCTS: ("Query", "PutItem", "DeleteItem"),
    ORDERS: ("Query", "PutItem", "DeleteItem"),
    USERS: ("PutItem",),
}
OF_VERIFY: Rights = dict.fromkeys((PRODUCTS, ORDERS, USERS), ("Query", "Scan"))
# Reads and writes have a client each.
_WRITES: tuple[Action, ...] = ("PutItem", "DeleteItem")
_NOTHING = "nothing"


def require_rights(remote: Remote, prefix: str, *wanted: Rights) -> None:
    """Raises `StoreUnavailable` that names each right that is missing; blocks."""
    refused: list[str] = []
    for is_write in (False, True):
        tries = partial(_try, prefix, _some(wanted, is_write))
        refused += remote.call(tries, writes=is_write)
    _tell(refused)


async def ask_for_rights(remote: Remote, prefix: str, wanted: Rights) -> None:
    """As `require_rights`, for an event loop and for reading alone."""
    _tell(await remote.ask(partial(_try, prefix, _some((wanted,), is_write=False))))


def _some(wanted: Sequence[Rights], is_write: bool) -> list[tuple[Action, Table]]:
    return [
        (action, table)
        for rights in wanted
        for table, actions in rights.items()
        for action in actions
        if (action in _WRITES) == is_write
    ]


async def _try(
    prefix: str, wanted: Sequence[tuple[Action, Table]], client: DynamoDBClient
) -> list[str]:
    """What of it is refused. Raises what else went wrong, so that it is tried again or told."""
    answers = await asyncio.gather(
        *(_try_one(client, action, table, prefix + table.name) for action, table in wanted),
        return_exceptions=True,
    )
    refused: list[str] = []
    for (action, table), answer in zip(wanted, answers, strict=True):
        if isinstance(answer, Exception) and code_of(answer) == DENIED:
            refused.append(f"dynamodb:{action} on {prefix}{table.name}")
        elif isinstance(answer, BaseException):
            raise answer
    return refused


async def _try_one(client: DynamoDBClient, action: Action, table: Table, name: str) -> None:
    keys = [key for key in (table.partition, table.sort) if key is not None]
    key: Any = {at: {kind: "0" if kind == "N" else _NOTHING} for at, kind in keys}
    at, kind = table.partition
    try:
        match action:
            case "Query":
                await client.query(
                    TableName=name,
                    KeyConditionExpression=f"{at} = :nothing",
                    ExpressionAttributeValues={":nothing": {kind: _NOTHING}},
                    Limit=1,
                )
            case "GetItem":
                await client.get_item(TableName=name, Key=key)
            case "Scan":
                await client.scan(TableName=name, ProjectionExpression=at, Limit=1)
            case "PutItem":
                await client.put_item(
                    TableName=name, Item=key, ConditionExpression=f"attribute_exists({at})"
                )
            case "DeleteItem":
                await client.delete_item(
                    TableName=name, Key=key, ConditionExpression=f"attribute_exists({at})"
                )
    except failures.ClientError as error:
        # As it must be: there is no such item.
        if code_of(error) != "ConditionalCheckFailedException":
            raise


def _tell(refused: Sequence[str]) -> None:
    if refused:
        raise StoreUnavailable(
            f"the role may not do {', '.join(refused)}; allow it in the role's permissions, all of "
            "which docs/dynamodb.md lists"
        )
