"""A Valkey server for each test, emptied by ending it; a seeded shop for each test process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from storekeeper.cache import valkey
from tests.api.shopfront import Seed, seed_shop
from tests.cache.server import a_server
from tools.engines.launch import Running


@pytest.fixture
def server() -> Iterator[Running]:
    with a_server() as started:
        yield started


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that runs other tests beside this one is late without being away."""
    monkeypatch.setattr(valkey, "ANSWER_S", 10.0)
    monkeypatch.setattr(valkey, "PROBE_S", 10.0)


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch, patience: None) -> None:
    """As long as a shop waits."""
    monkeypatch.setattr(valkey, "ANSWER_S", 0.05)
    monkeypatch.setattr(valkey, "PROBE_S", 1.0)


@pytest.fixture(scope="session")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Seed:
    return seed_shop(tmp_path_factory.mktemp("seed"))
