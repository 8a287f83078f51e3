"""Passwords as argon2id hashes, made off the event loop, few at once; never kept or logged."""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from storekeeper.domain.errors import Overloaded, WeakPassword

T = TypeVar("T")
MIN_LENGTH = 10
MAX_LENGTH = 1_000
FEWEST_DIFFERENT = 4
# A common word stays one with so many digits and signs around it.
SHORTEST_WORD = 4
MOST_AROUND = 5
_AROUND = re.compile(r"^[\W\d_]+|[\W\d_]+$")
# OWASP Password Storage Cheat Sheet, argon2id: 19 MiB of memory, two passes, one lane.
MEMORY_KIB = 19 * 1_024
PASSES = 2
LANES = 1


class Passwords:
    """Makes and checks hashes: `at_once` in parallel, at most `waiting` behind them.

    `verifications` counts the checks, so that a test can hold that an unknown address costs as
    much work as a wrong password.
    """

    def __init__(
        self,
        *,
        at_once: int = 2,
        waiting: int = 128,
        memory_kib: int = MEMORY_KIB,
        passes: int = PASSES,
    ) -> None:
        self._hasher = PasswordHasher(
            time_cost=passes, memory_cost=memory_kib, parallelism=LANES, hash_len=32, salt_len=16
        )
        self._nobody = _unmatchable(memory_kib, passes)
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="storekeeper-passwords")
        self._capacity = at_once + waiting
        self._pending = 0
        self.verifications = 0

    async def hash_new(
        self, password: str, *, field: str = "password", about: tuple[str, ...]
    ) -> str:
        """The hash of a new password; `about` is what others know of its owner (address, name).

        Raises `WeakPassword` for one that is easy to guess, `Overloaded`.
        """

        def work() -> str:
            normal = _normal(password)
            _check_strength(normal, field, about)
            return self._hasher.hash(normal)

        return await self._run(work)

    async def rehash(self, password: str) -> str:
        """The hash of a password that was good before, under the parameters of now."""
        return await self._run(lambda: self._hasher.hash(_normal(password)))

    async def matches(self, password_hash: str, password: str) -> bool:
        """Whether the password is the one; an empty hash (nobody's) takes the same work."""

        def work() -> bool:
            try:
                self._hasher.verify(password_hash or self._nobody, _normal(password))
            except (VerificationError, InvalidHashError):
                return False
            return bool(password_hash)

        self.verifications += 1
        return await self._run(work)

    def needs_rehash(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters than those of now."""
        return self._hasher.check_needs_rehash(password_hash)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._pending >= self._capacity:
            raise Overloaded("too many people log in at once; try again shortly", retry_after=2)
        future = self._pool.submit(work)
        self._pending += 1
        loop = asyncio.get_running_loop()
        # Counted until the work has ended: a caller that gave up leaves it running.
        future.add_done_callback(lambda _: _tell(loop, self._done))
        return await asyncio.wrap_future(future)

    def _done(self) -> None:
        self._pending -= 1


def _tell(loop: asyncio.AbstractEventLoop, done: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(done)


def _normal(password: str) -> str:
    """One form for what looks the same, whatever the keyboard sent (NIST SP 800-63B, 3.1.1.2).

    A lone surrogate is no character and can't be encoded; it becomes a question mark.
    """
    return unicodedata.normalize("NFKC", password).encode("utf-8", "replace").decode()


def _check_strength(password: str, field: str, about: tuple[str, ...]) -> None:
    """Raises `WeakPassword` unless the password is long enough and no guesser's first try."""
    if len(password) < MIN_LENGTH:
        raise WeakPassword(f"a password has at least {MIN_LENGTH} characters", field=field)
    if len(password) > MAX_LENGTH:
        raise WeakPassword(f"a password has at most {MAX_LENGTH} characters", field=field)
    folded = password.casefold()
    if _is_common(folded) or _is_a_run(folded) or len(set(folded)) < FEWEST_DIFFERENT:
        raise WeakPassword("this password is one of the most common; choose another", field=field)
    told = {word for text in about for word in (text.casefold(), text.casefold().split("@")[0])}
    if folded.strip() in told:
        raise WeakPassword("a password isn't your own name or address", field=field)


def _is_common(folded: str) -> bool:
    """Whether it is on the list, or is a word of it with a few digits and signs around it, as people
    make one long enough (`Password123!`)."""
    core = _AROUND.sub("", folded)
    is_dressed = len(core) >= SHORTEST_WORD and len(folded) - len(core) <= MOST_AROUND
    common = common_passwords()
    return folded in common or (is_dressed and core in common)


def _is_a_run(folded: str) -> bool:
    """Whether each sign is the next one of the alphabet or of the digits, up or down."""
    steps = {ord(after) - ord(before) for before, after in pairwise(folded)}
    return steps <= {1, -9} or steps <= {-1, 9}


@lru_cache(maxsize=1)
def common_passwords() -> frozenset[str]:
    """The most common passwords, and words that are a password by themselves.

    Read on first use, in the pool: it takes some 40 ms that the start doesn't need.
    """
    from zxcvbn.frequency_lists import FREQUENCY_LISTS

    listed: list[str] = FREQUENCY_LISTS["passwords"]
    words: list[str] = FREQUENCY_LISTS["english_wikipedia"]
    found = {word.casefold() for word in listed if len(word) >= SHORTEST_WORD}
    # Shorter ones can't be a password, and with more around them they say little.
    return frozenset(found | {word for word in words if len(word) >= MIN_LENGTH})


def _unmatchable(memory_kib: int, passes: int) -> str:
    """A hash that no password has, under the same parameters; made without hashing."""

    def text(size: int) -> str:
        return base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=")

    return f"$argon2id$v=19$m={memory_kib},t={passes},p={LANES}${text(16)}${text(32)}"
