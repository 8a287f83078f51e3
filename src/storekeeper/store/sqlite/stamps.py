"""Counters in shared memory that tell the caches of every process when to look again.

A counter is raised before and after the commit that it tells of, by the process that holds the
write lock. So what a cache read between the two is looked up once more, and a reader that finds
a counter unchanged has what the last commit left.

Beside each counter stands a **moment**: which commit changed it last, in numbers that all who
follow the same commits count alike. An odd one is a commit under way. What was read at moment M
is still good where nothing that it tells of has a later moment, whoever read it.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import secrets
import zlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

_SLOTS = 8_192
_TOPICS = {"accounts": 0, "catalog": 1, "stock": 2}
_COUNTER_BYTES = 8
_COUNTERS = len(_TOPICS) * _SLOTS
# Behind the counters, in the same order, the moments; then the file's own number, and the last
# moment that is over.
_NUMBER = 2 * _COUNTERS
_OVER = _NUMBER + 1


class Stamps:
    """A file of counters beside the database; several keys may share one.

    `identity` names the file: another one, or a copy, has another.
    """

    def __init__(self, path: Path) -> None:
        size = (_OVER + 1) * _COUNTER_BYTES
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _reserve(descriptor, size)
            self._memory = mmap.mmap(descriptor, size)
            self._counters = memoryview(self._memory).cast("Q")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not self._counters[_NUMBER]:
                self._counters[_NUMBER] = secrets.randbits(63) | 1
            # The mapping holds the file open, so closing the descriptor wouldn't let go of it.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            kept = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        name = f"{self._counters[_NUMBER]}:{kept.st_dev}:{kept.st_ino}"
        self.identity = hashlib.sha256(name.encode()).hexdigest()[:16]

    def read(self, topic: str, key: str) -> int:
        return self._counters[_slot(topic, key)]

    def touched(self, topic: str, key: str) -> int:
        """The moment of the last change that may concern the key."""
        return self._counters[_COUNTERS + _slot(topic, key)]

    @property
    def moment(self) -> int:
        """The last moment that is over: what is read after asking for it holds all until then."""
        return self._counters[_OVER]

    @staticmethod
    def slots(touched: Iterable[tuple[str, str]]) -> set[int]:
        """Where the counters of (topic, key) pairs are."""
        return {_slot(topic, key) for topic, key in touched}

    def bump(self, slots: Iterable[int], moment: int) -> None:
        """Raises counters; only under the write lock."""
        counters = self._counters
        for slot in slots:
            counters[slot] += 1
            counters[_COUNTERS + slot] = moment

    def reach(self, moment: int) -> None:
        """Says that a moment is over, after what it changed was bumped."""
        self._counters[_OVER] = moment

    def bump_all(self, moment: int) -> None:
        """Lets every cache look again; only under the write lock.

        Done at each start: the process that was here before may have been killed between a commit
        and the bump that tells of it.
        """
        for slot in range(_COUNTERS):
            self._counters[slot] += 1
            self._counters[_COUNTERS + slot] = moment
        self.reach(moment)

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


@lru_cache(maxsize=8_192)
def _slot(topic: str, key: str) -> int:
    return _TOPICS[topic] * _SLOTS + zlib.crc32(key.encode()) % _SLOTS
