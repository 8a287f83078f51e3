"""Opening the file: settings of every connection, and clear words for what can go wrong."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import apsw
import msgspec

from storekeeper.domain.errors import ShopError, StoreUnavailable

BUSY_MS = 5_000
# With less room than this, a failure to write is a full disk, however SQLite calls it.
_NO_ROOM = 64 * 1024
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def connect(
    path: Path, *, read_only: bool = False, cache_mib: int = 16, busy_ms: int = BUSY_MS
) -> apsw.Connection:
    """A connection with the settings that our promises rest on.

    WAL lets readers go on beside the writer; synchronous=FULL makes a commit survive power loss.
    `busy_ms` is how long it waits for a lock that another process holds. The file has to be there.
    """
    with told_clearly(path):
        connection = apsw.Connection(
            str(path), flags=apsw.SQLITE_OPEN_READWRITE, statementcachesize=256
        )
        connection.set_busy_timeout(busy_ms)
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", "full")
        connection.pragma("fullfsync", True)
        connection.pragma("foreign_keys", True)
        connection.pragma("cache_size", -cache_mib * 1024)
        connection.pragma("temp_store", "memory")
        if read_only:
            connection.pragma("query_only", True)
    return connection


def require_folder(path: Path) -> None:
    """Makes the folder `data` of the default place; raises `StoreUnavailable` for any other that
    isn't there, as a slip in a path would make an empty shop in a new place, or takes no files."""
    folder = path.parent
    if folder == Path("data"):
        with told_clearly(path):
            folder.mkdir(exist_ok=True)
    elif not folder.is_dir():
        raise StoreUnavailable(
            f"there is no folder {folder} for {path.name}; make it (mkdir -p {folder}), or name "
            "another place with --database"
        )
    elif not path.exists():
        _require_room_for_files(path)


def _require_room_for_files(path: Path) -> None:
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        if _number(error) in (*_FORBIDDEN, errno.ENOSPC):
            raise explain(error, path) from error
        raise StoreUnavailable(
            f"{path} can't be made, as {path.parent} takes no files ({error.strerror}); name "
            "another place with --database"
        ) from error


@contextlib.contextmanager
def told_clearly(path: Path | str) -> Iterator[None]:
    """Turns failures of SQLite and of the file system into `StoreUnavailable` that says what to
    do."""
    try:
        yield
    except ShopError:
        raise
    except (apsw.Error, OSError) as error:
        raise explain(error, path) from error


def explain(error: Exception, path: Path | str) -> StoreUnavailable:
    """What an operator should know about a failure of SQLite or of the file system."""
    if (
        isinstance(error, apsw.FullError)
        or _number(error) == errno.ENOSPC
        or (isinstance(error, (apsw.IOError, apsw.CantOpenError)) and _is_full(Path(path)))
    ):
        text = f"the disk that holds {path} is full; make room, nothing was lost"
    elif isinstance(error, (apsw.BusyError, apsw.LockedError)):
        text = f"{path} is locked by another process; end that one or wait"
    elif isinstance(error, (apsw.CorruptError, apsw.NotADBError, msgspec.DecodeError)):
        text = (
            f"{path} is damaged or no database ({error}); keep a copy of it and "
            "run `storekeeper restore BACKUP`"
        )
    elif isinstance(error, apsw.ReadOnlyError) or _number(error) in _FORBIDDEN:
        text = f"{path} can't be written; check the permissions of the file and its folder"
    elif isinstance(error, (apsw.CantOpenError, OSError)):
        text = f"{path} can't be opened; check that the folder exists and may be written"
    elif isinstance(error, apsw.IOError):
        text = f"reading or writing {path} failed ({error}); check the disk"
    else:
        text = f"SQLite failed on {path}: {type(error).__name__}: {error}"
    return StoreUnavailable(text)


def _number(error: Exception) -> int | None:
    return error.errno if isinstance(error, OSError) else None


def _is_full(path: Path) -> bool:
    """SQLite reports some writes to a full disk as failures of the disk (its -shm, its journal)."""
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < _NO_ROOM
