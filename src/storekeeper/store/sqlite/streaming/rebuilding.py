"""Puts a shop's file together from what is at a target, as it was at a moment.

The newest snapshot that isn't later, then every frame that was committed since, log by log. SQLite
itself puts them in, after it has computed every checksum. A gap, or a part that is damaged, is
refused in a sentence that says what can be had.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import shutil
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import apsw

from storekeeper.domain.errors import NotFound, StoreUnavailable
from storekeeper.domain.types import Struct
from storekeeper.store.sqlite.connect import told_clearly
from storekeeper.store.sqlite.schema import APPLICATION_ID
from storekeeper.store.sqlite.streaming.listing import AT_ONCE, batched, owner_of, snapshots
from storekeeper.store.sqlite.streaming.names import (
    LOGS,
    Log,
    Segment,
    Snapshot,
    begun_at,
    segment_of,
)
from storekeeper.store.sqlite.streaming.state import Owner
from storekeeper.store.sqlite.streaming.target import Target
from storekeeper.store.sqlite.streaming.trial import accepted_frames, only_looking
from storekeeper.store.sqlite.streaming.wal import HEADER_BYTES, Broken, examined, header_of, wal_of

Watch = Callable[[int], None]
_COPY_BYTES = 2**20


class Rebuilt(Struct, frozen=True, kw_only=True):
    """The file holds all that was committed by `until`, and maybe more of what was until the moment that
    was asked for. `logs` and `segments` were put over the `snapshot`."""

    until: datetime
    snapshot: Snapshot
    logs: int
    segments: int


async def rebuild(
    target: Target, database: Path, *, at: datetime | None = None, watch: Watch = lambda done: None
) -> Rebuilt:
    """Writes the shop as it was `at` a moment, or as it was last, to the empty file `database`; `watch`
    hears how many segments are in it.

    Raises `NotFound` where nothing is of that time, `StoreUnavailable` where a part is missing or
    damaged.
    """
    with told_clearly(database):
        snapshot = await _snapshot_for(target, at)
        try:
            await _fetch_snapshot(target, snapshot, database)
            work = _Work(target, database, snapshot, watch)
            async for segments in _logs_of(target, snapshot, at):
                await work.put_in(segments)
        except (apsw.NotADBError, apsw.CorruptError) as error:
            raise await damaged(target, snapshot, str(error)) from error
        await work.require_the_end(at)
        return work.done()


async def damaged(target: Target, snapshot: Snapshot, why: str) -> StoreUnavailable:
    """What to say of a snapshot that isn't sound: what is wrong with it, and what can be had without
    it. Each part of the log is proven by its own checksums, so damage that is seen at the end only
    is the snapshot's too."""
    known = await snapshots(target)
    before = [one for one in known if one.at < snapshot.at]
    same = [one for one in before if one.generation == snapshot.generation]
    if same:
        way = (
            f"take it away from there, and the one of {told(same[-1].at)} is used, with all that was "
            "committed since"
        )
    elif before:
        # Of another generation, which holds nothing that came after it.
        way = f"the shop can be restored as it was before: say --at {told(_just_before(snapshot))}"
    else:
        way = "it is the oldest there, so before the next one nothing can be restored"
    return StoreUnavailable(
        f"the snapshot {snapshot.key} at {target.name}, of generation {snapshot.generation}, is "
        f"damaged ({why}); {way}"
    )


class _Work:
    """What is in the file so far."""

    def __init__(self, target: Target, database: Path, snapshot: Snapshot, watch: Watch) -> None:
        self._target = target
        self._database = database
        self._snapshot = snapshot
        self._watch = watch
        self._until = snapshot.at
        self._logs = self._segments = 0
        self._log: int | None = None
        self._frame = 0

    def done(self) -> Rebuilt:
        return Rebuilt(
            until=self._until,
            snapshot=self._snapshot,
            logs=self._logs,
            segments=self._segments,
        )

    async def put_in(self, segments: list[Segment]) -> None:
        """All of one log that is wanted."""
        log = segments[0].log
        self._require_next(log)
        whole = [number for number, one in enumerate(segments, start=1) if not one.is_part]
        last_of_log = max(one.last for one in segments)
        # A transaction of which the end is missing was never acknowledged by then.
        segments = segments[: whole[-1]] if whole else []
        # Older frames over newer pages would be neither the one moment nor the other. Those that the
        # snapshot holds to the last may be removed at any time, during this very restore too.
        held = self._snapshot.frame if log.number == self._snapshot.log else 0
        if segments and max(one.last for one in segments) > held:
            await self._write_wal(segments)
            await asyncio.to_thread(self._merge, segments)
            self._logs += 1
            self._segments += len(segments)
            self._until = max((self._until, *(one.at for one in segments if one.is_all)))
        self._log, self._frame = log.number, last_of_log

    async def require_the_end(self, at: datetime | None) -> None:
        """That nothing is missing after the last part, as far as the owner had told by then."""
        owner = await owner_of(self._target)
        if owner is None:
            return
        if owner.generation != self._snapshot.generation:
            await self._require_no_later_generation(owner, at)
            return
        if at is not None and at < owner.seen:
            return
        in_snapshot = (self._snapshot.log, self._snapshot.frame)
        reached = in_snapshot if self._log is None else max(in_snapshot, (self._log, self._frame))
        if owner.frame and (owner.log, owner.frame) > reached:
            raise self._refused("the newest parts are missing")

    async def _require_no_later_generation(self, owner: Owner, at: datetime | None) -> None:
        """That there is none that could be restored once and has lost its snapshots since."""
        begun = begun_at(owner.generation)
        if begun is None or owner.safe_until is None or (at is not None and at < begun):
            return
        # Until its first snapshot is there, all that is safe is from before it.
        was_safe = owner.safe_until >= begun + timedelta(seconds=1)
        if was_safe and not any(
            one.generation == owner.generation for one in await snapshots(self._target)
        ):
            raise self._refused(f"all snapshots of generation {owner.generation} are missing")

    def _require_next(self, log: Log) -> None:
        if self._log is None:
            # A log that has nothing but what the snapshot holds was never sent, or is removed.
            is_next = log.number == self._snapshot.log or (
                log.number == self._snapshot.log + 1 and log.before in (0, self._snapshot.frame)
            )
        else:
            is_next = log.number == self._log + 1 and log.before == self._frame
        if not is_next:
            raise self._refused(f"parts before {log.folder} are missing")

    async def _write_wal(self, segments: list[Segment]) -> None:
        after = number = 0
        with wal_of(self._database).open("w+b") as wal:
            for some in batched(segments, AT_ONCE):
                packed = await asyncio.gather(*(self._target.read(one.key) for one in some))
                for segment, data in zip(some, packed, strict=True):
                    sound = segments[:number]
                    # One that arrived late, of a process that was killed, may hold the same once more.
                    if segment.first > after + 1:
                        raise self._refused(f"a part before {segment.key} is missing", sound)
                    if data is None:
                        raise self._refused(f"{segment.key} is missing", sound)
                    try:
                        await asyncio.to_thread(_put, segment, data, wal)
                    except (Broken, gzip.BadGzipFile, EOFError, zlib.error) as error:
                        raise self._refused(f"{segment.key} is damaged ({error})", sound) from error
                    after = max(after, segment.last)
                    number += 1
                    self._watch(self._segments + number)

    def _merge(self, segments: list[Segment]) -> None:
        """Has SQLite put the -wal into the database, every checksum computed by it."""
        found = accepted_frames(self._database)
        if found != max(one.last for one in segments):
            sound = [one for one in segments if one.last <= found]
            raise self._refused(f"{segments[len(sound)].key} is damaged", sound)
        with only_looking(self._database) as connection:
            connection.pragma("synchronous", "off")
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        for suffix in ("-wal", "-shm"):
            Path(f"{self._database}{suffix}").unlink()

    def _refused(self, what: str, sound: Sequence[Segment] = ()) -> StoreUnavailable:
        """`sound` are parts of the log that aren't put in yet."""
        until = max((self._until, *(one.at for one in sound if one.is_all)))
        return StoreUnavailable(
            f"in the backup at {self._target.name} {what}; the shop can be restored as it was "
            f"until {told(until)}: say --at {told(until)}"
        )


def _put(segment: Segment, packed: bytes, wal: BinaryIO) -> None:
    """Raises `Broken`, or what gzip raises, for what isn't what the name says."""
    data = gzip.decompress(packed)
    if segment.first == 1:
        wal.seek(0)
        wal.write(data[:HEADER_BYTES])
        wal.flush()
        data = data[HEADER_BYTES:]
    header = header_of(wal.fileno())
    if header is None or header.salts != segment.log.salts:
        raise Broken("it is of another log")
    found = examined(data, header)
    if (segment.first + found.count - 1, found.checksum) != (segment.last, segment.checksum):
        raise Broken("other frames are in it than its name says")
    wal.seek(header.offset(segment.first))
    wal.write(data)


async def _snapshot_for(target: Target, at: datetime | None) -> Snapshot:
    known = await snapshots(target)
    if not known:
        raise NotFound(f"{target.name} holds no continuous backup that could be restored")
    fitting = [one for one in known if at is None or one.at <= at]
    if not fitting:
        raise NotFound(
            f"the backup at {target.name} begins at {told(known[0].at)}; name a moment from then on"
        )
    owner = await owner_of(target)
    current = owner.generation if owner else ""

    def newness(one: Snapshot) -> tuple[bool, datetime, bool, int, int]:
        is_current = one.generation == current
        # What came last is of the last generation, also where a clock was set back in between.
        return (is_current and at is None, one.at, is_current, one.log, one.frame)

    return max(fitting, key=newness)


async def _fetch_snapshot(target: Target, snapshot: Snapshot, database: Path) -> None:
    packed = Path(f"{database}-packed")
    try:
        await target.download(snapshot.key, packed)
        await asyncio.to_thread(_unpack, packed, database)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise await damaged(target, snapshot, str(error)) from error
    finally:
        packed.unlink(missing_ok=True)


def _unpack(packed: Path, database: Path) -> None:
    with gzip.open(packed, "rb") as zipped, database.open("wb") as file:
        shutil.copyfileobj(zipped, file, _COPY_BYTES)
    # Copies are made without a log, and one is to be put in.
    with contextlib.closing(apsw.Connection(str(database))) as connection:
        if connection.pragma("application_id") != APPLICATION_ID:
            raise apsw.NotADBError("it holds no shop")
        connection.pragma("synchronous", "off")
        connection.pragma("journal_mode", "wal")


async def _logs_of(
    target: Target, snapshot: Snapshot, at: datetime | None
) -> AsyncIterator[list[Segment]]:
    """The segments of each log from that of the snapshot on, until the moment."""
    start = f"{LOGS}{snapshot.generation}/"
    gathered: list[Segment] = []
    async for key, _ in target.keys(start, f"{start}{snapshot.log:08d}"):
        segment = segment_of(key)
        if segment is None:
            continue
        if at is not None and segment.at > at:
            break
        if gathered and segment.log != gathered[-1].log:
            yield gathered
            gathered = []
        gathered.append(segment)
    if gathered:
        yield gathered


def _just_before(snapshot: Snapshot) -> datetime:
    return snapshot.at - timedelta(milliseconds=1)


def told(at: datetime) -> str:
    """As `--at` takes it, exact."""
    return f"{at.astimezone(UTC).isoformat(timespec='milliseconds').removesuffix('+00:00')}Z"
