"""The engines that the contract is held against; a new one needs one more entry."""

from __future__ import annotations

import asyncio
import hashlib
import os
import uuid
from pathlib import Path

from storekeeper.store.dynamodb.remote import Remote
from storekeeper.store.dynamodb.setup import require_tables
from storekeeper.store.dynamodb.store import DynamoStore
from storekeeper.store.port import Store
from storekeeper.store.sqlite.store import SqliteStore
from tests.support import local_engines, own_tables
from tests.support.clock import Clock
from tests.support.ids import Ids
from tests.support.shop import Engine
from tools.engines.launch import CREDENTIALS


async def sqlite(place: Path, *, clock: Clock, new_id: Ids, **limits: int) -> Store:
    """One file in the folder `place`."""
    return SqliteStore(place / "shop.db", clock=clock, new_id=new_id, **limits)


def prefix_of(place: Path) -> str:
    """What the names of the tables of the shop at `place` begin with."""
    return f"t{hashlib.sha256(str(place).encode()).hexdigest()[:16]}-"


async def dynamodb(place: Path, *, clock: Clock, new_id: Ids, **limits: int) -> Store:
    """Tables with a name made from `place`; each time it is opened with a replica of its own, as
    each node has."""
    endpoint = local_engines.url("dynamodb")
    os.environ.update(CREDENTIALS)
    prefix = prefix_of(place)
    place.mkdir(parents=True, exist_ok=True)

    def open_store() -> Store:
        own_tables.make(endpoint, prefix)
        remote = Remote(region="eu-west-1", endpoint=endpoint)
        return DynamoStore(
            place / f"node-{uuid.uuid4().hex[:8]}.db",
            remote=remote,
            prefix=prefix,
            log_id=require_tables(remote, prefix),
            clock=clock,
            new_id=new_id,
            **limits,
        )

    return await asyncio.to_thread(open_store)


ENGINES: dict[str, Engine] = {"sqlite": sqlite, "dynamodb": dynamodb}
