"""How many requests the shop answers in a day, and how many of them with a fault of its own.

Each process counts for itself and adds what is new to the day's record, which all share, every few
minutes and at its end. What a killed process hadn't added yet is lost: at most some minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import NamedTuple

import structlog

from storekeeper.domain.changes import ChangeSet, Put, Stale
from storekeeper.domain.errors import Conflict
from storekeeper.domain.work import Traffic
from storekeeper.services.base import Tools, with_fresh_reads
from storekeeper.telemetry.outage import AWAY, Outage

log = structlog.get_logger(__name__)
EVERY_S = 300.0
# Two of the longest ranges that are offered, for one is compared with the one before it.
KEPT = timedelta(days=800)
# As long as a shop that stops may wait for it.
LONGEST_S = 3.0


class Answers(NamedTuple):
    """Counted since a process began."""

    requests: int
    faults: int


class Day(NamedTuple):
    """A day in UTC and what was counted in it."""

    day: date
    requests: int
    faults: int


class TrafficCounts:
    """`answers()` is what this process has counted. An idle process writes nothing."""

    def __init__(
        self, tools: Tools, answers: Callable[[], Answers], *, every_seconds: float = EVERY_S
    ) -> None:
        self._store = tools.store
        self._clock = tools.clock
        self._answers = answers
        self._every_seconds = every_seconds
        self._added = Answers(0, 0)
        # What was sent last while it isn't known whether it arrived, and up to where it counted.
        self._sent: tuple[Traffic, Answers] | None = None
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._outage = Outage(log, "counting requests")

    def start(self) -> None:
        self._running = asyncio.create_task(self._run(), name="traffic")

    async def stop(self) -> None:
        """Adds what is left, if the store takes it soon."""
        self._stopping.set()
        if self._running is not None:
            await self._running
            self._running = None

    async def add(self) -> None:
        """Adds what is new to today's record. Raises what the store raises; what didn't arrive is
        added the next time."""
        await with_fresh_reads(self._add)

    async def days(self, first: date, before: date) -> list[Day]:
        """What is known of the days from `first` to before `before`, in order."""
        oldest = (self._clock() - KEPT).date()
        first, end = max(first, oldest), min(before, self._clock().date() + timedelta(days=1))
        ids = [
            (first + timedelta(days=count)).isoformat()
            for count in range(max(0, (end - first).days))
        ]
        found = await self._store.get_many(Traffic, ids)
        return [
            Day(date.fromisoformat(id), found[id].requests, found[id].faults)
            for id in ids
            if id in found
        ]

    async def _add(self) -> None:
        if self._sent is not None:
            record, counted = self._sent
            if await self._store.get(Traffic, record.id) == record:
                self._added = counted
            self._sent = None
        now = self._answers()
        if now.requests == self._added.requests:
            return
        at = self._clock()
        kept = await self._store.get(Traffic, at.date().isoformat())
        record = _grown(
            kept, at, now.requests - self._added.requests, now.faults - self._added.faults
        )
        self._sent = (record, now)
        try:
            await self._store.commit(ChangeSet(puts=(Put(record),)))
        except Stale:
            self._sent = None
            raise
        self._added, self._sent = now, None

    async def _run(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._every_seconds)
            await self._try()

    async def _try(self) -> None:
        try:
            async with asyncio.timeout(LONGEST_S):
                await self.add()
            self._outage.ends()
        except (*AWAY, Conflict, TimeoutError) as error:
            self._outage.begins(str(error) or "no answer in time")
        except Exception as error:
            log.error("requests can't be counted", exc_info=error)


def _grown(kept: Traffic | None, at: datetime, requests: int, faults: int) -> Traffic:
    """The day's record with some more."""
    return Traffic(
        id=at.date().isoformat(),
        version=1 if kept is None else kept.version + 1,
        requests=requests + (0 if kept is None else kept.requests),
        faults=faults + (0 if kept is None else kept.faults),
        expires_at=at + KEPT,
    )
