"""A shop on a real file for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storekeeper.store.sqlite.store import SqliteStore
from tests.support.clock import Clock
from tests.support.ids import Ids
from tests.support.shop import Shop


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    clock, new_id = Clock(), Ids()
    store = SqliteStore(tmp_path / "shop.db", clock=clock, new_id=new_id)
    try:
        yield Shop(store=store, clock=clock, new_id=new_id)
    finally:
        await store.close()
