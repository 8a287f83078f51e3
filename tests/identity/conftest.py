"""A shop with a user pool beside its own accounts, and a second process of the same shop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.shopfront import Front, Seed, front_at, in_one_task, seed_shop
from tests.identity.pool import CLIENT, GROUPS, POOL, Pool, pool_at
from tests.support.clock import Clock


@pytest.fixture(scope="session")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Seed:
    return seed_shop(tmp_path_factory.mktemp("seed"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pool(clock: Clock) -> Iterator[Pool]:
    with pool_at(clock) as pool:
        yield pool


@pytest.fixture
def settings(pool: Pool) -> dict[str, Any]:
    return {
        "cognito_user_pool_id": POOL,
        "cognito_client_ids": (CLIENT,),
        "cognito_groups": GROUPS,
        "cognito_jwks_url": pool.url,
    }


@pytest.fixture
async def front(
    tmp_path: Path, seed: Seed, clock: Clock, settings: dict[str, Any]
) -> AsyncIterator[Front]:
    async with in_one_task(front_at(tmp_path, seed, clock=clock, **settings)) as front:
        yield front


@pytest.fixture
async def elsewhere(
    front: Front, tmp_path: Path, seed: Seed, clock: Clock, settings: dict[str, Any]
) -> AsyncIterator[Front]:
    async with in_one_task(front_at(tmp_path, seed, clock=clock, node=3, **settings)) as other:
        yield other
