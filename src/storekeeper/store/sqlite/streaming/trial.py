"""Lets SQLite itself say whether it accepts frames: it computes the checksums, in C."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import apsw

from storekeeper.store.sqlite.streaming.tail import Taken
from storekeeper.store.sqlite.streaming.wal import Broken, wal_of


class Trial:
    """A second -wal of the bytes that are about to be sent, beside a database of no content."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="storekeeper-backup-")
        self._database = Path(self._folder.name) / "trial.db"
        self._page_bytes = 0
        self._salts = ""
        self._committed = 0
        self._frames = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._folder.cleanup()

    def prove(self, taken: Taken, source: Path) -> None:
        """Raises `Broken` unless SQLite takes all frames of the log up to these. `source` is where
        those are that were sent before this trial began."""
        segment = taken.segment
        if taken.header.salts != self._salts:
            self._start(taken)
        with wal_of(self._database).open("r+b") as file:
            if self._frames < segment.first - 1:
                _copy(source, file.fileno(), taken.header.offset(segment.first))
            file.seek(taken.header.offset(segment.first))
            file.write(taken.frames)
        self._frames = segment.last
        if not segment.is_part:
            self._committed = segment.last
        found = accepted_frames(self._database)
        if found != self._committed:
            raise Broken(f"SQLite takes {found} frames of the -wal for sound, of {self._committed}")

    def _start(self, taken: Taken) -> None:
        if taken.header.page_bytes != self._page_bytes:
            self._page_bytes = taken.header.page_bytes
            self._database.unlink(missing_ok=True)
            with contextlib.closing(apsw.Connection(str(self._database))) as connection:
                # Nobody needs it after this process, and a busy disk takes long to flush.
                connection.pragma("synchronous", "off")
                connection.pragma("page_size", self._page_bytes)
                connection.pragma("journal_mode", "wal")
                connection.execute("CREATE TABLE empty (value)")
        wal_of(self._database).write_bytes(taken.header.raw)
        self._salts = taken.header.salts
        self._committed = self._frames = 0


def accepted_frames(database: Path) -> int:
    """How many frames of the -wal beside a database SQLite finds sound and committed. Nobody else
    may have it open."""
    with only_looking(database) as connection:
        # Reads the -wal; what the pages hold is of no interest.
        connection.pragma("schema_version")
        return max(connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)[0], 0)


@contextlib.contextmanager
def only_looking(database: Path) -> Iterator[apsw.Connection]:
    """A connection that leaves the -wal as it is, and makes the -shm from it anew."""
    Path(f"{database}-shm").unlink(missing_ok=True)
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        yield connection
    finally:
        connection.close()


def _copy(source: Path, descriptor: int, end: int) -> None:
    """The beginning of a -wal, after a new start in the middle of one."""
    with wal_of(source).open("rb") as file:
        at = 0
        while at < end:
            piece = file.read(min(2**20, end - at))
            if not piece:
                raise Broken("the -wal is shorter than what was sent of it")
            at += os.pwrite(descriptor, piece, at)
