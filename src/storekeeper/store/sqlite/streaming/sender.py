"""The process that streams: takes what is committed, has it proven, sends it, keeps house there.

A few segments at most are in memory. While the target is away it is tried again and again, and what is
committed meanwhile stays in the -wal. Once that is too long it is let go, and a new generation begins
with a new snapshot as soon as the target is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gzip
import random
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog

from storekeeper.domain.errors import AlreadyExists, NotFound, StoreUnavailable
from storekeeper.store.sqlite import schema
from storekeeper.store.sqlite.backup import locked
from storekeeper.store.sqlite.connect import BUSY_MS, told_clearly
from storekeeper.store.sqlite.streaming import state
from storekeeper.store.sqlite.streaming.listing import (
    last_segment,
    owner_and_tag,
    remove_old,
    snapshots,
)
from storekeeper.store.sqlite.streaming.names import OWNER, Segment
from storekeeper.store.sqlite.streaming.plan import Plan
from storekeeper.store.sqlite.streaming.snapshot import make_snapshot, to_its_end
from storekeeper.store.sqlite.streaming.state import Owner, State
from storekeeper.store.sqlite.streaming.tail import Tail, Taken
from storekeeper.store.sqlite.streaming.target import Target, Unusable
from storekeeper.store.sqlite.streaming.trial import Trial
from storekeeper.store.sqlite.streaming.wal import Broken
from storekeeper.store.sqlite.temporary import temporary

log = structlog.get_logger(__name__)
R = TypeVar("R")
# More effort makes it little smaller, and takes the time of the machine's other half.
LEVEL = 1
# How often the target hears from an idle shop.
SEEN_S = 60.0
# A machine that was seen so lately is one that runs.
ALIVE = timedelta(minutes=5)
HEED_S = 0.5
FIRST_REST_S = 0.5
LONGEST_REST_S = 30.0
# How often an idle shop's state is written.
STATE_S = 10.0
# After a snapshot that couldn't be made.
SNAPSHOT_REST = timedelta(minutes=1)


class _Stopped(Exception):
    """The process is to end."""


class Sender:
    """Streams `database` to `target` until `stop` is set, then sends what is left.

    Raises `NotFound` without a database, `AlreadyExists` where another is streamed to the target
    (unless `take_over`) or this one is already, `Unusable` where the target can't be used at all.
    """

    def __init__(
        self,
        database: Path,
        target: Target,
        *,
        clock: Callable[[], datetime],
        plan: Plan,
        take_over: bool = False,
    ) -> None:
        self._database = database
        self._target = target
        self._clock = clock
        self._plan = plan
        self._take_over = take_over
        self._stop = asyncio.Event()
        self._run = secrets.token_hex(8)
        self._state = State(database=state.new_identity())
        self._written_at = self._seen_at = float("-inf")
        self._snapshot_due: datetime | None = None
        self._can_restore = False
        self._is_abandoned = False
        self._is_running = False
        self._notes_due = 0
        self._tail: Tail | None = None
        self._most_bytes = plan.wal_bytes
        # Whose the target was when it was last looked at.
        self._owner = ""

    async def run(self, stop: asyncio.Event) -> None:
        self._stop = stop
        if not self._database.is_file():
            raise NotFound(f"there is no shop at {self._database}")
        replacing = "is being restored; wait until that has ended"
        with (
            state.alone(self._database),
            locked(self._database, fcntl.LOCK_SH, replacing),
            told_clearly(self._database),
            contextlib.suppress(_Stopped),
            contextlib.ExitStack() as stack,
        ):
            schema.require_ours(self._database, BUSY_MS)
            heeding = asyncio.create_task(self._heed())
            stack.callback(heeding.cancel)
            resumed = await self._claim()
            while True:
                try:
                    return await self._stream(resumed)
                except Broken as reason:
                    log.warning("continuous backup begins anew", reason=str(reason))
                    resumed = None
                await self._rest(self._plan.pace_s)

    async def _heed(self) -> None:
        """Stops for those who want to replace the file."""
        while not await asyncio.to_thread(state.is_to_end, self._database):
            await asyncio.sleep(HEED_S)
        log.info("continuous backup ends for a restore")
        self._stop.set()

    async def _claim(self) -> Segment | None:
        """Makes the target ours; answers where the stream of the last process ended, if it did."""
        self._state = state.read(self._database) or self._state
        # A backup that never gets going has an age, too.
        self._note(since=self._state.safe_until or self._state.since or self._clock())
        owner, _ = await self._try(lambda: owner_and_tag(self._target))
        if owner is not None and not self._take_over:
            self._require_ours(owner)
        self._owner = owner.run if owner else ""
        known = self._state
        resumed = None
        if owner is not None and (owner.database, owner.generation, self._target.name) == (
            known.database,
            known.generation,
            known.target,
        ):
            resumed = await self._try(
                lambda: last_segment(self._target, known.generation, known.log)
            )
        if resumed is None:
            is_known = owner is not None and owner.database == known.database
            self._note(
                target=self._target.name,
                generation="",
                log=0,
                # The generation before can be restored until there is a snapshot of the next.
                safe_until=owner.safe_until if owner and is_known else None,
            )
        return resumed

    def _require_ours(self, owner: Owner) -> None:
        if owner.database != self._state.database:
            raise AlreadyExists(
                f"{self._target.name} holds the backup of another shop's file, of {owner.host}, "
                f"last seen {owner.seen:%Y-%m-%d %H:%M:%S} UTC; name another target, or say "
                "--take-over if that one has ended for good"
            )
        is_alive = not owner.has_ended and self._clock() - owner.seen < ALIVE
        if is_alive and owner.host != socket.gethostname():
            raise AlreadyExists(
                f"{owner.host} streams a copy of this file to {self._target.name}; end that one, or "
                "name another target"
            )

    async def _stream(self, resumed: Segment | None) -> None:
        """One generation to its end, which is that of the process."""
        generation = (
            resumed.log.generation
            if resumed
            else f"{self._clock():%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        )
        # Nothing is held before the target takes something.
        self._is_running = False
        self._note(generation=generation, log=resumed.log.number if resumed else 0)
        # The parts up to here are there; that one is missing later on must be seen.
        await self._tell(*((resumed.log.number, resumed.last) if resumed else (0, 0)))
        tail = self._tail = await asyncio.to_thread(self._open, generation)
        keeping: asyncio.Task[None] | None = None
        try:
            # What is in it already doesn't go away by beginning anew.
            self._most_bytes = self._plan.wal_bytes + await asyncio.to_thread(tail.log_bytes)
            with Trial() as trial:
                if resumed is not None and not await asyncio.to_thread(tail.resume, resumed):
                    raise Broken("the -wal doesn't go on where the backup ends")
                await self._find_snapshot(generation)
                self._is_running = True
                log.info("continuous backup runs", target=self._target.name, generation=generation)
                while True:
                    is_last = self._stop.is_set()
                    at = await self._send_new(tail, trial)
                    keeping = await self._keep_house(keeping, tail, trial, generation)
                    await self._tell_if_due(tail, at, is_last=is_last)
                    if is_last:
                        return
                    await self._rest(self._plan.pace_s)
        finally:
            if keeping is not None:
                self._is_abandoned = True
                keeping.cancel()
                await asyncio.wait([keeping])
                self._is_abandoned = False
            self._tail = None
            await asyncio.to_thread(tail.close)

    def _open(self, generation: str) -> Tail:
        return Tail(
            self._database,
            generation,
            clock=self._clock,
            segment_bytes=self._plan.segment_bytes,
            restart_frames=self._plan.restart_frames,
        )

    async def _send_new(self, tail: Tail, trial: Trial) -> datetime:
        """Sends all that is committed; answers a moment by which it was."""
        while True:
            at = self._clock()
            taken = await asyncio.to_thread(tail.take)
            if taken is not None:
                await self._send(taken, trial)
                await self._require_short(tail)
            if tail.is_long:
                await self._begin_anew(tail, trial)
            if taken is None or taken.segment.is_all:
                return at

    async def _send(self, taken: Taken, trial: Trial) -> None:
        def packed() -> bytes:
            trial.prove(taken, self._database)
            return gzip.compress(taken.data, LEVEL, mtime=0)

        data = await asyncio.to_thread(packed)
        key = taken.segment.key
        await self._try(lambda: self._target.write(key, data))
        # With this look, which began before the last commit maybe, and with the next.
        self._notes_due = 2

    async def _find_snapshot(self, generation: str) -> None:
        found = await self._try(lambda: snapshots(self._target))
        ours = [one for one in found if one.generation == generation]
        self._can_restore = bool(ours)
        self._snapshot_due = ours[-1].at + self._plan.snapshot_every if ours else None

    async def _begin_anew(self, tail: Tail, trial: Trial) -> None:
        for left in await asyncio.to_thread(tail.begin_anew):
            await self._send(left, trial)

    async def _keep_house(
        self, keeping: asyncio.Task[None] | None, tail: Tail, trial: Trial, generation: str
    ) -> asyncio.Task[None] | None:
        """Makes a snapshot when it is time, beside the stream."""
        if keeping is not None and keeping.done():
            keeping.result()
            keeping = None
        is_due = self._snapshot_due is None or self._clock() >= self._snapshot_due
        if keeping is None and is_due and not self._stop.is_set():
            # A log that ends here is no longer needed once older snapshots aren't, however little is
            # written to it; it may hold what somebody had removed.
            if tail.can_begin_anew:
                await self._begin_anew(tail, trial)
            keeping = asyncio.create_task(self._snapshot(tail, generation))
        return keeping

    async def _snapshot(self, tail: Tail, generation: str) -> None:
        try:
            with (
                temporary(Path(f"{self._database}-snapshot")) as copy,
                temporary(Path(f"{self._database}-snapshot")) as packed,
            ):
                made = await to_its_end(
                    make_snapshot,
                    self._database,
                    tail,
                    generation,
                    copy=copy,
                    packed=packed,
                    clock=self._clock,
                    go_on=self._go_on,
                )
                size = packed.stat().st_size
                await self._try(lambda: self._target.upload(made.key, packed))
            self._can_restore = True
            self._notes_due = 1
            self._snapshot_due = made.at + self._plan.snapshot_every
            log.info("snapshot sent", target=self._target.name, bytes=size)
        except _Stopped:
            return
        except StoreUnavailable as error:
            log.warning("no snapshot could be made", reason=error.detail)
            self._snapshot_due = self._clock() + SNAPSHOT_REST
            return
        await self._remove_old(generation)

    async def _remove_old(self, generation: str) -> None:
        """What can't be removed costs room, and no backup; some may be forbidden to."""
        try:
            removed = await remove_old(self._target, self._clock() - self._plan.kept, generation)
        except StoreUnavailable as error:
            log.warning("old backup can't be removed", reason=error.detail)
        else:
            if removed:
                log.info("old backup removed", target=self._target.name, objects=removed)

    def _go_on(self) -> None:
        if self._stop.is_set() or self._is_abandoned:
            raise _Stopped

    async def _tell_if_due(self, tail: Tail, at: datetime, *, is_last: bool) -> None:
        number, frame = await asyncio.to_thread(tail.taken)
        if self._can_restore:
            self._state = msgspec.structs.replace(self._state, safe_until=at, log=number)
        if is_last or self._notes_due or time.monotonic() - self._written_at >= STATE_S:
            self._notes_due = max(0, self._notes_due - 1)
            self._note()
        if is_last or time.monotonic() - self._seen_at >= SEEN_S:
            await self._tell(number, frame, has_ended=is_last)

    async def _tell(self, number: int, frame: int, *, has_ended: bool = False) -> None:
        """Says at the target that this one lives; raises `AlreadyExists` where another does."""
        mine = Owner(
            database=self._state.database,
            run=self._run,
            host=socket.gethostname(),
            generation=self._state.generation,
            log=number,
            frame=frame,
            seen=self._clock(),
            safe_until=self._state.safe_until,
            has_ended=has_ended,
        )

        async def tell() -> None:
            owner, tag = await owner_and_tag(self._target)
            if owner is not None and owner.run not in (self._owner, self._run):
                raise AlreadyExists(
                    f"{owner.host} has taken over {self._target.name}; end one of the two"
                )
            await self._target.replace(OWNER, msgspec.json.encode(mine), tag)

        await self._try(tell)
        self._owner = self._run
        self._seen_at = time.monotonic()

    def _note(self, **changes: Any) -> None:
        self._state = msgspec.structs.replace(self._state, **changes)
        state.write(self._database, self._state)
        self._written_at = time.monotonic()

    async def _try(self, work: Callable[[], Awaitable[R]]) -> R:
        """Does it until it is done, however long the target is away. The -wal can't begin anew
        meanwhile, so raises `Broken` when it becomes too long."""
        rest = FIRST_REST_S
        while True:
            try:
                done = await work()
            except StoreUnavailable as error:
                # At the start it is a slip that somebody sees; later on rights may come back.
                if isinstance(error, Unusable) and not self._is_running:
                    raise
                if not self._state.trouble:
                    log.warning("continuous backup waits for its target", reason=error.detail)
                    self._note(trouble=error.detail)
                if self._tail is not None:
                    await self._require_short(self._tail)
                # Waits in other orders than another that was cut off at the same time.
                await self._rest(rest * random.uniform(0.7, 1.0))  # noqa: S311
                self._go_on()
                rest = min(LONGEST_REST_S, rest * 2)
            else:
                if self._state.trouble:
                    log.info("continuous backup goes on", target=self._target.name)
                    self._note(trouble="")
                return done

    async def _require_short(self, tail: Tail) -> None:
        size = await asyncio.to_thread(tail.log_bytes)
        if size > self._most_bytes:
            raise Broken(f"the -wal has grown to {size:,} bytes, faster than it can be sent")

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)
