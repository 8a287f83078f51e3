"""The cache in this process's memory: bounded in bytes, least recently used goes first."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from storekeeper.cache.port import LARGEST_VALUE

# What an entry takes beside its key and value, roughly.
_ENTRY_BYTES = 200


class MemoryCache:
    """At most `bytes_` of keys and values."""

    def __init__(
        self, bytes_: int = 16_777_216, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = bytes_
        self._now = monotonic
        self._held = 0
        self._kept: OrderedDict[str, tuple[bytes, float]] = OrderedDict()

    @property
    def held_bytes(self) -> int:
        return self._held

    async def get(self, key: str) -> bytes | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept[1] <= self._now():
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return kept[0]

    async def put(self, key: str, value: bytes, seconds: float) -> None:
        self._drop(key)
        if len(value) > LARGEST_VALUE:
            return
        self._kept[key] = (value, self._now() + seconds)
        self._held += _size(key, value)
        while self._held > self._most:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: str) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._held -= _size(key, kept[0])


def _size(key: str, value: bytes) -> int:
    return len(key) + len(value) + _ENTRY_BYTES
