"""Each look at the log is paid for and waited for: a request needs one, whatever it reads."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.work import Setting
from storekeeper.store import asking
from storekeeper.store.dynamodb import store as dynamo_store
from tests.support.faulty_dynamodb import FaultyDynamo
from tests.support.nodes import node


@pytest.fixture(autouse=True)
def no_following(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is asked for is counted."""
    monkeypatch.setattr(dynamo_store, "FOLLOW_S", 60.0)


async def test_a_request_looks_at_the_log_once(tmp_path: Path) -> None:
    with FaultyDynamo() as proxy:
        async with node(tmp_path, 1, proxy.url) as shop:
            for _ in range(3):
                before = proxy.calls["Query"]
                began = asking.begin()
                for id in "abcd":
                    await shop.store.get(Setting, id)
                asking.end(began)
                assert proxy.calls["Query"] - before == 1


async def test_a_request_that_has_committed_needs_no_look(tmp_path: Path) -> None:
    """Its entry was the next one of the log, so it knows all that was before it."""
    with FaultyDynamo() as proxy:
        async with node(tmp_path, 1, proxy.url) as shop:
            await shop.store.catch_up()
            before = proxy.calls["Query"]
            began = asking.begin()
            await shop.store.commit(ChangeSet(puts=(Put(Setting(id="a", version=1, value="")),)))
            await shop.store.get(Setting, "a")
            asking.end(began)
            assert proxy.calls["Query"] == before


async def test_requests_that_wait_together_share_a_look(tmp_path: Path) -> None:
    async def one(id: int) -> None:
        began = asking.begin()
        for _ in range(3):
            await shop.store.get(Setting, str(id))
        asking.end(began)

    with FaultyDynamo() as proxy:
        async with node(tmp_path, 1, proxy.url) as shop:
            await shop.store.catch_up()
            before = proxy.calls["Query"]
            await asyncio.gather(*(one(id) for id in range(20)))
            assert proxy.calls["Query"] - before == 1
