"""Counters in shared memory that tell the caches of every process when to look again.

A counter is raised before and after the commit that it tells of, by the process that holds the
write lock. So what a cache read between the two is looked up once more, and a reader that finds
a counter unchanged has what the last commit left.
"""

from __future__ import annotations

import mmap
import os
import zlib
from functools import lru_cache
from pathlib import Path

_SLOTS = 8_192
_TOPICS = {"accounts": 0, "catalog": 1}
_COUNTER_BYTES = 8


class Stamps:
    """A file of counters beside the database; several keys may share one."""

    def __init__(self, path: Path) -> None:
        size = len(_TOPICS) * _SLOTS * _COUNTER_BYTES
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _reserve(descriptor, size)
            self._memory = mmap.mmap(descriptor, size)
            self._counters = memoryview(self._memory).cast("Q")
        finally:
            os.close(descriptor)

    def read(self, topic: str, key: str) -> int:
        return self._counters[_slot(topic, key)]

    def bump(self, touched: set[tuple[str, str]]) -> None:
        """Raises the counters of (topic, key) pairs; only under the write lock."""
        for slot in {_slot(topic, key) for topic, key in touched}:
            self._counters[slot] += 1

    def bump_all(self) -> None:
        """Lets every cache look again; only under the write lock.

        Done at each start: the process that was here before may have been killed between a commit
        and the bump that tells of it.
        """
        for slot in range(len(self._counters)):
            self._counters[slot] += 1

    def close(self) -> None:
        self._counters.release()
        self._memory.close()


def _reserve(descriptor: int, size: int) -> None:
    """Makes the file that long. Its room is taken now where the system can: writing into a hole
    of a mapped file when the disk has become full ends the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    elif os.fstat(descriptor).st_size < size:
        os.ftruncate(descriptor, size)


@lru_cache(maxsize=4_096)
def _slot(topic: str, key: str) -> int:
    return _TOPICS[topic] * _SLOTS + zlib.crc32(key.encode()) % _SLOTS
