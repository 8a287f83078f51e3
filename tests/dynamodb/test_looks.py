"""Each look at the log is paid for and waited for: a request needs one, whatever it reads."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.errors import Overloaded, StoreUnavailable
from storekeeper.domain.work import Setting
from storekeeper.store import asking
from storekeeper.store.dynamodb import follower, remote
from storekeeper.store.dynamodb import store as dynamo_store
from tests.support.faulty_dynamodb import SILENT, THROTTLED, Fault, FaultyDynamo
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


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request waits for its look for a moment, and DynamoDB is waited for longer."""
    monkeypatch.setattr(dynamo_store, "LONGEST_WAIT_S", 0.5)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    ("fault", "told"),
    [(SILENT, StoreUnavailable), (THROTTLED, Overloaded)],
    ids=["nobody answers", "fewer requests are asked for"],
)
async def test_a_request_waits_for_its_look_only_so_long(
    fault: Fault, told: type[Exception], tmp_path: Path
) -> None:
    """And is told the reason: to come less often helps nobody whom DynamoDB doesn't answer."""
    with FaultyDynamo() as proxy:
        async with node(tmp_path, 1, proxy.url) as shop:
            await shop.store.catch_up()
            proxy.fail("Query", fault)
            began = asking.begin()
            with pytest.raises(told):
                await shop.store.get(Setting, "a")
            asking.end(began)
            proxy.heal()
            await shop.store.catch_up()  # the look itself went on, or another does


@pytest.mark.usefixtures("hurried")
async def test_a_node_that_has_too_much_to_catch_up_with_says_so(tmp_path: Path) -> None:
    held = threading.Event()
    async with node(tmp_path, 0) as other, node(tmp_path, 1) as shop:
        await shop.store.catch_up()
        await other.store.commit(ChangeSet(puts=(Put(Setting(id="a", version=1, value="")),)))
        lane = shop.store._write_lane  # type: ignore[attr-defined]
        holding = asyncio.create_task(lane.ask(held.wait))
        began = asking.begin()
        try:
            with pytest.raises(Overloaded) as told:
                await shop.store.get(Setting, "a")
        finally:
            held.set()
            await holding
        assert told.value.members["retry_after"] == 1
        assert await shop.store.get(Setting, "a") is not None
        asking.end(began)


async def test_reads_that_get_through_make_nobody_wait_longer_for_writes_that_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A customer would wait the whole patience for each try while only writes are throttled."""
    monkeypatch.setattr(remote, "PATIENCE_S", 1.0)
    monkeypatch.setattr(remote, "SHORT_PATIENCE_S", 0.05)
    monkeypatch.setattr(follower, "REFUSING_S", 0.0)
    change = ChangeSet(puts=(Put(Setting(id="a", version=1, value="")),))
    with FaultyDynamo() as proxy:
        async with node(tmp_path, 1, proxy.url) as shop:
            await shop.store.catch_up()
            proxy.fail("PutItem", SILENT)
            with pytest.raises(StoreUnavailable):
                await shop.store.commit(change)
            await shop.store.catch_up()
            began = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await shop.store.commit(change)
            assert time.monotonic() - began < 0.7
