"""A Valkey server for each test, emptied by ending it; a seeded shop for each test process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.shopfront import Seed, seed_shop
from tests.cache.server import a_server
from tools.engines.launch import Running


@pytest.fixture
def server() -> Iterator[Running]:
    with a_server() as started:
        yield started


@pytest.fixture(scope="session")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Seed:
    return seed_shop(tmp_path_factory.mktemp("seed"))
