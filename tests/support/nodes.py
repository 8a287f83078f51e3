"""Several machines of one shop on DynamoDB, each with a replica that it keeps over restarts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from storekeeper.store.dynamodb.opening import make_tables, open_store
from tests.contract.engines import prefix_of
from tests.support import local_engines
from tests.support.clock import Clock
from tests.support.ids import Ids
from tests.support.shop import Shop
from tools.engines.launch import CREDENTIALS

REGION = "eu-west-1"


@asynccontextmanager
async def node(folder: Path, number: int, endpoint: str = "") -> AsyncIterator[Shop]:
    """One of the machines of the shop whose tables are named after `folder`."""
    os.environ.update(CREDENTIALS)
    engine = local_engines.url("dynamodb")
    prefix = prefix_of(folder)
    await asyncio.to_thread(lambda: make_tables(region=REGION, endpoint=engine, prefix=prefix))
    clock, new_id = Clock(), Ids(number)
    store = await asyncio.to_thread(
        lambda: open_store(
            folder / f"node-{number}.db",
            region=REGION,
            endpoint=endpoint or engine,
            prefix=prefix,
            clock=clock,
            new_id=new_id,
        )
    )
    try:
        yield Shop(store=store, clock=clock, new_id=new_id)
    finally:
        await store.close()
