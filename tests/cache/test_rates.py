"""One budget for all nodes: or a client has as many budgets as there are nodes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from storekeeper.cache import valkey
from storekeeper.cache.rates import MemoryRates, SharedRates, Taken
from storekeeper.cache.valkey import Link, ValkeyBudgets
from tests.cache.server import Line, told, url_of
from tools.engines.launch import Running

NAMESPACE = "storekeeper:shop:1:"


@asynccontextmanager
async def rates(
    server: Running | Line, per_minute: int, monotonic: Callable[[], float] = time.monotonic
) -> AsyncIterator[SharedRates]:
    link = Link(url_of(server))
    await link.start()
    budgets = ValkeyBudgets(link, namespace=NAMESPACE, per_minute=per_minute)
    try:
        yield SharedRates(per_minute, budgets, MemoryRates(per_minute), monotonic=monotonic)
    finally:
        await link.close()


async def take(limiter: SharedRates, who: str = "ada") -> Taken:
    taken = limiter.take(who)
    if isinstance(taken, Awaitable):
        taken = await taken
    assert taken is not None
    return taken


async def let_through(limiter: SharedRates, asked: int, who: str = "ada") -> int:
    answers = await asyncio.gather(*(take(limiter, who) for _ in range(asked)))
    return sum(remaining >= 0 for _, remaining, _ in answers)


@pytest.mark.parametrize("per_minute", [6, 600])
async def test_all_nodes_together_let_through_what_one_would(
    server: Running, per_minute: int
) -> None:
    async with rates(server, per_minute) as first, rates(server, per_minute) as second:
        began = time.monotonic()
        through = 0
        for _ in range(4):
            through += sum(
                await asyncio.gather(
                    let_through(first, per_minute), let_through(second, per_minute)
                )
            )
        refilled = (time.monotonic() - began) * per_minute / 60
        # What a node had leased and not used is at most a share of a hundred each.
        assert per_minute - 2 * (per_minute // 100) <= through <= per_minute + refilled + 1
        assert (await take(second))[1] == -1


async def test_one_clients_haste_is_not_anothers_trouble(server: Running) -> None:
    async with rates(server, 5) as limiter:
        assert await let_through(limiter, 10, "ada") == 5
        assert await let_through(limiter, 10, "bob") == 5


async def test_whoever_is_refused_hears_when_to_come_back(server: Running) -> None:
    async with rates(server, 6) as limiter:
        assert [(await take(limiter))[1] for _ in range(6)] == [5, 4, 3, 2, 1, 0]
        limit, remaining, seconds = await take(limiter)
        assert (limit, remaining) == (6, -1)
        assert 1 <= seconds <= 10


async def test_most_requests_ask_nobody(server: Running) -> None:
    async with rates(server, 1_200, monotonic=lambda: 0.0) as limiter:
        asked = 0
        for _ in range(100):
            taken = limiter.take("ada")
            if isinstance(taken, Awaitable):
                asked += 1
                await taken
        assert asked == 9


async def test_what_is_kept_of_a_client_ends_by_itself_and_names_nobody(server: Running) -> None:
    async with rates(server, 60) as limiter:
        await take(limiter, "192.0.2.7")
    there = told(server)
    (key,) = there.keys()
    assert b"192.0.2.7" not in key
    assert 0 < there.pttl(key) <= 61_000


@pytest.mark.parametrize(
    "lie",
    [
        {"tokens": "many", "at": "0"},
        {"tokens": "-5", "at": "0"},
        {"tokens": "inf", "at": "0"},
        {"tokens": "nan", "at": "nan"},
        {"tokens": "1e308", "at": "0"},
        {"tokens": "0", "at": "9e15"},
        {"tokens": "3"},
        "a text",
    ],
)
async def test_a_lie_about_a_budget_begins_it_anew(server: Running, lie: Any) -> None:
    async with rates(server, 5) as limiter:
        await take(limiter)
        there = told(server)
        (key,) = there.keys()
        there.delete(key)
        if isinstance(lie, str):
            there.set(key, lie)
        else:
            there.hset(key, mapping=lie)
        async with rates(server, 5) as other:
            assert await let_through(other, 20) == 5


@pytest.mark.usefixtures("impatience")
async def test_without_the_server_each_process_counts_for_itself(server: Running) -> None:
    async with Line(server.port).open() as line, rates(line, 5) as limiter:
        assert await let_through(limiter, 3) == 3
        line.mode = "hang"
        asked_before = line.asked
        for _ in range(valkey.MOST_LATE):
            await take(limiter, "bob")
        assert await let_through(limiter, 20) == 5
        for _ in range(200):
            assert isinstance(limiter.take("ada"), tuple)
        assert line.asked - asked_before <= 2 * valkey.MOST_LATE


async def test_a_shop_without_a_limit_asks_nobody(server: Running) -> None:
    link = Link(url_of(server))
    limiter = SharedRates(0, ValkeyBudgets(link, namespace=NAMESPACE, per_minute=0), MemoryRates(0))
    assert limiter.take("ada") is None
