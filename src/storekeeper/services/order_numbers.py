"""Order numbers: short, unguessable, and easy to read aloud."""

from __future__ import annotations

import os

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)


class RandomBytes:
    """Bytes of the system's random source, fetched many at a time: one call costs 25 us."""

    def __init__(self, size: int = 4_096) -> None:
        self._size = size
        self._pool = b""
        self._at = 0
        self._owner = 0

    def take(self, count: int) -> bytes:
        # After a fork two processes would hold the same pool.
        if self._at + count > len(self._pool) or self._owner != os.getpid():
            self._pool, self._at, self._owner = os.urandom(self._size), 0, os.getpid()
        taken = self._pool[self._at : self._at + count]
        self._at += count
        return taken


_random = RandomBytes()


def new_number() -> str:
    """A short number that can't be guessed and reads well: Crockford's base 32, 50 random bits."""
    value = int.from_bytes(_random.take(7), "big")
    return (
        f"{_PAIRS[value & 1023]}{_PAIRS[value >> 10 & 1023]}{_ALPHABET[value >> 20 & 31]}-"
        f"{_ALPHABET[value >> 25 & 31]}{_PAIRS[value >> 30 & 1023]}{_PAIRS[value >> 40 & 1023]}"
    )


def normal_number(text: str) -> str:
    """The number that somebody meant who typed O for 0, I or L for 1, or left out the dash."""
    found = text.strip().upper().translate(str.maketrans("OIL", "011", " -"))
    return f"{found[:5]}-{found[5:]}"
