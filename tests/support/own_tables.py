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
    is_new = remote(endpoint).call(lambda client: _create(client, prefix))
    _made.add(prefix)
    return is_new


async def _create(client: Any, prefix: str) -> bool:
    try:
        await asyncio.gather(*(client.create_table(**creation(table, prefix)) for table in TABLES))
    except client.exceptions.ResourceInUseException:
        return False
    return True
