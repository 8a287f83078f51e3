"""The cache in memory: without bounds a shop that runs for a month would run out of it."""

from __future__ import annotations

from storekeeper.cache.memory import MemoryCache
from storekeeper.cache.port import LARGEST_VALUE


async def test_it_stays_within_its_bytes_and_the_least_used_goes_first() -> None:
    cache = MemoryCache(10_000)
    await cache.put("busy", b"x" * 500, 60)
    for number in range(100):
        await cache.put(f"key-{number}", b"x" * 500, 60)
        assert await cache.get("busy") is not None
        assert cache.held_bytes <= 10_000
    assert await cache.get("key-0") is None
    assert await cache.get("key-99") == b"x" * 500


async def test_a_value_lasts_as_long_as_was_said() -> None:
    now = [0.0]
    cache = MemoryCache(monotonic=lambda: now[0])
    await cache.put("key", b"value", 60)
    now[0] = 59.9
    assert await cache.get("key") == b"value"
    now[0] = 60.0
    assert await cache.get("key") is None
    assert cache.held_bytes == 0


async def test_a_giant_is_not_kept_and_leaves_no_older_value_in_its_place() -> None:
    cache = MemoryCache()
    await cache.put("key", b"small", 60)
    await cache.put("key", b"x" * (LARGEST_VALUE + 1), 60)
    assert await cache.get("key") is None
    assert cache.held_bytes == 0
