"""The shared cache on a real server: what is there may be anything; what is believed may not."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from storekeeper.cache.port import LARGEST_VALUE
from storekeeper.cache.valkey import Link, ValkeyCache
from tests.cache.server import told, url_of
from tools.engines.launch import Running

SECRET = b"the shop's secret key"


class Node:
    """A link, a cache over it, and the troubles that were counted."""

    def __init__(self, url: str, namespace: str, secret: bytes) -> None:
        self.troubles: Counter[str] = Counter()
        self.link = Link(url, count=lambda trouble: self.troubles.update([trouble]))
        self.cache = ValkeyCache(self.link, namespace=namespace, secret=secret)


@asynccontextmanager
async def node(
    server: Running, namespace: str = "shop:1:", secret: bytes = SECRET
) -> AsyncIterator[Node]:
    found = Node(url_of(server), namespace, secret)
    await found.link.start()
    try:
        yield found
    finally:
        await found.link.close()


async def test_what_one_node_keeps_another_reads(server: Running) -> None:
    async with node(server) as first, node(server) as second:
        await first.cache.put("product:1", b"\x00value\xff", 60)
        assert await second.cache.get("product:1") == b"\x00value\xff"
        assert await second.cache.get("product:2") is None
        assert not second.troubles


async def test_shops_and_versions_share_a_server_without_seeing_each_other(server: Running) -> None:
    async with (
        node(server) as first,
        node(server, "shop:2:") as newer,
        node(server, secret=b"another shop's secret") as other,
    ):
        await first.cache.put("product:1", b"value", 60)
        assert await newer.cache.get("product:1") is None
        assert await other.cache.get("product:1") is None
        assert other.troubles == {"garbage": 1}


async def test_everything_there_ends_by_itself(server: Running) -> None:
    async with node(server) as first:
        for number in range(20):
            await first.cache.put(f"product:{number}", b"value", 60)
    keys = told(server).keys()
    assert len(keys) == 20
    assert all(0 < told(server).pttl(key) <= 60_000 for key in keys)


async def test_a_giant_is_not_sent(server: Running) -> None:
    async with node(server) as first:
        await first.cache.put("page:1", b"x" * (LARGEST_VALUE + 1), 60)
        assert told(server).keys() == []
        assert first.troubles == {"too_large": 1}


@pytest.mark.parametrize(
    "lie",
    ["unsealed", "flipped", "truncated", "longer", "empty", "of another key", "enormous"],
)
async def test_a_lie_is_a_miss(server: Running, lie: str) -> None:
    """Whoever can write to the cache must not be able to name prices or roles."""
    async with node(server) as first:
        await first.cache.put("product:1", b"the truth", 60)
        await first.cache.put("product:2", b"another truth", 60)
        there = told(server)
        good = there.get("shop:1:product:1")
        assert isinstance(good, bytes)
        there.set(
            "shop:1:product:1",
            {
                "unsealed": b"the truth",
                "flipped": good[:-1] + bytes([good[-1] ^ 1]),
                "truncated": good[:-1],
                "longer": good + b" and more",
                "empty": b"",
                "of another key": there.get("shop:1:product:2"),
                "enormous": b"x" * 1_000_000,
            }[lie],
        )
        assert await first.cache.get("product:1") is None
        assert first.troubles == {"garbage": 1}
        assert await first.cache.get("product:2") == b"another truth"
        await first.cache.put("product:1", b"the truth", 60)
        assert await first.cache.get("product:1") == b"the truth"


async def test_a_key_of_another_type_is_a_miss(server: Running) -> None:
    async with node(server) as first:
        told(server).rpush("shop:1:product:1", "a", "b")
        assert await first.cache.get("product:1") is None
        assert first.troubles == {"refused": 1}
        assert first.link.is_up


async def test_answers_are_not_mixed_up_when_some_are_given_up(server: Running) -> None:
    """A connection whose answer nobody waited for must not give it to the next question."""
    async with node(server) as first:
        for number in range(40):
            await first.cache.put(f"product:{number}", b"%d" % number, 60)

        async def ask(number: int) -> bytes | None:
            return await first.cache.get(f"product:{number}")

        for _ in range(20):
            asked = [asyncio.create_task(ask(number)) for number in range(40)]
            await asyncio.sleep(0)
            for task in asked[::3]:
                task.cancel()
            answers = await asyncio.gather(*asked, return_exceptions=True)
            for number, answer in enumerate(answers):
                assert answer == b"%d" % number or isinstance(answer, asyncio.CancelledError)
        assert not first.troubles
