"""Failed tries are counted durably, by address and by client, and make the next one wait."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta

from storekeeper.domain.accounts import (
    FREE_ATTEMPTS,
    FREE_CLIENT_ATTEMPTS,
    Attempts,
    delay_after,
    normal_email,
)
from storekeeper.domain.changes import ChangeSet, Delete, Put
from storekeeper.domain.errors import TooManyRequests
from storekeeper.domain.types import Struct
from storekeeper.identity.addresses import client_network
from storekeeper.services.base import Tools, with_fresh_reads

# Long beside the longest delay: waiting in between buys no second helping of free tries.
FORGOTTEN_AFTER = timedelta(days=1)
MOST_WAITING = 64


class Subject(Struct, frozen=True, kw_only=True):
    """Whose failures are counted, by a hash; `free` of them cost no time."""

    id: str
    free: int


def by_address(what: str, email: str) -> Subject:
    return Subject(id=_hash(what, "address", normal_email(email)), free=FREE_ATTEMPTS)


def by_client(what: str, address: str) -> Subject:
    return Subject(id=_hash(what, "client", client_network(address)), free=FREE_CLIENT_ATTEMPTS)


class Throttle:
    """Counts in the store, so that a restart or another process forgets nothing."""

    def __init__(self, tools: Tools) -> None:
        self._store = tools.store
        self._clock = tools.clock
        self._turns: dict[str, tuple[asyncio.Lock, list[None]]] = {}

    @asynccontextmanager
    async def turn(self, *subjects: Subject) -> AsyncIterator[None]:
        """One try of each subject at a time: guesses sent side by side are counted one by one.

        The address comes before the client, everywhere. Raises `TooManyRequests` when very many
        wait already.
        """
        async with AsyncExitStack() as turns:
            for subject in subjects:
                await turns.enter_async_context(self._turn_of(subject))
            yield

    @asynccontextmanager
    async def _turn_of(self, subject: Subject) -> AsyncIterator[None]:
        lock, waiting = self._turns.setdefault(subject.id, (asyncio.Lock(), []))
        if len(waiting) >= MOST_WAITING:
            raise TooManyRequests("too many tries at once; wait a second", retry_after=1)
        waiting.append(None)
        try:
            async with lock:
                yield
        finally:
            waiting.pop()
            if not waiting:
                self._turns.pop(subject.id, None)

    async def check(self, *subjects: Subject) -> None:
        """Raises `TooManyRequests` while one of them has to wait."""
        now = self._clock()
        kept = await self._read(now, subjects)
        wait = max(
            ((attempts.next_at - now).total_seconds() for attempts in kept.values()), default=0
        )
        if wait > 0:
            seconds = math.ceil(wait)
            raise TooManyRequests(
                f"too many failed tries; wait {seconds} s and try again", retry_after=seconds
            )

    async def failed(self, *subjects: Subject) -> None:
        """Counts one more failure of each."""

        async def attempt() -> None:
            now = self._clock()
            kept = await self._store.get_many(Attempts, [subject.id for subject in subjects])
            puts = []
            for subject in subjects:
                before = kept.get(subject.id)
                failures = _count(before, now) + 1
                puts.append(_put(subject, failures, before, now))
            await self._store.commit(ChangeSet(puts=tuple(puts)))

        await with_fresh_reads(attempt)

    async def succeeded(self, who: Subject, where: Subject | None = None) -> None:
        """Forgets the failures of `who`, and takes those off `where` they came from.

        The client's others stay: having one account buys nobody free tries on the rest.
        """

        async def attempt() -> None:
            now = self._clock()
            ids = [subject.id for subject in (who, where) if subject is not None]
            kept = await self._store.get_many(Attempts, ids)
            mine = kept.get(who.id)
            if mine is None:
                return
            change = ChangeSet(deletes=(Delete("Attempts", mine.id, mine.version),))
            theirs = kept.get(where.id) if where is not None else None
            if where is not None and theirs is not None:
                left = max(0, _count(theirs, now) - _count(mine, now))
                change += ChangeSet(puts=(_put(where, left, theirs, now),))
            await self._store.commit(change)

        await with_fresh_reads(attempt)

    async def _read(self, now: datetime, subjects: tuple[Subject, ...]) -> dict[str, Attempts]:
        kept = await self._store.get_many(Attempts, [subject.id for subject in subjects])
        return {id: attempts for id, attempts in kept.items() if attempts.expires_at > now}


def _count(attempts: Attempts | None, now: datetime) -> int:
    return attempts.failures if attempts is not None and attempts.expires_at > now else 0


def _put(subject: Subject, failures: int, before: Attempts | None, now: datetime) -> Put:
    return Put(
        Attempts(
            id=subject.id,
            version=1 if before is None else before.version + 1,
            failures=failures,
            next_at=now + timedelta(seconds=delay_after(failures, subject.free)),
            expires_at=now + FORGOTTEN_AFTER,
        )
    )


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "replace")).hexdigest()
