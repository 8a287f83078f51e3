"""A request sees all that anybody was told before it began, and decides on nothing that has passed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from storekeeper.domain.changes import ChangeSet, Put, Stale
from storekeeper.domain.work import Setting
from storekeeper.store import asking
from storekeeper.store.port import Store
from tests.support.shop import Engine, shop_at


@pytest.fixture
async def stores(engine: Engine, tmp_path: Path) -> AsyncIterator[tuple[Store, Store]]:
    """Of two processes of one shop, each on a machine of its own where the engine allows it."""
    async with (
        shop_at(engine, tmp_path, node=1) as one,
        shop_at(engine, tmp_path, node=2) as other,
    ):
        yield one.store, other.store


@contextlib.contextmanager
def a_request() -> Iterator[None]:
    began = asking.begin()
    try:
        yield
    finally:
        asking.end(began)


async def write(store: Store, value: str, version: int) -> None:
    setting = Setting(id="greeting", version=version, value=value)
    await store.commit(ChangeSet(puts=(Put(setting),)))


async def read(store: Store) -> str:
    found = await store.get(Setting, "greeting")
    return found.value if found else ""


async def test_each_request_sees_what_was_committed_elsewhere_before_it_began(
    stores: tuple[Store, Store],
) -> None:
    here, elsewhere = stores
    for version, value in enumerate(("hello", "good day", "welcome"), start=1):
        await write(elsewhere, value, version)
        with a_request():
            assert await read(here) == value
            assert await read(here) == value


async def test_a_request_sees_what_it_committed_itself(stores: tuple[Store, Store]) -> None:
    here, _ = stores
    with a_request():
        assert await read(here) == ""
        await write(here, "hello", 1)
        assert await read(here) == "hello"


async def test_what_was_changed_elsewhere_since_it_was_read_is_not_overwritten(
    stores: tuple[Store, Store],
) -> None:
    """And whoever reads again, to decide anew in the same request, sees why."""
    here, elsewhere = stores
    await write(elsewhere, "hello", 1)
    with a_request():
        assert await read(here) == "hello"
        await write(elsewhere, "good day", 2)
        with pytest.raises(Stale):
            await write(here, "welcome", 2)
        assert await read(here) == "good day"
        await write(here, "welcome", 3)
    with a_request():
        assert await read(elsewhere) == "welcome"


async def test_nothing_that_a_request_saw_is_gone_later_in_it(stores: tuple[Store, Store]) -> None:
    here, elsewhere = stores
    await write(elsewhere, "hello", 1)
    with a_request():
        assert await read(here) == "hello"
        await write(elsewhere, "good day", 2)
        await here.catch_up()
        assert await read(here) == "good day"
        assert await read(here) == "good day"
