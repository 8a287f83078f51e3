"""Requests are counted for the whole shop, whichever process answered them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from storekeeper.domain.changes import ChangeSet
from storekeeper.domain.errors import StoreUnavailable
from storekeeper.services.traffic import KEPT, Answers, Day, TrafficCounts
from tests.support.shop import Engine, Shop, shop_at


class Process:
    """One process's counters."""

    def __init__(self, shop: Shop) -> None:
        self.answers = Answers(0, 0)
        self.traffic = TrafficCounts(shop.tools, lambda: self.answers)

    def answered(self, requests: int, faults: int = 0) -> None:
        self.answers = Answers(self.answers.requests + requests, self.answers.faults + faults)


async def days_of(shop: Shop, process: Process) -> list[Day]:
    today = shop.clock().date()
    return await process.traffic.days(today - timedelta(days=9), today + timedelta(days=1))


async def test_processes_of_two_nodes_add_to_one_figure_and_none_is_lost(
    engine: Engine, tmp_path: Path
) -> None:
    async with (
        shop_at(engine, tmp_path, node=1) as here,
        shop_at(engine, tmp_path, node=2) as there,
    ):
        all_of_them = [Process(here), Process(here), Process(there)]
        for _ in range(2):
            for process in all_of_them:
                process.answered(10, 1)
            # Two that have counted the same write the very same record, of which one is refused.
            await asyncio.gather(*(process.traffic.add() for process in all_of_them))
        await here.store.catch_up()
        assert await days_of(here, all_of_them[0]) == [Day(here.clock().date(), 60, 6)]


async def test_an_idle_process_writes_nothing(shop: Shop) -> None:
    process = Process(shop)
    process.answered(4)
    await process.traffic.add()
    written = shop.store.moment()
    await process.traffic.add()
    assert shop.store.moment() == written
    assert await days_of(shop, process) == [Day(shop.clock().date(), 4, 0)]


@pytest.mark.parametrize("arrives", [True, False])
async def test_what_may_have_arrived_is_counted_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, arrives: bool
) -> None:
    """The answer to a write got lost: the next one looks first."""
    process = Process(shop)
    process.answered(7, 1)
    commit: Callable[..., object] = shop.store.commit

    async def lost(change: ChangeSet) -> None:
        if arrives:
            await commit(change)  # type: ignore[misc]
        raise StoreUnavailable("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(shop.store, "commit", lost)
        with pytest.raises(StoreUnavailable):
            await process.traffic.add()
    process.answered(1)
    await process.traffic.add()
    assert await days_of(shop, process) == [Day(shop.clock().date(), 8, 1)]


async def test_days_stand_apart_and_old_ones_go(shop: Shop) -> None:
    process = Process(shop)
    for requests in (1, 2):
        process.answered(requests)
        await process.traffic.add()
        shop.clock.advance(days=1)
    first = shop.clock().date() - timedelta(days=2)
    assert await days_of(shop, process) == [
        Day(first, 1, 0),
        Day(first + timedelta(days=1), 2, 0),
    ]
    shop.clock.advance(days=KEPT.days - 2)
    assert await shop.store.purge(shop.clock(), 100) == 1
