"""Snapshots of the replica in a bucket, so that a new node of a big shop needn't read the whole log.

A snapshot is a replica as it was after some entry, compressed, with a description beside it that is
written last and says which log, which entry and which hash. A node without a replica takes the
newest that fits and follows from there. Without any it follows from the beginning: the log is what
counts, and snapshots only save time.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import os
import shutil
import zlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import structlog

from storekeeper.domain.errors import StoreUnavailable
from storekeeper.domain.types import Struct
from storekeeper.store.bucket import Bucket, Misnamed, Place, open_bucket
from storekeeper.store.sqlite.backup import back_up, begin_with
from storekeeper.store.sqlite.rows import scalar
from storekeeper.store.sqlite.schema import MIGRATIONS
from storekeeper.store.sqlite.temporary import temporary
from storekeeper.store.sqlite.transfer import snapshot_at

log = structlog.get_logger(__name__)
LOOK_S = 60.0
# The newest are kept: one may be in use while the next is made.
KEPT = 3
OBJECT = ".db.gz"
LEVEL = 6
_COPY_BYTES = 2**20


class Description(Struct, frozen=True, kw_only=True):
    """What a snapshot is: the replica of `log` after entry `seq`; `sha256` is of the object."""

    log: str
    seq: int
    schema: int
    bytes: int
    sha256: str


class Snapshots:
    """Makes snapshots of the replica `path` whenever `every` more entries are in it.

    `erased` answers up to which entry personal data was erased: a snapshot of an earlier one may
    hold some still, so a new one takes its place and those of earlier entries go.
    """

    def __init__(
        self,
        place: Place,
        prefix: str,
        *,
        path: Path,
        log_id: str,
        every: int,
        followed: Callable[[], int],
        erased: Callable[[], Awaitable[int]],
    ) -> None:
        self._place = place
        self._folder = folder_of(prefix)
        self._path = path
        self._log_id = log_id
        self._every = every
        self._followed = followed
        self._erased = erased

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.take_if_due()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_S)

    async def take_if_due(self) -> bool:
        """Makes a snapshot if the newest is too old, or one holds what was erased; answers whether
        it did."""
        erased = await self._erased()
        async with open_bucket(self._place) as bucket:
            kept = [one for one in await described(bucket, self._folder) if self._is_ours(one)]
            oldest = min((one.seq for one in kept), default=erased)
            newest = max((one.seq for one in kept), default=0)
            due = newest + self._every if oldest >= erased else erased
            if self._followed() < due:
                return False
            # Always the same names: what a stop in the middle leaves is overwritten by the next.
            with _beside(self._path) as (copy, packed):
                made = await asyncio.to_thread(self._make, copy, packed)
                if made is None:
                    return False
                await bucket.upload(object_key(self._folder, made.seq), packed)
            await bucket.write(description_key(self._folder, made.seq), msgspec.json.encode(made))
            await self._remove_old(bucket, erased)
        log.info("snapshot made", entry=made.seq, bytes=made.bytes)
        return True

    def _is_ours(self, one: Description) -> bool:
        return one.log == self._log_id

    def _make(self, copy: Path, packed: Path) -> Description | None:
        made = back_up(self._path, copy, force=True)
        with snapshot_at(copy) as connection:
            seq = int(scalar(connection, "SELECT seq FROM followed"))
            if scalar(connection, "SELECT count(*) FROM copied WHERE is_whole = 0"):
                return None
        with copy.open("rb") as source, gzip.open(packed, "wb", LEVEL) as zipped:
            shutil.copyfileobj(source, zipped, _COPY_BYTES)
        with packed.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return Description(
            log=self._log_id,
            seq=seq,
            schema=made.schema,
            bytes=packed.stat().st_size,
            sha256=sha256,
        )

    async def _remove_old(self, bucket: Bucket, erased: int) -> None:
        """The description first: what none describes is nobody's."""
        found = sorted(await described(bucket, self._folder), key=lambda one: one.seq)
        old = {one.seq for one in found[:-KEPT]}
        old |= {one.seq for one in found if self._is_ours(one) and one.seq < erased}
        for seq in sorted(old):
            await bucket.remove(description_key(self._folder, seq))
            await bucket.remove(object_key(self._folder, seq))
        # A stop between both left one without a description.
        known = {object_key(self._folder, one.seq) for one in found}
        for key in await bucket.keys(self._folder):
            if key.endswith(OBJECT) and key not in known and key < object_key(self._folder, erased):
                await bucket.remove(key)


async def fetch(place: Place, prefix: str, *, path: Path, log_id: str) -> int:
    """Puts the newest snapshot of the log where the replica will be, unless one is there; answers
    its entry, 0 without one.

    Raises `Misnamed` where the settings can't work. Any other trouble is logged: the log itself
    has everything.
    """
    folder = folder_of(prefix)
    try:
        async with open_bucket(place) as bucket:
            if path.exists():
                await bucket.keys(folder)  # whether it will be there when it is needed
                return 0
            found = [
                one
                for one in await described(bucket, folder)
                if one.log == log_id and one.schema <= len(MIGRATIONS)
            ]
            for one in sorted(found, key=lambda one: one.seq, reverse=True):
                try:
                    await _take(bucket, object_key(folder, one.seq), one, path)
                except (StoreUnavailable, OSError, EOFError, zlib.error) as error:
                    log.warning("a snapshot can't be used", entry=one.seq, reason=str(error))
                else:
                    log.info("replica begun from a snapshot", entry=one.seq)
                    return one.seq
    except Misnamed:
        raise
    except StoreUnavailable as error:
        log.warning("no snapshot can be had; following the whole log", reason=error.detail)
    return 0


async def _take(bucket: Bucket, key: str, one: Description, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary(path) as copy, temporary(path) as packed:
        told = hashlib.sha256()
        await bucket.download(key, packed, told.update)
        if told.hexdigest() != one.sha256:
            raise StoreUnavailable(f"{key} isn't what its description says; remove both")
        await asyncio.to_thread(_unpack, packed, copy)
        with snapshot_at(copy) as connection:
            kept = connection.execute("SELECT log, seq FROM followed").fetchall()
        if kept != [(one.log, one.seq)]:
            raise StoreUnavailable(f"{key} is a replica of {kept}; remove it")
        await asyncio.to_thread(begin_with, copy, path)


def _unpack(packed: Path, copy: Path) -> None:
    with gzip.open(packed, "rb") as source, copy.open("wb") as target:
        shutil.copyfileobj(source, target, _COPY_BYTES)
        target.flush()
        os.fsync(target.fileno())


async def described(bucket: Bucket, folder: str) -> list[Description]:
    """What is there, by the descriptions; one that can't be read is passed over."""
    found: list[Description] = []
    for key in await bucket.keys(folder):
        if key.endswith(".json"):
            with contextlib.suppress(msgspec.MsgspecError):
                found.append(msgspec.json.decode(await bucket.read(key), type=Description))
    return found


def folder_of(prefix: str) -> str:
    return f"{prefix}snapshots/"


def object_key(folder: str, seq: int) -> str:
    return f"{folder}{seq:012}{OBJECT}"


def description_key(folder: str, seq: int) -> str:
    return f"{folder}{seq:012}.json"


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[tuple[Path, Path]]:
    """Two empty files beside the replica, for their owner only, gone at the end."""
    places = tuple(path.with_name(f".{path.name}.snapshot{end}") for end in ("", ".gz"))
    try:
        for place in places:
            os.close(os.open(place, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600))
        yield places[0], places[1]
    finally:
        for place in places:
            for suffix in ("", "-use"):
                Path(f"{place}{suffix}").unlink(missing_ok=True)
