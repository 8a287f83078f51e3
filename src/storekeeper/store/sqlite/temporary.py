"""Files beside the place whose name they get when they are whole.

Each is locked for as long as its process lives, so those of processes that were killed are told
from those in use whatever has become of their process ids, and are removed by the next that works
at the same place. They hold customers' data, and may fill the disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from storekeeper.domain.errors import StoreUnavailable

_BESIDE = ("-journal", "-wal", "-shm")


@contextlib.contextmanager
def temporary(target: Path) -> Iterator[Path]:
    """An empty file beside `target` for its owner only, gone afterwards unless it was renamed.

    Raises `StoreUnavailable` where it can't be written.
    """
    _remove_left(target)
    try:
        descriptor, path = _make(target)
    except OSError as error:
        raise StoreUnavailable(f"{target} can't be written: {error.strerror}") from error
    try:
        yield path
    except OSError as error:
        raise StoreUnavailable(f"{error.filename or path}: {error.strerror}") from error
    finally:
        _remove(path)
        os.close(descriptor)


def _make(target: Path) -> tuple[int, Path]:
    while True:
        descriptor, name = tempfile.mkstemp(".part", f".{target.name}.", target.parent)
        try:
            # Taken away by another process before it was locked: made again.
            if _is_taken(descriptor, Path(name)):
                return descriptor, Path(name)
        except OSError:
            # A file system without locks, where nobody takes it for one that was left either.
            return descriptor, Path(name)
        os.close(descriptor)


def _remove_left(target: Path) -> None:
    """Removes what processes left that were killed while they worked at this place."""
    left = re.compile(rf"\.{re.escape(target.name)}\.[a-z0-9_]+\.part")
    found: list[Path] = []
    # A folder that can't be read is no reason not to write there.
    with contextlib.suppress(OSError), os.scandir(target.parent) as entries:
        found.extend(Path(entry.path) for entry in entries if left.fullmatch(entry.name))
    for path in found:
        # One that is gone by now, of somebody else, or where nothing can be locked.
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
            try:
                if _is_taken(descriptor, path):
                    _remove(path)
            finally:
                os.close(descriptor)


def _is_taken(descriptor: int, path: Path) -> bool:
    """Locks the file if no process has; answers whether it did and the name is still the file's."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def _remove(path: Path) -> None:
    # The file itself last: by it the others are found again.
    for suffix in (*_BESIDE, ""):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
