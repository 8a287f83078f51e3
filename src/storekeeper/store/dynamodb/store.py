"""The store past one machine: a replica of the shop on each node, and one log in DynamoDB.

Questions are answered by the replica, by the same code as on one machine. What depends on the
newest state first asks the log whether there is more, once for a request and once for all who ask
at the same time; the catalogue's pages only do if nobody has for `FOLLOW_S`, and wait no longer
than that. A node that nobody asks looks every `IDLE_S`, and looks again before it trusts what it
remembers. Commits are entries of the log (`store.dynamodb.log`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import structlog

from storekeeper.domain.changes import ChangeSet
from storekeeper.domain.errors import Overloaded, StoreUnavailable
from storekeeper.domain.work import Lease
from storekeeper.store import asking
from storekeeper.store.bucket import Place
from storekeeper.store.dynamodb.checking import Checker
from storekeeper.store.dynamodb.entries import Copied, Entry
from storekeeper.store.dynamodb.erasing import Eraser
from storekeeper.store.dynamodb.follower import PARTIAL, Follower
from storekeeper.store.dynamodb.leases import Leases
from storekeeper.store.dynamodb.log import Log
from storekeeper.store.dynamodb.remote import Remote, too_fast
from storekeeper.store.dynamodb.snapshots import Snapshots
from storekeeper.store.dynamodb.views import Views
from storekeeper.store.port import Loop, StoreFacts, Topic, ViewDifference
from storekeeper.store.sqlite.connect import BUSY_MS
from storekeeper.store.sqlite.reader import Reader
from storekeeper.store.sqlite.stamps import Stamps
from storekeeper.store.sqlite.store import SqliteStore
from storekeeper.store.sqlite.writer import Writer
from storekeeper.telemetry.outage import AWAY, Outage

R = TypeVar("R")
logger = structlog.get_logger(__name__)
# The longest that a change made on another node stays unseen in the catalogue.
FOLLOW_S = 0.25
# The longest rest between looks that fail.
LONGEST_REST_S = 4.0
# The longest that a request waits to know what is new: for a look that is under way, and its own.
LONGEST_WAIT_S = 3.5
# A node that couldn't look for so long doesn't trust what it remembers of accounts and prices.
TRUSTED_S = 3.0
# Each look costs a read unit, so a node that nobody asks rests so long between two.
IDLE_S = 2.0


class DynamoStore(SqliteStore):
    """A shop in the tables of `prefix`, with its replica in the file `path`.

    Raises `StoreUnavailable` where the tables or the way to them aren't as they must be.
    """

    def __init__(
        self,
        path: Path,
        *,
        remote: Remote,
        prefix: str,
        log_id: str,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
        batch: int = 256,
        capacity: int = 4_096,
        readers: int = 2,
        busy_ms: int = BUSY_MS,
    ) -> None:
        self._remote = remote
        self._log = Log(remote, prefix)
        self._log_id = log_id
        self._leases = Leases(remote, prefix)
        self._views: Views | None = None
        self._eraser: Eraser | None = None
        self._beside: Remote | None = None
        self._snapshots: Snapshots | None = None
        self._prefix = prefix
        self._clock = clock
        self._next_look: asyncio.Future[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._looked_at = 0.0
        # When DynamoDB last answered a look, which may be one of many to the log's end.
        self._heard_at = 0.0
        self._opened_at = time.monotonic()
        # Counts down, so that it never meets a real stamp.
        self._mistrust = itertools.count(-1, -1)
        self._wanted = asyncio.Event()
        self._is_resting = False
        self._closing = False
        self._following: asyncio.Task[None] | None = None
        try:
            super().__init__(
                path,
                clock=clock,
                new_id=new_id,
                batch=batch,
                capacity=capacity,
                readers=readers,
                busy_ms=busy_ms,
            )
        except BaseException:
            remote.close()
            raise

    def _make_writer(
        self,
        path: Path,
        stamps: Stamps,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
        busy_ms: int,
    ) -> Writer:
        self._follower = Follower(path, stamps, clock, new_id, log=self._log, log_id=self._log_id)
        return self._follower

    async def ask(
        self,
        question: Callable[[Reader], R],
        *,
        search: bool = False,
        long: bool = False,
        fresh: bool = True,
    ) -> R:
        if fresh:
            await self._be_fresh()
        elif self._age() > FOLLOW_S:
            await self._glance()
        return await super().ask(question, search=search, long=long, fresh=fresh)

    async def commit(self, change: ChangeSet) -> None:
        started = time.monotonic()
        await super().commit(change)
        # Its number was the next one, so nothing was missing; unless the replica couldn't keep it.
        self._looked_at = 0.0 if self._follower.lacks_own else max(self._looked_at, started)

    async def lease(self, id: str) -> Lease | None:
        await self._see()
        return await self._leases.get(id)

    async def hold(self, lease: Lease) -> bool:
        await self._see()
        return await self._leases.hold(lease)

    def stamp(self, topic: Topic, key: str) -> int:
        """Of changes on this node at once; of others' when it has looked at the log. A node that
        couldn't look for `TRUSTED_S`, or rested until now, answers another number each time:
        nothing that it remembers may be trusted before it has looked."""
        self._wanted.set()
        if self._age() > (FOLLOW_S if self._is_resting else TRUSTED_S):
            return next(self._mistrust)
        return super().stamp(topic, key)

    @property
    def identity(self) -> str:
        """That of the log, which all nodes follow."""
        return hashlib.sha256(self._log_id.encode()).hexdigest()[:16]

    def moment(self) -> int | None:
        if time.monotonic() - self._looked_at > TRUSTED_S:
            return None
        return super().moment()

    async def catch_up(self) -> None:
        """Returns when the replica holds all that was in the log when this was called."""
        if self._closing:
            raise StoreUnavailable("the shop is shutting down")
        loop = asyncio.get_running_loop()
        if self._following is None:
            self._following = loop.create_task(self._follow(), name="following the log")
        if self._next_look is None:
            self._next_look = loop.create_future()
            if self._looking is None:
                self._looking = loop.create_task(self._look(), name="looking at the log")
        await asyncio.shield(self._next_look)

    def lag(self) -> float:
        return time.monotonic() - max(self._looked_at, self._opened_at)

    async def purge(self, now: datetime, limit: int) -> int:
        return await super().purge(now, limit) + await self._log.sweep(limit)

    def keep_views(self) -> None:
        """Lets this node keep the tables for other programs, when it is its turn."""
        remote = self._remote_beside()
        self._views = Views(remote, self._prefix, Log(remote, self._prefix), self)

    def keep_erased(self) -> None:
        """Lets this node erase personal data of deleted accounts in the log, when it is its turn."""
        self._eraser = Eraser(self._remote_beside(), self._prefix, self, self._clock)

    def keep_snapshots(self, place: Place, *, every: int) -> None:
        """Lets this node put snapshots of its replica into a bucket, when it is its turn."""
        self._snapshots = Snapshots(
            place,
            self._prefix,
            path=self.path,
            log_id=self._log_id,
            every=every,
            followed=lambda: self.followed,
            erased=self._erased_up_to,
        )

    def _remote_beside(self) -> Remote:
        """For the work beside requests: throttling that it meets must not slow the log down."""
        if self._beside is None:
            self._beside = self._remote.sibling()
        return self._beside

    async def _erased_up_to(self) -> int:
        return await self._eraser.erased_up_to() if self._eraser is not None else 0

    @property
    def followed(self) -> int:
        """The last entry of the log that the replica holds."""
        return self._follower.seq

    def loops(self) -> dict[str, Loop]:
        keepers = {"views": self._views, "snapshots": self._snapshots, "erasure": self._eraser}
        return {name: keeper.run for name, keeper in keepers.items() if keeper is not None}

    async def gauges(self) -> dict[str, float]:
        found: dict[str, float] = {}
        if self._views is not None:
            found["storekeeper_views_lag_entries"] = await self._views.lag()
        if self._eraser is not None:
            found["storekeeper_erasure_waiting_accounts"] = await self._eraser.waiting()
        return found

    async def facts(self) -> StoreFacts:
        replica = await super().facts()
        return StoreFacts(
            kind="DynamoDB",
            place=f"{self._prefix}*",
            file_bytes=replica.file_bytes,
            entries=self.followed,
        )

    async def verify_views(self) -> list[ViewDifference]:
        if self._views is None or self._beside is None:
            return []
        return await Checker(self._beside, self._prefix, self, self._views).differences()

    async def check_writable(self) -> None:
        await self.catch_up()
        await super().check_writable()

    async def close(self) -> None:
        self._closing = True
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])
        if self._looking is not None:
            await asyncio.wait([self._looking])
        await super().close()
        for remote in (self._beside, self._remote):
            if remote is not None:
                await asyncio.to_thread(remote.close)

    async def _see(self) -> None:
        """Raises where the log can't be followed. A node that did hold a lease then could do
        nothing, and would keep others from doing it."""
        if self._closing or self._age() > TRUSTED_S:
            await self.catch_up()

    def _age(self) -> float:
        """Seconds since the last look at the log that went well."""
        return time.monotonic() - self._looked_at

    async def _be_fresh(self) -> None:
        """Returns when the replica holds all that was in the log when the request began, or, outside
        of requests, when this was called."""
        began = asking.began()
        if began is None:
            await self.catch_up()
        elif self._looked_at <= began:
            asked_at = time.monotonic()
            try:
                async with asyncio.timeout(LONGEST_WAIT_S):
                    await self.catch_up()
            except TimeoutError:
                raise self._why_old(asked_at) from None

    def _why_old(self, asked_at: float) -> Overloaded | StoreUnavailable:
        """What keeps the replica from the log's end: too much to do here or there, or nobody who
        answers, for which a client has nothing to hold back."""
        if self._heard_at >= asked_at:
            return Overloaded(
                "this node doesn't get to the end of the log; try again shortly", retry_after=1
            )
        if self._remote.is_throttled(asked_at):
            return too_fast()
        return StoreUnavailable(f"DynamoDB didn't answer in {LONGEST_WAIT_S:g} s")

    async def _glance(self) -> None:
        """A look for a page that may be old: it waits for it, but not for long."""
        self._wanted.set()
        try:
            async with asyncio.timeout(FOLLOW_S):
                await self.catch_up()
        except (TimeoutError, StoreUnavailable, Overloaded) as error:
            logger.debug("a page is as old as the last look", reason=str(error))

    async def _follow(self) -> None:
        """Keeps the replica near the end of the log, whether anybody asks or not."""
        rest = FOLLOW_S
        outage = Outage(logger, "following the log")
        while not self._closing:
            await self._rest(rest)
            try:
                if self._age() > FOLLOW_S:
                    await self.catch_up()
                rest = FOLLOW_S
                outage.ends()
            except AWAY as error:
                # What DynamoDB still takes is left to those who wait for it.
                rest = min(LONGEST_REST_S, rest * 2)
                outage.begins(error.detail)
            self._is_resting = False

    async def _rest(self, shortest: float) -> None:
        """`shortest` while pages and memories are asked for; while they aren't, until `IDLE_S`
        after the last look, whoever took it."""
        self._wanted.clear()
        await asyncio.sleep(shortest)
        self._is_resting = not self._wanted.is_set()
        while not self._wanted.is_set() and (left := IDLE_S - self._age()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._wanted.wait()

    async def _look(self) -> None:
        """One look after the other while somebody waits; each serves all who asked before it."""
        while (waiting := self._next_look) is not None:
            self._next_look = None
            try:
                started = time.monotonic()
                await self._look_once()
                self._looked_at = started
            except Exception as error:
                waiting.set_exception(error)
                waiting.exception()  # who asked may have gone
            else:
                waiting.set_result(None)
        self._looking = None

    async def _look_once(self) -> None:
        is_all = False
        while not is_all:
            entries, is_all = await self._log.fetch(self._follower.seq)
            self._heard_at = time.monotonic()
            if entries:
                await self._write_lane.ask(_application(self._follower, entries))
        if self._follower.is_partial:
            raise StoreUnavailable(PARTIAL)


def _application(follower: Follower, found: Sequence[Entry | Copied]) -> Callable[[], None]:
    def apply() -> None:
        follower.apply(found)

    return apply
