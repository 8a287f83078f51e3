"""An office for each test; a second one is another process on the same file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.stock import MAIN
from tests.accounts.office import Office, office_at
from tests.support.builders import a_location


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with office_at(tmp_path / "shop.db") as office:
        await office.store.commit(ChangeSet(puts=(Put(a_location(MAIN)),)))
        yield office


@pytest.fixture
async def elsewhere(office: Office, tmp_path: Path) -> AsyncIterator[Office]:
    async with office_at(tmp_path / "shop.db", clock=office.clock, node=1) as other:
        yield other
