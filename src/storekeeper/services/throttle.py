"""Failed tries are counted durably, by address and by client, and make the next one wait."""

from __future__ import annotations

import asyncio
import hmac
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta

import msgspec

from storekeeper.cache.port import Cache
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
from storekeeper.identity.tokens import Keys
from storekeeper.services.base import Tools, with_fresh_reads

# Long beside the longest delay: waiting in between buys no second helping of free tries.
FORGOTTEN_AFTER = timedelta(days=1)
MOST_WAITING = 64
# A success elsewhere may take a wait back; so long, at most, does a node not know of it.
REMEMBERED_S = 5.0
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(datetime).decode


class Subject(Struct, frozen=True, kw_only=True):
    """Whose failures are counted, by a keyed hash; `free` of them cost no time."""

    id: str
    free: int


class Throttle:
    """Counts in the store, so that a restart or another process forgets nothing.

    `waits` remembers who was told to wait, for a few seconds and for all nodes, so that a flood of
    guesses doesn't become one of questions. It can only make somebody wait: one that forgets, or
    is down, lets nobody guess.
    """

    def __init__(self, tools: Tools, secrets: Sequence[bytes], waits: Cache | None = None) -> None:
        # A new secret begins the counts anew; whoever has a copy of them alone can try no guess.
        self._key = Keys(secrets, "failed-tries").newest.value
        self._waits = waits
        self._store = tools.store
        self._clock = tools.clock
        self._turns: dict[str, tuple[asyncio.Lock, list[None]]] = {}

    def by_address(self, what: str, email: str) -> Subject:
        return Subject(id=self._hash(what, "address", normal_email(email)), free=FREE_ATTEMPTS)

    def by_client(self, what: str, address: str) -> Subject:
        where = client_network(address)
        return Subject(id=self._hash(what, "client", where), free=FREE_CLIENT_ATTEMPTS)

    def _hash(self, *parts: str) -> str:
        text = "\n".join(parts).encode("utf-8", "replace")
        return hmac.digest(self._key, text, "sha256").hex()

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
        for subject in subjects:
            known = await self._told_before(subject)
            if known is not None and known > now:
                raise _wait(known - now)
        kept = await self._read(now, subjects)
        for id, attempts in kept.items():
            if attempts.next_at > now and self._waits is not None:
                lasts = min(REMEMBERED_S, (attempts.next_at - now).total_seconds())
                await self._waits.put(f"wait:{id}", _encode(attempts.next_at), lasts)
        wait = max((attempts.next_at - now for attempts in kept.values()), default=timedelta())
        if wait > timedelta():
            raise _wait(wait)

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

    async def _told_before(self, subject: Subject) -> datetime | None:
        raw = None if self._waits is None else await self._waits.get(f"wait:{subject.id}")
        if raw is None:
            return None
        try:
            return _decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

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


def _wait(time: timedelta) -> TooManyRequests:
    seconds = math.ceil(time.total_seconds())
    return TooManyRequests(
        f"too many failed tries; wait {seconds} s and try again", retry_after=seconds
    )
