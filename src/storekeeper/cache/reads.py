"""Answers of the store, remembered as long as nothing has changed that they tell of.

An answer is kept with the store's moment before it was read. It is given out again only where
this node knows of no later change of anything in it (`Store.touched`): so it is what this node's
own store would say, or newer, however it came here. Nothing has to be sent when something changes,
and a cache that was away, or has come back with old values, makes no answer wrong.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec

from storekeeper.cache.port import LARGEST_VALUE, Cache, Count, What, not_counted
from storekeeper.domain.errors import ShopError
from storekeeper.store.port import Store, Topic

T = TypeVar("T")
# What an answer tells of; None where it can't be said, so that it isn't kept.
Concerns = Callable[[T], Sequence[tuple[Topic, str]] | None]
LASTS_S: Final = 60.0
# Nearer than this to its end, an answer is read anew by somebody, the likelier the nearer; so it
# doesn't end for everybody at once.
EARLY_S: Final = 10.0
# Answers on their way into a far cache; more are not sent.
MOST_SENDING: Final = 64


class Kept(NamedTuple, Generic[T]):
    """An answer, the moment before it was read, and until when it is kept (POSIX seconds)."""

    moment: int
    until: float
    value: T


class Reads(Generic[T]):
    """One kind of answer. `near` is this process's cache, `far` the one shared with other nodes.

    Each key is asked of the store by one task at a time; the others wait for its answer.
    """

    def __init__(
        self,
        what: What,
        kind: type[T],
        concerns: Concerns[T],
        *,
        store: Store,
        clock: Callable[[], datetime],
        near: Cache | None = None,
        far: Cache | None = None,
        count: Count = not_counted,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._what: What = what
        self._concerns = concerns
        self._store = store
        self._clock = clock
        self._near = near
        self._far = far
        self._count = count
        self._draw = draw
        self._encode = msgspec.msgpack.Encoder().encode
        # An array of three, strictly: anything else was not written by this version.
        self._decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(
            tuple[int, float, kind]  # type: ignore[valid-type]
        ).decode
        self._flights: dict[str, asyncio.Task[Kept[T]]] = {}
        self._sending: set[asyncio.Task[None]] = set()

    async def read(self, key: str, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer to what `ask` asks the store, remembered under `key`; raises what it does."""
        if self._store.moment() is None:
            return await ask()
        key = f"{self._what}:{key}"
        if self._near is not None:
            kept = self._opened(await self._near.get(key))
            if kept is not None and self._is_good(kept) and not self._is_ending(kept):
                self._count(self._what, "near")
                return kept.value
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.create_task(self._fetch(key, ask), name="cached read")
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._landed(key, done))
            return (await asyncio.shield(flight)).value
        # It began before this was asked for, so it may have missed what was committed since.
        try:
            kept = await asyncio.shield(flight)
        except ShopError:
            return await ask()
        return kept.value if self._is_good(kept) else await ask()

    async def settle(self) -> None:
        """Returns when nothing is on its way into the far cache."""
        while self._sending:
            await asyncio.wait(self._sending)

    async def _fetch(self, key: str, ask: Callable[[], Awaitable[T]]) -> Kept[T]:
        if self._far is not None:
            raw = await self._far.get(key)
            kept = self._opened(raw)
            if kept is not None and self._is_good(kept) and not self._is_ending(kept):
                self._count(self._what, "far")
                if self._near is not None and raw is not None:
                    await self._near.put(key, raw, self._left(kept))
                return kept
            self._count(self._what, "miss" if raw is None else "stale")
        else:
            self._count(self._what, "miss")
        # Taken before the store is asked: a change in between makes the answer good for nobody.
        moment = self._store.moment()
        value = await ask()
        if moment is None:
            return Kept(-1, 0.0, value)
        kept = Kept(moment, self._clock().timestamp() + LASTS_S, value)
        if self._concerns(value) is not None:
            await self._keep(key, self._encode(kept))
        return kept

    async def _keep(self, key: str, raw: bytes) -> None:
        if len(raw) > LARGEST_VALUE:
            return
        if self._near is not None:
            await self._near.put(key, raw, LASTS_S)
        if self._far is not None and len(self._sending) < MOST_SENDING:
            sending = asyncio.create_task(self._far.put(key, raw, LASTS_S), name="into the cache")
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)

    def _opened(self, raw: bytes | None) -> Kept[T] | None:
        if raw is None:
            return None
        try:
            return Kept(*self._decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def _is_good(self, kept: Kept[T]) -> bool:
        concerns = self._concerns(kept.value)
        if concerns is None or self._store.moment() is None:
            return False
        touched, moment = self._store.touched, kept.moment
        return all(touched(topic, key) <= moment for topic, key in concerns)

    def _is_ending(self, kept: Kept[T]) -> bool:
        return self._left(kept) <= EARLY_S * self._draw()

    def _left(self, kept: Kept[T]) -> float:
        return kept.until - self._clock().timestamp()

    def _landed(self, key: str, flight: asyncio.Task[Kept[T]]) -> None:
        self._flights.pop(key, None)
        if not flight.cancelled():
            flight.exception()  # whoever asked may have gone
