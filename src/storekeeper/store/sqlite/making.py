"""Making a new shop's file: whole or not at all, and never in the place of another.

The tables are written to a draft beside the place, which gets the name when it is complete and on
the disk. So an empty file never comes from us, and is refused as what it is: a loss.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import apsw

from storekeeper.store.sqlite import schema

_BESIDE = ("-wal", "-shm")


def make(path: Path) -> int:
    """Makes an empty shop where nothing is; answers how many steps its schema has, 0 where there
    is a file. Of several processes one makes it, the others wait."""
    draft = path.with_name(f".{path.name}.draft")
    if path.exists() and not draft.exists():
        return 0
    with _turn(path):
        # What a process left that was killed here.
        _remove(draft)
        if path.exists():
            return 0
        try:
            steps = _write(draft)
            # A log without its file has nothing to say, and must not be taken for the new one's.
            for suffix in _BESIDE:
                Path(f"{path}{suffix}").unlink(missing_ok=True)
            _give_name(draft, path)
        finally:
            _remove(draft)
    return steps


def _write(draft: Path) -> int:
    """The tables in a file of their own, flushed; private, and SQLite gives its others the same
    rights."""
    os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    with contextlib.closing(apsw.Connection(str(draft))) as connection:
        # A draft that isn't finished is thrown away, so it needs no way back on the disk.
        connection.pragma("journal_mode", "memory")
        connection.pragma("synchronous", "full")
        connection.pragma("fullfsync", True)
        steps = schema.create(connection)
        connection.pragma("journal_mode", "wal")
    return steps


def _give_name(draft: Path, path: Path) -> None:
    """Raises nothing where a file has come to the place meanwhile; that one stays."""
    with contextlib.suppress(FileExistsError):
        try:
            os.link(draft, path)
        except FileExistsError:
            raise
        except OSError:
            # A file system without hard links; the turn keeps every other process out.
            draft.rename(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(draft: Path) -> None:
    for suffix in ("", "-journal", *_BESIDE):
        Path(f"{draft}{suffix}").unlink(missing_ok=True)


@contextlib.contextmanager
def _turn(path: Path) -> Iterator[None]:
    """The lock that writers take, so that all who start here make one shop."""
    descriptor = os.open(f"{path}-turn", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
