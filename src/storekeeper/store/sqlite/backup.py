"""Copying a shop's file while it is in use, and putting a copy back; never half a file.

Both work on a temporary file beside the target, prove it sound, make it durable and only then give
it its name. What `restore` replaces is kept.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

import apsw

from storekeeper.domain.errors import AlreadyExists, Invalid, NotFound, StoreUnavailable
from storekeeper.domain.types import Struct
from storekeeper.store.sqlite import schema
from storekeeper.store.sqlite.connect import BUSY_MS, connect, told_clearly
from storekeeper.store.sqlite.rows import scalar
from storekeeper.store.sqlite.temporary import temporary

Progress = Callable[[int, int], None]
STEP_PAGES = 1_000
# Of SQLite's machine, some hundredths of a second; for `progress` while a copy is checked.
_STEPS_BETWEEN_PROGRESS = 1_000_000
_SHOWN_FAULTS = 5
IN_USE = "is in use; stop the server (and whatever else has it open) first"


class BackedUp(Struct, frozen=True, kw_only=True):
    """The copy at `path`: its size in bytes and the schema that it has."""

    path: str
    bytes: int
    schema: int


class Damaged(StoreUnavailable):
    """A copy that isn't sound, and so is put nowhere; `why` is what SQLite finds, in one line."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name} is damaged or no database: {why}")
        self.why = why


class Restored(Struct, frozen=True, kw_only=True):
    """The shop's file at `path`, made from `source`; what stood there before is at `kept`."""

    path: str
    source: str
    bytes: int
    schema: int
    kept: str | None


def back_up(
    database: Path,
    target: Path,
    *,
    force: bool = False,
    without: Sequence[str] = (),
    progress: Progress = lambda done, all: None,
    begun: Callable[[], None] = lambda: None,
) -> BackedUp:
    """Copies the shop as it is at one moment; a server may go on writing meanwhile.

    `progress` hears of pages done and of all, and may raise to give up; `begun` is told once that
    moment has come. `without` names tables that the copy isn't to have. Raises `NotFound` without a
    database, `AlreadyExists` for a target that exists (unless `force`), `StoreUnavailable`.
    """
    _require_file(database, "database")
    _require_other(database, target)
    if target.exists() and not force:
        raise AlreadyExists(f"{target} exists already; name another file, or say --force")
    replacing = "is being restored; wait until that has ended"
    with locked(database, fcntl.LOCK_SH, replacing), temporary(target) as copy:
        with told_clearly(database):
            schema.require_ours(database, BUSY_MS)
        with contextlib.closing(connect(database, read_only=True)) as source:
            _require_known(source, str(database))
            version = _copy(source, copy, str(database), progress, without, begun)
        size = copy.stat().st_size
        copy.replace(target)
        _flush_folder(target.parent)
    return BackedUp(path=str(target), bytes=size, schema=version)


def restore(
    backup: Path,
    database: Path,
    *,
    now: datetime,
    progress: Progress = lambda done, all: None,
    called: str | None = None,
) -> Restored:
    """Puts a backup in the database's place and keeps what was there under another name. `called`
    is the backup's name for people, where that isn't its path.

    Raises `NotFound` without a backup, `Damaged`, `StoreUnavailable` when the backup isn't ours or
    while any process has the database open.
    """
    name = called or str(backup)
    _require_file(backup, "backup")
    _require_other(backup, database)
    with locked(database, fcntl.LOCK_EX, IN_USE), temporary(database) as copy:
        with contextlib.closing(_open_backup(backup, name)) as source:
            _require_known(source, name)
            version = _copy(source, copy, name, progress)
        size = copy.stat().st_size
        kept = _set_aside(database, now)
        # Counters that tell caches what changed; the next start makes them anew.
        Path(f"{database}-stamps").unlink(missing_ok=True)
        copy.replace(database)
        _flush_folder(database.parent)
    return Restored(
        path=str(database),
        source=str(backup),
        bytes=size,
        schema=version,
        kept=str(kept) if kept else None,
    )


def begin_with(copy: Path, database: Path) -> bool:
    """Gives a sound copy the name of a database that isn't there; answers whether it did, as another
    process may have been faster. Raises `StoreUnavailable` while one is at it."""
    with locked(database, fcntl.LOCK_EX, "is in use"):
        if database.exists():
            return False
        # Left by a database that was here before, and not to be played into this one.
        for suffix in ("-wal", "-shm"):
            Path(f"{database}{suffix}").unlink(missing_ok=True)
        copy.rename(database)
        _flush_folder(database.parent)
    return True


def _copy(
    source: apsw.Connection,
    copy: Path,
    name: str,
    progress: Progress,
    without: Sequence[str] = (),
    begun: Callable[[], None] = lambda: None,
) -> int:
    """Copies one snapshot page by page, proves it sound and flushes it; answers its schema."""
    with _damage_told(name), contextlib.closing(apsw.Connection(str(copy))) as target:
        # Without an open snapshot every commit of another process would start the copy anew.
        source.execute("BEGIN")
        scalar(source, "SELECT count(*) FROM sqlite_schema")
        begun()
        target.pragma("synchronous", "off")
        with target.backup("main", source, "main") as pages:
            done = False
            while not done:
                try:
                    done = pages.step(STEP_PAGES)
                except (apsw.BusyError, apsw.LockedError):
                    time.sleep(0.05)
                progress(pages.page_count - pages.remaining, pages.page_count)
        source.execute("COMMIT")
        # One file that needs no -wal beside it.
        target.pragma("journal_mode", "delete")
        for table in without:
            target.execute(f"DROP TABLE IF EXISTS {table}")
        size = int(target.pragma("page_count"))

        def is_given_up() -> bool:
            progress(size, size)
            return False

        target.set_progress_handler(is_given_up, _STEPS_BETWEEN_PROGRESS)
        _require_sound(target, name)
        version = schema.version_of(target)
    descriptor = os.open(copy, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return version


def _require_sound(connection: apsw.Connection, name: str) -> None:
    faults = [
        line
        for row in connection.execute(f"PRAGMA integrity_check({_SHOWN_FAULTS})")
        # Several in one row, below a heading.
        for line in str(row[0]).splitlines()
        if line != "ok" and not line.startswith("***")
    ][:_SHOWN_FAULTS]
    for table, rowid, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        faults.append(f"row {rowid} of {table} refers to a missing row of {parent}")
        if len(faults) >= _SHOWN_FAULTS:
            break
    if faults:
        raise Damaged(name, "; ".join(faults))


def _require_known(connection: apsw.Connection, name: str) -> None:
    """Raises unless the file is a shop with a schema that this version knows, or can bring up."""
    with _damage_told(name):
        schema.pending(connection, name)


def _open_backup(backup: Path, name: str) -> apsw.Connection:
    with _damage_told(name):
        connection = apsw.Connection(str(backup), flags=apsw.SQLITE_OPEN_READONLY)
        connection.set_busy_timeout(BUSY_MS)
        return connection


@contextlib.contextmanager
def _damage_told(name: str) -> Iterator[None]:
    """Like `told_clearly`, but a damaged file isn't one to restore over."""
    with told_clearly(name):
        try:
            yield
        except (apsw.CorruptError, apsw.NotADBError) as error:
            raise Damaged(name, str(error)) from error


def _set_aside(database: Path, now: datetime) -> Path | None:
    """Gives the database another name beside its own; answers it, or None where there is none."""
    wal = Path(f"{database}-wal")
    Path(f"{database}-shm").unlink(missing_ok=True)
    if not database.exists():
        wal.unlink(missing_ok=True)
        return None
    # A server that was killed leaves its last commits in the -wal; they belong to the old file.
    with (
        contextlib.suppress(StoreUnavailable, apsw.Error),
        contextlib.closing(connect(database)) as connection,
    ):
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    kept = _free_name(database, now)
    if wal.exists():
        wal.rename(f"{kept}-wal")
    Path(f"{database}-shm").unlink(missing_ok=True)
    try:
        # The name stays taken until the new file replaces it: a start in between makes no new shop.
        os.link(database, kept)
    except OSError:
        database.rename(kept)
    return kept


def _free_name(database: Path, now: datetime) -> Path:
    stamp = f"{database}.before-restore-{now:%Y%m%dT%H%M%SZ}"
    name, number = Path(stamp), 1
    while name.exists():
        number += 1
        name = Path(f"{stamp}-{number}")
    return name


@contextlib.contextmanager
def locked(database: Path, kind: int, otherwise: str) -> Iterator[None]:
    """Holds the lock that an open store shares; its file goes again where no database is."""
    path = Path(f"{database}-use")
    with told_clearly(database):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreUnavailable(f"{database} {otherwise}") from None
        try:
            yield
        finally:
            # Only while it is ours: a server that begins at this place would hold another file.
            if not database.exists():
                path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _require_file(path: Path, what: str) -> None:
    if not path.is_file():
        raise NotFound(f"there is no {what} at {path}")


def _require_other(one: Path, other: Path) -> None:
    if other.exists() and one.samefile(other):
        raise Invalid(f"{one} and {other} are the same file")
