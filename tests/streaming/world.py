"""A small file with the sender beside it, and a target at which anything may happen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import apsw

from storekeeper.domain.errors import StoreUnavailable
from storekeeper.store.sqlite.schema import APPLICATION_ID
from storekeeper.store.sqlite.streaming import sender
from storekeeper.store.sqlite.streaming.folder import Folder
from storekeeper.store.sqlite.streaming.plan import Plan
from storekeeper.store.sqlite.streaming.rebuilding import Rebuilt, rebuild
from storekeeper.store.sqlite.streaming.sender import Sender
from storekeeper.store.sqlite.streaming.target import Unusable
from tests.support.clock import Clock

sender.FIRST_REST_S = 0.005
PATIENCE_S = 20.0
# Small, so that logs end and segments part after a few writes.
PLAN = Plan(pace_s=0.001, segment_bytes=3 * 4_200, restart_frames=20)
Content = list[tuple[Any, ...]]


class Killed(BaseException):
    """The process that streams is no more."""


class Perilous(Folder):
    """A folder whose next calls may fail. `kill_in`: it ends the process at that call, before or after
    it is done; `away`: so many calls find nobody there; `refused`: why all calls are."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.kill_in: int | None = None
        self.kill_after = False
        self.away = 0
        self.refused = ""

    async def _do(self, work: Callable[[], Any], place: Path | None = None) -> Any:
        if self.refused:
            raise Unusable(self.refused)
        if self.away:
            self.away -= 1
            raise StoreUnavailable("the target is away")
        is_last = self.kill_in == 0
        if self.kill_in is not None:
            self.kill_in = None if is_last else self.kill_in - 1
        if is_last and not self.kill_after:
            raise Killed
        done = await super()._do(work, place)
        if is_last:
            raise Killed
        return done


class World:
    """`database` has one table; `shop` is the connection that writes to it."""

    def __init__(self, folder: Path, plan: Plan = PLAN) -> None:
        self.plan = plan
        self.database = folder / "shop.db"
        self.clock = Clock()
        (folder / "target").mkdir(exist_ok=True)
        self.target = Perilous(folder / "target")
        self._rebuilt = folder / "rebuilt.db"
        self.acknowledged: dict[datetime, Content] = {}
        self.starts = 0
        self._sender: Sender | None = None
        self._task: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        with contextlib.closing(apsw.Connection(str(self.database))) as made:
            made.pragma("application_id", APPLICATION_ID)
            made.execute("CREATE TABLE entry (number INTEGER PRIMARY KEY, text)")
        self.shop = self.opened()

    def opened(self) -> apsw.Connection:
        connection = apsw.Connection(str(self.database))
        connection.set_busy_timeout(5_000)
        connection.pragma("journal_mode", "wal")
        connection.pragma("secure_delete", True)
        # So that a large transaction is in the -wal before it is committed.
        connection.pragma("cache_size", 5)
        connection.wal_autocheckpoint(30)
        return connection

    def reopen(self) -> None:
        """As a shop that ends and starts: the last to close puts the -wal into the file."""
        self.shop.close()
        self.shop = self.opened()

    def write(self, transactions: int = 1, rows: int = 1, size: int = 100) -> None:
        for _ in range(transactions):
            with self.shop:
                self._insert(rows, size)
                # Never the newest: SQLite would give its number again, and the rows stay as they are.
                self.shop.execute(
                    "DELETE FROM entry WHERE number % 7 = 3"
                    " AND number < (SELECT max(number) FROM entry)"
                )

    def give_up_writing(self, rows: int) -> None:
        self.shop.execute("BEGIN")
        self._insert(rows, 3_000)
        self.shop.execute("ROLLBACK")

    def _insert(self, rows: int, size: int) -> None:
        for _ in range(rows):
            self.shop.execute("INSERT INTO entry (text) VALUES (hex(randomblob(?)))", (size // 2,))

    def checkpoint(self, mode: int) -> None:
        """By another program, which waits for nobody."""
        with (
            contextlib.closing(apsw.Connection(str(self.database))) as other,
            contextlib.suppress(apsw.BusyError),
        ):
            other.wal_checkpoint(mode=mode)

    async def acknowledge(self) -> None:
        """Waits until all that is committed is said to be safe, and notes what that is."""
        self.clock.advance(milliseconds=1)
        await self._until_safe()
        self.acknowledged[self.clock()] = content(self.database)
        # What comes later is taken later.
        self.clock.advance(milliseconds=1)
        await self._until_safe()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await asyncio.sleep(0.001)

    @property
    def objects(self) -> list[Path]:
        """The parts of the log, in order."""
        return sorted(self.target._path.glob("logs/*/*/*.gz"))

    @property
    def snapshots(self) -> list[Path]:
        return sorted(self.target._path.glob("snapshots/*"))

    @property
    def generations(self) -> set[str]:
        return {path.name for path in self.target._path.glob("logs/*")}

    async def ended(self) -> BaseException | None:
        """Why the process ended by itself."""
        assert self._task is not None
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait([self._task])
        error, self._task = self._task.exception(), None
        return error

    async def _until_safe(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while (self.safe_until or self.clock() - timedelta(1)) < self.clock():
                if self._task is None or self._task.done():
                    self.start()
                await asyncio.sleep(0.001)

    @property
    def safe_until(self) -> datetime | None:
        if self._sender is None or self._task is None or self._task.done():
            return None
        return self._sender._state.safe_until if self._sender._can_restore else None

    def start(self) -> None:
        """A new process, after one that has ended or was killed."""
        if self._task is not None and self._task.done() and not self._task.cancelled():
            error = self._task.exception()
            if error is not None and not isinstance(error, Killed):
                raise error
        self.starts += 1
        self._stop = asyncio.Event()
        self._sender = Sender(self.database, self.target, clock=self.clock, plan=self.plan)
        self._task = asyncio.create_task(self._sender.run(self._stop))

    def end(self) -> None:
        """Tells the process to end."""
        self._stop.set()

    async def stop(self) -> None:
        if self._task is None:
            return
        self.end()
        await asyncio.wait([self._task])
        error = self._task.exception()
        self._task = None
        if error is not None and not isinstance(error, Killed):
            raise error

    async def restored(self, at: datetime | None = None) -> tuple[Rebuilt, Content]:
        self._rebuilt.unlink(missing_ok=True)
        return await self.restored_to(self._rebuilt, at), content(self._rebuilt)

    async def restored_to(self, place: Path, at: datetime | None = None) -> Rebuilt:
        place.touch()
        return await rebuild(Folder(self.target._path), place, at=at)


@contextlib.asynccontextmanager
async def a_world(folder: Path, plan: Plan = PLAN) -> AsyncIterator[World]:
    world = World(folder, plan)
    try:
        yield world
    finally:
        await world.stop()
        world.shop.close()


def content(database: Path) -> Content:
    """All rows, of a file that SQLite finds sound."""
    with contextlib.closing(apsw.Connection(str(database))) as connection:
        assert connection.pragma("integrity_check") == "ok"
        return list(connection.execute("SELECT * FROM entry"))
