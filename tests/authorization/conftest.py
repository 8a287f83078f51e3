"""A shop with a user pool, in which everybody is of one kind: its own accounts, or the pool's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from tests.api.contract import Contract
from tests.api.shopfront import Front, Seed, front_at, in_one_task, seed_shop
from tests.authorization.people import KINDS, Kind, people_of
from tests.identity.pool import CLIENT, GROUPS, POOL, Pool, pool_at
from tests.support.clock import Clock


@pytest.fixture(scope="session")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Seed:
    return seed_shop(tmp_path_factory.mktemp("seed"))


@pytest.fixture(scope="session")
def documents() -> dict[str, Contract]:
    """The document is the same for every shop; it is made once."""
    return {}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pool(clock: Clock) -> Iterator[Pool]:
    with pool_at(clock) as pool:
        yield pool


@pytest.fixture
async def front(
    tmp_path: Path,
    seed: Seed,
    clock: Clock,
    pool: Pool,
    kind: Kind,
    documents: dict[str, Contract],
) -> AsyncIterator[Front]:
    opened = front_at(
        tmp_path,
        seed,
        documents.get("contract"),
        clock=clock,
        cognito_user_pool_id=POOL,
        cognito_client_ids=(CLIENT,),
        cognito_groups=GROUPS,
        cognito_jwks_url=pool.url,
    )
    async with in_one_task(opened) as front:
        documents["contract"] = front.contract
        people = await people_of(kind, front, pool)
        front.seed = msgspec.structs.replace(front.seed, people=people)
        yield front
