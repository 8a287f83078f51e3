"""What the objects at a target are called. The names hold all that has to be known to put a shop
together again, so a listing is the table of contents:

    owner.json                                          who keeps its backup here
    snapshots/TIME-GENERATION-LOG-FRAME.db.gz           the whole file
    logs/GENERATION/LOG-SALTS-BEFORE/FIRST-LAST-CHECKSUM-TIME[-more|-part].gz

A generation is a chain without a gap. A log is SQLite's -wal from one restart to the next; SALTS tell
it from all others, BEFORE is the last frame of the log before it. After a segment with `more` there
was more to take at its time; one that is a `part` even ends inside a transaction.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from storekeeper.domain.types import Struct

OWNER = "owner.json"
SNAPSHOTS = "snapshots/"
LOGS = "logs/"

_TIME = r"(\d{8}T\d{6}\.\d{3}Z)"
_GENERATION = r"(\d{8}T\d{6}Z-[0-9a-f]{8})"
_SNAPSHOT = re.compile(rf"snapshots/{_TIME}-{_GENERATION}-(\d{{8}})-(\d{{10}})\.db\.gz")
_SEGMENT = re.compile(
    rf"logs/{_GENERATION}/(\d{{8}})-([0-9a-f]{{16}})-(\d{{10}})/"
    rf"(\d{{10}})-(\d{{10}})-([0-9a-f]{{16}})-{_TIME}(-more|-part)?\.gz"
)


class Log(Struct, frozen=True, kw_only=True):
    """A log of a generation: `number` from 0; `before` is how many frames of the log before it
    were sent, the last of which it follows."""

    generation: str
    number: int
    salts: str
    before: int

    @property
    def folder(self) -> str:
        return f"{LOGS}{self.generation}/{self.number:08d}-{self.salts}-{self.before:010d}/"


class Segment(Struct, frozen=True, kw_only=True):
    """Frames `first` to `last` of a log (from 1). `checksum` is that of the last, which sums up all
    before it. With those before it it holds all that was committed by `at` if it `is_all`. One that is
    a `part` ends inside a transaction, which a later segment completes."""

    log: Log
    first: int
    last: int
    checksum: str
    at: datetime
    is_part: bool = False
    is_all: bool = True

    @property
    def key(self) -> str:
        rest = "-part" if self.is_part else "" if self.is_all else "-more"
        frames = f"{self.first:010d}-{self.last:010d}-{self.checksum}"
        return f"{self.log.folder}{frames}-{stamp(self.at)}{rest}.gz"


class Snapshot(Struct, frozen=True, kw_only=True):
    """The file as it was when all logs before `log` were in it, and at most `frame` frames of that."""

    at: datetime
    generation: str
    log: int
    frame: int

    @property
    def key(self) -> str:
        where = f"{self.generation}-{self.log:08d}-{self.frame:010d}"
        return f"{SNAPSHOTS}{stamp(self.at)}-{where}.db.gz"


def segment_of(key: str) -> Segment | None:
    """The segment that a key names; None for anything else that lies there."""
    found = _SEGMENT.fullmatch(key)
    if found is None:
        return None
    generation, number, salts, before, first, last, checksum, at, rest = found.groups()
    return Segment(
        log=Log(generation=generation, number=int(number), salts=salts, before=int(before)),
        first=int(first),
        last=int(last),
        checksum=checksum,
        at=_moment(at),
        is_part=rest == "-part",
        is_all=rest is None,
    )


def snapshot_of(key: str) -> Snapshot | None:
    found = _SNAPSHOT.fullmatch(key)
    if found is None:
        return None
    at, generation, log, frame = found.groups()
    return Snapshot(at=_moment(at), generation=generation, log=int(log), frame=int(frame))


def begun_at(generation: str) -> datetime | None:
    """When a generation began, by its name, to the second; None for what names none."""
    if re.fullmatch(_GENERATION, generation) is None:
        return None
    return datetime.strptime(generation.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def stamp(at: datetime) -> str:
    """To the millisecond, in UTC; sorts as time does."""
    at = at.astimezone(UTC)
    return f"{at:%Y%m%dT%H%M%S}.{at.microsecond // 1_000:03d}Z"


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
