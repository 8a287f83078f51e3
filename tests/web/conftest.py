"""The same shop as the API's tests have, met by browsers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.api.contract import Contract
from tests.api.shopfront import Front, Seed, front_at, in_one_task, seed_shop
from tests.web.browser import Visitor, visitor_at
from tests.web.chromium import browser
from tests.web.desk import Desk, desk_at


@pytest.fixture(scope="session")
def seed_on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Seed:
    return seed_shop(tmp_path_factory.mktemp("seed"))


@pytest.fixture(scope="session")
def seed_on_dynamodb(tmp_path_factory: pytest.TempPathFactory) -> Seed:
    return seed_shop(tmp_path_factory.mktemp("seed-on-dynamodb"), "dynamodb")


@pytest.fixture
def seed(seed_on_sqlite: Seed) -> Seed:
    return seed_on_sqlite


@pytest.fixture(params=["sqlite", "dynamodb"])
def seed_of_each_store(request: pytest.FixtureRequest) -> Seed:
    found: Seed = request.getfixturevalue(f"seed_on_{request.param}")
    return found


@pytest.fixture(scope="session")
def documents() -> dict[str, Contract]:
    """The API's document, which pages have nothing to do with, is made once."""
    return {}


@pytest.fixture
async def front(tmp_path: Path, seed: Seed, documents: dict[str, Contract]) -> AsyncIterator[Front]:
    opened = front_at(tmp_path, seed, documents.get("contract"), access_token_seconds=900)
    async with in_one_task(opened) as front:
        documents["contract"] = front.contract
        yield front


@pytest.fixture
async def visitor(front: Front) -> AsyncIterator[Visitor]:
    async with visitor_at(front) as visitor:
        yield visitor


@pytest.fixture
async def desk(tmp_path: Path, seed: Seed) -> AsyncIterator[Desk]:
    """The back office, with an admin at it."""
    async with in_one_task(desk_at(tmp_path, seed, "root")) as desk:  # type: ignore[arg-type]
        yield desk  # type: ignore[misc]


@pytest.fixture
async def staff(tmp_path: Path, seed: Seed) -> AsyncIterator[Desk]:
    """The back office, with somebody of the staff at it."""
    async with in_one_task(desk_at(tmp_path, seed, "sam")) as desk:  # type: ignore[arg-type]
        yield desk  # type: ignore[misc]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """No longer than a module: tests with an event loop can't run beside it."""
    with browser() as found:
        yield found
