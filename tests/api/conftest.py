"""One shop is seeded per test process; each test works on its own copy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.api.contract import Contract
from tests.api.shopfront import Front, Seed, front_at, seed_shop


@pytest.fixture(scope="session")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Seed:
    return seed_shop(tmp_path_factory.mktemp("seed"))


@pytest.fixture(scope="session")
def documents() -> dict[str, Any]:
    """The document is the same for every shop; it is made once."""
    return {}


@pytest.fixture
async def front(tmp_path: Path, seed: Seed, documents: dict[str, Contract]) -> AsyncIterator[Front]:
    async with in_one_task(front_at(tmp_path, seed, documents.get("contract"))) as front:
        documents["contract"] = front.contract
        yield front


@asynccontextmanager
async def in_one_task(context: AbstractAsyncContextManager[Front]) -> AsyncIterator[Front]:
    """Enters and leaves the context in one task; a fixture's two halves run in different ones."""
    ready: asyncio.Future[Front] = asyncio.get_running_loop().create_future()
    end = asyncio.Event()

    async def hold() -> None:
        try:
            async with context as front:
                ready.set_result(front)
                await end.wait()
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    holding = asyncio.create_task(hold())
    try:
        yield await ready
    finally:
        end.set()
        await holding
