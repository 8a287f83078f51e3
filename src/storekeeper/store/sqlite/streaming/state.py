"""What the process that streams says of itself, in a small file beside the database.

It tells the shop's `/metrics` how old the backup is, and this database from others at one target.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from storekeeper.domain.errors import AlreadyExists
from storekeeper.domain.types import Struct

# More than a look for what is new takes, and its way to the target.
PATIENCE_S = 15.0


class Owner(Struct, frozen=True, kw_only=True):
    """Who keeps its backup at a target. `database` is made up once for each file, `run` for each
    process, which `has_ended` if it says so; all that was acknowledged until `safe_until` is at the
    target, by then `frame` of `log`."""

    database: str
    run: str
    host: str
    generation: str
    log: int
    frame: int
    seen: datetime
    safe_until: datetime | None = None
    has_ended: bool = False


class State(Struct, frozen=True, kw_only=True):
    """`database` as in `Owner`. `trouble` is why nothing is sent at the moment. While there is no
    `safe_until`, nothing that was acknowledged after `since` can be restored."""

    database: str
    target: str = ""
    generation: str = ""
    log: int = 0
    safe_until: datetime | None = None
    since: datetime | None = None
    trouble: str = ""


def path_of(database: Path) -> Path:
    return Path(f"{database}-backup")


def read(database: Path) -> State | None:
    """None where no backup was streamed yet, or what is there can't be read."""
    try:
        return msgspec.json.decode(path_of(database).read_bytes(), type=State)
    except (OSError, msgspec.DecodeError):
        return None


def write(database: Path, state: State) -> None:
    path = path_of(database)
    part = Path(f"{path}.part")
    with contextlib.closing(open(part, "wb", opener=_private)) as file:
        file.write(msgspec.json.encode(state))
    part.replace(path)


def lag(database: Path, now: datetime) -> float | None:
    """How many seconds ago the newest moment was that could be restored, or when the backup was to
    begin that has none yet; None: no backup."""
    state = read(database)
    moment = state and (state.safe_until or state.since)
    return max(0.0, (now - moment).total_seconds()) if moment else None


def new_identity() -> str:
    return uuid.uuid4().hex


@contextlib.contextmanager
def alone(database: Path) -> Iterator[None]:
    """Raises `AlreadyExists` while another process streams this database: two would keep each other
    from ever letting the -wal begin anew."""
    descriptor = os.open(f"{path_of(database)}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise AlreadyExists(
            f"a continuous backup of {database} runs already; end that process first"
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def ended(database: Path, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Has the process that streams the database end, if there is one, so that the file can be
    replaced. A service manager starts it again, which works once the block has ended."""
    lock = Path(f"{path_of(database)}.lock")
    if not lock.exists():
        yield
        return
    with open(_asking(database), "a", opener=_private) as asking:
        fcntl.flock(asking, fcntl.LOCK_EX)
        until = time.monotonic() + patience_s
        while _is_held(lock) and time.monotonic() < until:
            time.sleep(0.05)
        yield


def is_to_end(database: Path) -> bool:
    """Whether somebody wants to replace the file."""
    return _is_held(_asking(database))


def _asking(database: Path) -> Path:
    return Path(f"{path_of(database)}.end")


def _is_held(lock: Path) -> bool:
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
