"""A log in memory under real replicas: entries as bytes, read as they were written or as erased."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from storekeeper.domain.admission import Admitted
from storekeeper.store.dynamodb import entries
from storekeeper.store.dynamodb.follower import Follower
from storekeeper.store.dynamodb.log import Found
from storekeeper.store.dynamodb.redaction import redact
from storekeeper.store.sqlite import making
from storekeeper.store.sqlite.audit import verify
from storekeeper.store.sqlite.reader import Reader
from storekeeper.store.sqlite.stamps import Stamps
from storekeeper.store.sqlite.store import SqliteStore
from storekeeper.store.sqlite.transfer import Digest, Rows, digests
from tests.support.clock import Clock
from tests.support.ids import Ids

LOG_ID = "a log"


class Written(NamedTuple):
    """An entry's number, format and data."""

    seq: int
    format: int
    data: bytes

    @property
    def item(self) -> dict[str, Any]:
        return {"sk": {"N": str(self.seq)}, "format": {"N": str(self.format)}}

    def text(self) -> bytes:
        """What somebody who looks at the table can read."""
        if self.format in entries.ROWS_FORMATS:
            return zlib.decompress(self.data)
        return entries._unpack(self.data)


class MemoryLog:
    """Takes entries as the table does, from one node."""

    node = "node"
    is_sure = True

    def __init__(self) -> None:
        self.written: list[Written] = []

    def append(self, seq: int, admitted: Sequence[Admitted], at: datetime) -> None:
        assert seq == len(self.written) + 1
        self.written.append(Written(seq, entries.FORMAT, entries.encode(admitted, at)))

    def append_rows(self, found: Rows | None) -> None:
        data = entries.encode_rows("a copy", 0, found)
        self.written.append(Written(len(self.written) + 1, entries.ROWS_FORMAT, data))

    def after(self, seq: int) -> Found:
        return Found(decoded(self.written[seq:]), is_all=True)


class LogStore(SqliteStore):
    """A node's store over such a log."""

    def __init__(self, path: Path, log: MemoryLog, clock: Clock, new_id: Ids) -> None:
        self._log = log
        super().__init__(path, clock=clock, new_id=new_id)

    def _make_writer(self, path, stamps, clock, new_id, busy_ms):
        log: Any = self._log
        self._follower = Follower(path, stamps, clock, new_id, log=log, log_id=LOG_ID)
        return self._follower

    async def follow(self) -> None:
        await self._write_lane.ask(self._follower._catch_up)


def decoded(written: Sequence[Written]) -> list[Any]:
    return [entries.decode(one.seq, one.format, one.data, "node") for one in written]


def erased(reader: Reader, written: Sequence[Written]) -> list[Written]:
    """The log as a pass leaves it."""
    found = []
    for one in written:
        new = redact(reader, one.item, one.data)
        found.append(one if new is None else Written(one.seq, new.format, new.data))
    return found


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Reader]:
    reader = Reader(path)
    reader.open()
    try:
        yield reader
    finally:
        reader.close()


def filled(path: Path, written: Sequence[Written]) -> dict[str, Digest]:
    """What a new node holds that has read these entries."""
    making.make(path)
    stamps = Stamps(Path(f"{path}-stamps"))
    log: Any = MemoryLog()
    follower = Follower(path, stamps, Clock(), Ids(9), log=log, log_id=LOG_ID)
    follower.open()
    try:
        follower.apply(decoded(written))
    finally:
        follower.close()
        stamps.close()
    with reading(path) as reader:
        assert verify(reader) == []
        return digests(reader)
