"""One shop is seeded per test process; each test works on its own copy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.contract import Contract
from tests.api.shopfront import Front, Seed, front_at, in_one_task, seed_shop


@pytest.fixture(scope="session")
def seed_on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Seed:
    return seed_shop(tmp_path_factory.mktemp("seed"))


@pytest.fixture(scope="session")
def seed(seed_on_sqlite: Seed) -> Seed:
    return seed_on_sqlite


@pytest.fixture(scope="session")
def seed_on_dynamodb(tmp_path_factory: pytest.TempPathFactory) -> Seed:
    return seed_shop(tmp_path_factory.mktemp("seed-on-dynamodb"), "dynamodb")


@pytest.fixture(params=["sqlite", "dynamodb"])
def seed_of_each_store(request: pytest.FixtureRequest) -> Seed:
    """For modules whose tests run on both stores: they name it as their `seed`."""
    found: Seed = request.getfixturevalue(f"seed_on_{request.param}")
    return found


@pytest.fixture(scope="session")
def documents() -> dict[str, Any]:
    """The document is the same for every shop; it is made once."""
    return {}


@pytest.fixture
async def front(tmp_path: Path, seed: Seed, documents: dict[str, Contract]) -> AsyncIterator[Front]:
    async with in_one_task(front_at(tmp_path, seed, documents.get("contract"))) as front:
        documents["contract"] = front.contract
        yield front
