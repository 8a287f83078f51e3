"""Leases of a shop on DynamoDB: beside the log, which an idle shop doesn't lengthen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.errors import Overloaded, StoreUnavailable
from storekeeper.domain.work import Lease
from storekeeper.services.background import LEASE, Background
from storekeeper.services.leases import Tenure
from storekeeper.store.dynamodb import remote
from storekeeper.store.dynamodb import store as module
from tests.notify.sinks import Recorder, a_relay, happens
from tests.support.builders import a_call, a_request
from tests.support.faulty_dynamodb import (
    BROKEN,
    DENIED,
    RESET_AFTER,
    THROTTLED,
    Fault,
    FaultyDynamo,
)
from tests.support.nodes import node
from tests.support.shop import Shop

PATIENCE_S = 20.0


@asynccontextmanager
async def proxied(folder: Path) -> AsyncIterator[tuple[FaultyDynamo, Shop]]:
    """A node whose calls to DynamoDB can be made to fail."""
    with FaultyDynamo() as proxy:
        async with node(folder, 0, proxy.url) as shop:
            yield proxy, shop


def a_tenure(shop: Shop, holder: str = "one") -> Tenure:
    return Tenure(shop.store, shop.clock, id=LEASE, holder=holder, duration=timedelta(seconds=10))


async def entries(shop: Shop) -> int:
    await shop.store.catch_up()
    followed: int = shop.store.followed  # type: ignore[attr-defined]
    return followed


async def test_an_idle_shop_lengthens_its_log_by_nothing(tmp_path: Path) -> None:
    """Every new node reads the whole log: a year of renewals would be nine million entries."""
    async with proxied(tmp_path) as (proxy, shop):
        await shop.sell("MUG", stock=5)
        await shop.checkout.place(a_call(), a_request(("MUG", 2)))
        sink = Recorder()
        background = Background(
            store=shop.store,
            clock=shop.clock,
            holder="one",
            relay=await a_relay(shop, sink),
            expire_due=shop.order_changes.expire_due,
            sweep_seconds=0.02,
            lease_seconds=0.1,
        )
        await background.start()
        [told] = await happens(shop, "order:1")
        async with asyncio.timeout(PATIENCE_S):
            # Sent, and the channel's place moved on.
            while told not in sink.got or (await background.lag()).events:
                await asyncio.sleep(0.01)
        before, writes = await entries(shop), proxy.calls["PutItem"]
        async with asyncio.timeout(PATIENCE_S):
            while proxy.calls["PutItem"] < writes + 5:
                await asyncio.sleep(0.01)
        await shop.store.check_writable()
        await background.stop()
        assert await entries(shop) == before


async def test_an_idle_channel_is_looked_after_with_one_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look costs a read unit, every second, day and night."""
    monkeypatch.setattr(module, "IDLE_S", 3_600.0)
    async with proxied(tmp_path) as (proxy, shop):
        sink = Recorder()
        relay = await a_relay(shop, sink)
        assert not await relay.step()
        before = proxy.calls["Query"]
        assert not await relay.step()
        assert proxy.calls["Query"] == before + 1
        told = await happens(shop, "order:1")
        await relay.step()
        assert sink.got == told


async def test_a_renewal_whose_answer_got_lost_holds(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (proxy, shop), node(tmp_path, 1) as neighbour:
        tenure = a_tenure(shop)
        assert await tenure.hold()
        proxy.fail("PutItem", RESET_AFTER, times=1)
        assert await tenure.hold()
        assert proxy.failed["PutItem"] == 1
        assert not await a_tenure(neighbour, "two").hold()


@pytest.mark.parametrize("fault", [BROKEN, RESET_AFTER], ids=lambda fault: fault.name)
async def test_after_a_renewal_that_failed_the_next_one_goes_on(
    tmp_path: Path, fault: Fault
) -> None:
    """Whether it was written or not: the lease is its holder's until its time is over."""
    async with proxied(tmp_path) as (proxy, shop), node(tmp_path, 1) as neighbour:
        tenure = a_tenure(shop)
        assert await tenure.hold()
        shop.clock.advance(seconds=6)
        proxy.fail("PutItem", fault)
        with pytest.raises(StoreUnavailable):
            await tenure.hold()
        assert tenure.is_held
        proxy.heal()
        assert await tenure.hold()
        shop.clock.advance(seconds=6)
        assert tenure.is_held
        neighbour.clock.set(shop.clock())
        assert not await a_tenure(neighbour, "two").hold()


async def test_a_lease_is_not_taken_while_dynamodb_asks_for_fewer_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "PATIENCE_S", 0.5)
    async with proxied(tmp_path) as (proxy, shop):
        tenure = a_tenure(shop)
        proxy.fail("PutItem", THROTTLED)
        with pytest.raises(Overloaded):
            await tenure.hold()
        assert not tenure.is_held


async def test_a_node_that_cannot_follow_the_log_holds_no_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could do none of the work, and would keep all others from it."""
    monkeypatch.setattr(module, "TRUSTED_S", 0.0)
    async with proxied(tmp_path) as (proxy, shop), node(tmp_path, 1) as neighbour:
        proxy.fail("Query", DENIED)
        with pytest.raises(StoreUnavailable):
            await a_tenure(shop).hold()
        assert await neighbour.store.lease(LEASE) is None


async def test_leases_of_an_earlier_version_in_the_log_are_read_and_bind_nobody(
    tmp_path: Path,
) -> None:
    """They were entries of the log once; new nodes go on reading those logs."""
    async with node(tmp_path, 0) as shop:
        for version in range(1, 4):
            kept = Lease(
                id=LEASE,
                version=version,
                holder="long gone",
                until=shop.clock() + timedelta(days=version),
            )
            await shop.store.commit(ChangeSet(puts=(Put(kept),)))
        mug = await shop.sell("MUG", stock=5)
        assert await a_tenure(shop).hold()
        async with node(tmp_path, 1) as neighbour:
            assert await entries(neighbour) == await entries(shop)
            assert await neighbour.on_hand(mug) == 5
            assert not await a_tenure(neighbour, "two").hold()
