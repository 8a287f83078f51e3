"""Leases: of all processes of a shop one does what may be done by one only, and never none for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from storekeeper.domain.work import Lease
from storekeeper.services.leases import Tenure
from tests.support.clock import START
from tests.support.shop import Engine, Shop, shop_at

DURATION = timedelta(seconds=10)
FIRST = Lease(
    id="work", version=1, holder="one", until=START + timedelta(seconds=10, microseconds=5)
)
SECOND = replace(FIRST, version=2, holder="two")


@pytest.fixture
async def neighbour(shop: Shop, engine: Engine, tmp_path: Path) -> AsyncIterator[Shop]:
    """Another process of the shop."""
    async with shop_at(engine, tmp_path, clock=shop.clock, node=1) as neighbour:
        yield neighbour


def a_tenure(shop: Shop, holder: str) -> Tenure:
    return Tenure(shop.store, shop.clock, id="work", holder=holder, duration=DURATION)


async def test_what_one_process_holds_all_see_at_once(shop: Shop, neighbour: Shop) -> None:
    assert await neighbour.store.lease("work") is None
    assert await shop.store.hold(FIRST)
    assert await neighbour.store.lease("work") == FIRST
    assert await neighbour.store.hold(SECOND)
    assert await shop.store.lease("work") == SECOND
    assert await shop.store.lease("other work") is None


@pytest.mark.parametrize("version", [1, 2, 4])
async def test_only_the_next_version_takes_the_place_of_a_lease(
    shop: Shop, neighbour: Shop, version: int
) -> None:
    """Whoever decided on a lease that isn't there any more would put its new holder out."""
    assert await shop.store.hold(FIRST)
    assert await shop.store.hold(SECOND)
    late = replace(FIRST, version=version, holder="late")
    assert not await neighbour.store.hold(late)
    assert await neighbour.store.lease("work") == SECOND


async def test_a_lease_that_nobody_holds_begins_with_its_first_version(shop: Shop) -> None:
    assert not await shop.store.hold(SECOND)
    assert await shop.store.lease("work") is None


async def test_to_write_the_same_lease_again_changes_nothing(shop: Shop, neighbour: Shop) -> None:
    """Whose answer got lost asks again; told no, nobody would do the work until the lease ends."""
    assert await shop.store.hold(FIRST)
    assert await shop.store.hold(FIRST)
    assert not await neighbour.store.hold(replace(FIRST, holder="two"))
    assert await neighbour.store.hold(SECOND)
    assert not await shop.store.hold(FIRST)
    assert await shop.store.lease("work") == SECOND


async def test_of_processes_that_race_one_gets_the_lease(shop: Shop, neighbour: Shop) -> None:
    for _ in range(5):
        tenures = [
            a_tenure(at, f"process {number} {name}")
            for name, at in (("here", shop), ("there", neighbour))
            for number in range(3)
        ]
        assert sum(await asyncio.gather(*(tenure.hold() for tenure in tenures))) == 1
        assert sum(tenure.is_held for tenure in tenures) == 1
        shop.clock.advance(seconds=10)


async def test_the_holder_renews_and_the_next_one_takes_over_when_it_is_gone(
    shop: Shop, neighbour: Shop
) -> None:
    one, other = a_tenure(shop, "one"), a_tenure(neighbour, "other")
    assert await one.hold()
    for _ in range(3):
        shop.clock.advance(seconds=6)
        assert await one.hold()
        assert not await other.hold()
    shop.clock.advance(seconds=10)
    assert not one.is_held  # by the clock alone
    assert await other.hold()
    assert not await one.hold()
    assert (one.is_held, other.is_held) == (False, True)


async def test_a_lease_let_go_is_free_at_once(shop: Shop, neighbour: Shop) -> None:
    one, other = a_tenure(shop, "one"), a_tenure(neighbour, "other")
    assert await one.hold()
    await other.let_go()  # not its to give
    assert not await other.hold()
    await one.let_go()
    assert not one.is_held
    assert await other.hold()
    await one.let_go()  # no more
    assert not await one.hold()
    assert await other.hold()


async def test_leases_of_two_kinds_of_work_are_held_apart(shop: Shop, neighbour: Shop) -> None:
    assert await shop.store.hold(FIRST)
    assert await neighbour.store.hold(replace(FIRST, id="other work", holder="two"))
    assert await neighbour.store.lease("work") == FIRST


async def test_a_lease_outlives_the_process_that_took_it(engine: Engine, tmp_path: Path) -> None:
    """Or a restart would let a second process begin while the first is still at work."""
    async with shop_at(engine, tmp_path, node=1) as first:
        assert await first.store.hold(FIRST)
    async with shop_at(engine, tmp_path, node=2) as second:
        assert await second.store.lease("work") == FIRST
        assert not await a_tenure(second, "two").hold()
