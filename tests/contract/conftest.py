"""Every test that asks for a store or shop runs once for each engine."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from storekeeper.store.port import Store
from tests.contract.engines import ENGINES
from tests.support.shop import Engine, Shop, shop_at


@pytest.fixture(params=sorted(ENGINES), scope="session")
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]


@pytest.fixture
async def shop(engine: Engine, tmp_path: Path) -> AsyncIterator[Shop]:
    async with shop_at(engine, tmp_path) as shop:
        yield shop


@pytest.fixture
def store(shop: Shop) -> Store:
    return shop.store


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Fresh folders without end, for tests that need a new shop many times."""
    return (tmp_path_factory.mktemp("shop") for _ in itertools.count())
