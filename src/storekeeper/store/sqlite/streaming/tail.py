"""Reads what is committed from the -wal while the shop writes it, and never misses a frame.

SQLite begins the log anew (at the file's start, over old frames) once all of it is in the database
and nobody reads from it. So one connection here always has a read transaction open; the next is begun
before the last one ends. There are two states:

- it was begun while frames were missing in the database: the log can't begin anew while it lasts;
- it was begun when none were missing (`_whole`): SQLite gives it the lock under which the log can
  begin anew, but under which nothing can be checkpointed either, so it can do so once. All of the
  first log is taken by then, and the second stays until it is.

How many frames are committed is asked of SQLite (by a checkpoint that does nothing), not read from
the file: what a killed process has left there was never committed and will be written over.

Other programs may break this; then the salts of two logs don't follow each other and `Broken` is
raised. Neither the database nor its -shm may be opened here but by SQLite: closing them would take
away its locks, which are the process's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import apsw

from storekeeper.domain.types import Struct
from storekeeper.store.sqlite.connect import BUSY_MS
from storekeeper.store.sqlite.rows import scalar
from storekeeper.store.sqlite.streaming.names import Log, Segment
from storekeeper.store.sqlite.streaming.wal import (
    Broken,
    Header,
    examined,
    header_of,
    read_frames,
    wal_of,
)

SEGMENT_BYTES = 4 * 2**20
# The writer checkpoints by itself at 4,000, which costs its customers time; here it costs nobody any.
RESTART_FRAMES = 2_000
# How long the writer is held off at most for readers that still need older frames.
PATIENCE_S = 0.02
# How much is read at most while the writer is held off.
MOST_AT_ONCE = 4
_MOST_LOOKS = 1_000


class Taken(Struct, frozen=True, kw_only=True):
    """A segment with its bytes, which for the first of a log begin with the log's header."""

    segment: Segment
    header: Header
    frames: bytes

    @property
    def data(self) -> bytes:
        return self.header.raw + self.frames if self.segment.first == 1 else self.frames


class Tail:
    """Of one database, for one generation. Methods may be called from any thread."""

    def __init__(
        self,
        database: Path,
        generation: str,
        *,
        clock: Callable[[], datetime],
        segment_bytes: int = SEGMENT_BYTES,
        restart_frames: int = RESTART_FRAMES,
    ) -> None:
        self._database = database
        self._generation = generation
        self._clock = clock
        self._segment_bytes = segment_bytes
        self._restart_frames = restart_frames
        self._lock = threading.RLock()
        self._log = Log(generation=generation, number=0, salts="0" * 16, before=0)
        self._header: Header | None = None
        self._done = self._behind = 0
        # Frames when the open transaction was begun, or a few more.
        self._mark = 0
        self._whole: int | None = None
        self._retry_at = 0
        with contextlib.ExitStack() as stack:
            self._turn = os.open(f"{database}-turn", os.O_RDWR | os.O_CREAT, 0o600)
            stack.callback(os.close, self._turn)
            self._checkpointer = stack.enter_context(contextlib.closing(_connect(database)))
            self._holding = stack.enter_context(contextlib.closing(_connect(database)))
            self._next = stack.enter_context(contextlib.closing(_connect(database)))
            # SQLite has made the file by now, and doesn't take it away while somebody reads.
            self._wal = os.open(wal_of(database), os.O_RDONLY)
            stack.callback(os.close, self._wal)
            self._begin()
            self._close = stack.pop_all().close

    def close(self) -> None:
        """Lets the log begin anew."""
        with self._lock:
            self._close()

    def resume(self, last: Segment) -> bool:
        """Goes on after a segment that was sent before; False where the log isn't that one, or the
        frame in its place another."""
        with self._lock:
            header, frames, _ = self._look_twice()
            if header is None or header.salts != last.log.salts or frames < last.last:
                return False
            found = examined(read_frames(self._wal, header, last.last, last.last), header)
            if found.checksum != last.checksum:
                return False
            self._log, self._done = last.log, last.last
            if self._whole != self._done:
                self._whole = None
            return True

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Nothing is committed or taken meanwhile; keep it short."""
        with self._lock, self._own_turn():
            yield

    def where(self) -> tuple[int, int]:
        """The log and how many of its frames are committed."""
        with self._lock:
            # The look may be what finds that another log has begun.
            frames = self._look()
            return self._log.number, frames

    def log_bytes(self) -> int:
        """How much of the file the current log takes; the file itself never becomes smaller."""
        with self._lock:
            frames = self._look()
            return self._header.offset(frames + 1) if self._header else 0

    def taken(self) -> tuple[int, int]:
        """The log and how many of its frames were taken."""
        with self._lock:
            return self._log.number, self._done

    def take(self) -> Taken | None:
        """The next frames; None when all that was committed is taken."""
        with self._lock:
            return self._take()

    @property
    def can_begin_anew(self) -> bool:
        """Whether there is something to put into the database, and little that isn't taken yet."""
        if self._whole is not None or self._header is None or not self._done:
            return False
        return self._behind * self._header.frame_bytes <= self._segment_bytes * MOST_AT_ONCE // 2

    @property
    def is_long(self) -> bool:
        """Whether the log ought to begin anew, and can."""
        enough = max(self._restart_frames, self._retry_at)
        return self._done >= enough and self.can_begin_anew

    def begin_anew(self) -> list[Taken]:
        """Puts the log into the database, so that the next write begins a new one; answers what was
        left to take. Writers who are too fast and readers who still need it make it try again
        later."""
        with self._lock:
            # Most of the work, while the writer goes on. A transaction that is begun when all is in
            # the database would let the log go, which needs more frames than there were at its mark.
            if self._look() > self._mark:
                self._swap()
            self._checkpoint()
            with self._own_turn():
                taken: list[Taken] = []
                while len(taken) < MOST_AT_ONCE and (one := self._take()) is not None:
                    taken.append(one)
                if self._look() == self._done:
                    self._swap()
                    self._end_log()
            self._retry_at = self._done + self._restart_frames // 4
            return taken

    def _begin(self) -> None:
        for _ in range(_MOST_LOOKS):
            before = header_of(self._wal)
            _begin_reading(self._holding)
            header, frames, in_database = self._look_twice()
            if header == before:
                self._header = header
                if header is not None:
                    self._log = Log(
                        generation=self._generation, number=0, salts=header.salts, before=0
                    )
                self._whole = frames if frames == in_database else None
                self._mark = frames
                return
            self._holding.execute("ROLLBACK")
        raise Broken("the -wal begins anew all the time")

    def _swap(self) -> None:
        _begin_reading(self._next)
        self._holding.execute("ROLLBACK")
        self._holding, self._next = self._next, self._holding
        self._mark = self._counts()[0]

    def _end_log(self) -> None:
        """With all frames taken and no writer at work."""
        until = time.monotonic() + PATIENCE_S
        while self._checkpoint() != (self._done, self._done):
            if time.monotonic() > until:
                return
            time.sleep(0.001)
        self._swap()
        self._whole = self._done

    def _checkpoint(self) -> tuple[int, int]:
        """Waits for nobody; answers the frames of the log and how many are in the database."""
        with contextlib.suppress(apsw.BusyError):
            self._checkpointer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        return self._counts()

    def _counts(self) -> tuple[int, int]:
        until = time.monotonic() + BUSY_MS / 1_000
        while True:
            try:
                frames, in_database = self._checkpointer.wal_checkpoint(
                    mode=apsw.SQLITE_CHECKPOINT_NOOP
                )
            except apsw.BusyError:
                # A commit is just being counted; SQLite's own patience isn't for this.
                if time.monotonic() > until:
                    raise
                time.sleep(0.001)
            else:
                return max(frames, 0), max(in_database, 0)

    def _look_twice(self) -> tuple[Header | None, int, int]:
        """A header and the counts that belong to it."""
        for _ in range(_MOST_LOOKS):
            before = header_of(self._wal)
            frames, in_database = self._counts()
            if header_of(self._wal) == before:
                return before, frames, in_database
        raise Broken("the -wal begins anew all the time")

    def _look(self) -> int:
        """How many frames of the current log are committed, which may be one that has begun."""
        header, frames, _ = self._look_twice()
        if header != self._header:
            self._follow(header)
        elif self._whole is not None and frames < self._whole:
            # Begun anew; the header comes with its first frame.
            return self._whole
        elif frames < self._done:
            raise Broken("frames that were sent are gone from the -wal")
        if self._whole is not None and frames > self._whole:
            self._whole = None
        return frames

    def _follow(self, header: Header | None) -> None:
        known = self._header
        if self._whole is None or header is None or (known and not known.is_followed_by(header)):
            raise Broken("the -wal was begun anew by another program")
        self._log = Log(
            generation=self._generation,
            number=self._log.number + 1,
            salts=header.salts,
            before=self._done,
        )
        self._header = header
        self._done = self._retry_at = self._mark = 0
        self._whole = None

    def _take(self) -> Taken | None:
        at = self._clock()
        committed = self._look()
        self._behind = 0
        header = self._header
        if header is None or self._whole is not None or committed == self._done:
            return None
        first = self._done + 1
        last = min(committed, self._done + max(1, self._segment_bytes // header.frame_bytes))
        data = read_frames(self._wal, header, first, last)
        if header_of(self._wal) != header:
            raise Broken("the -wal was begun anew by another program")
        found = examined(data, header)
        if found.committed:
            last = self._done + found.committed
            data = data[: found.committed * header.frame_bytes]
        elif last == committed:
            raise Broken("the last frame that SQLite counts ends no transaction")
        self._done = last
        self._behind = committed - last
        return Taken(
            segment=Segment(
                log=self._log,
                first=first,
                last=last,
                checksum=found.committed_checksum or found.checksum,
                at=at,
                is_part=not found.committed,
                is_all=last == committed,
            ),
            header=header,
            frames=data,
        )

    @contextlib.contextmanager
    def _own_turn(self) -> Iterator[None]:
        """Keeps the shop's writers out, as they keep each other out."""
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)


def _connect(database: Path) -> apsw.Connection:
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE)
    connection.set_busy_timeout(BUSY_MS)
    # What isn't sent yet is only in the -wal, so it has to stay when this is the last to close it.
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.wal_autocheckpoint(0)
    connection.pragma("synchronous", "full")
    connection.pragma("fullfsync", True)
    connection.pragma("journal_mode", "wal")
    # Until it has read, a connection has no log at all.
    scalar(connection, "SELECT count(*) FROM sqlite_schema")
    return connection


def _begin_reading(connection: apsw.Connection) -> None:
    connection.execute("BEGIN")
    scalar(connection, "SELECT count(*) FROM sqlite_schema")
