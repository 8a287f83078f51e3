"""A test's own tables on DynamoDB Local, made quickly: by one client for all tests of a process.

As `create_tables` makes them there, but for the time to live, on which nothing that is read depends;
those who test that function call it.
"""

from __future__ import annotations

import asyncio
import atexit
from functools import cache
from typing import Any

from storekeeper.store.dynamodb.tables import TABLES, creation
from tests.support.role import OwnRemote

# Tables that this test process has made.
_made: set[str] = set()


@cache
def remote(endpoint: str) -> OwnRemote:
    """The client for what tests themselves do there."""
    opened = OwnRemote(region="eu-west-1", endpoint=endpoint)
    atexit.register(opened.close)
    return opened


def make(endpoint: str, prefix: str) -> bool:
    """Whether they weren't there yet; blocks."""
    if prefix in _made:
        return False
    client = remote(endpoint)
    # Asked beforehand: an answer that was lost is asked for again, and finds what it has made.
    is_new = not client.call(lambda client: _are_there(client, prefix))
    client.call(lambda client: _create(client, prefix))
    _made.add(prefix)
    return is_new


async def _are_there(client: Any, prefix: str) -> bool:
    try:
        await client.describe_table(TableName=prefix + TABLES[0].name)
    except client.exceptions.ResourceNotFoundException:
        return False
    return True


async def _create(client: Any, prefix: str) -> None:
    await asyncio.gather(*(_create_one(client, creation(table, prefix)) for table in TABLES))


async def _create_one(client: Any, table: dict[str, Any]) -> None:
    try:
        await client.create_table(**table)
    except client.exceptions.ResourceInUseException:
        return
