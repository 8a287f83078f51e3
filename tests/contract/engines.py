"""The engines that the contract is held against; a new one needs one more entry."""

from __future__ import annotations

from pathlib import Path

from storekeeper.store.port import Store
from storekeeper.store.sqlite.store import SqliteStore
from tests.support.clock import Clock
from tests.support.ids import Ids
from tests.support.shop import Engine


async def sqlite(place: Path, *, clock: Clock, new_id: Ids, **limits: int) -> Store:
    """One file in the folder `place`."""
    return SqliteStore(place / "shop.db", clock=clock, new_id=new_id, **limits)


ENGINES: dict[str, Engine] = {"sqlite": sqlite}
