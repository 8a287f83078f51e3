"""Where tests keep their files: in memory where there is room, for they wait for a disk most of all.

What is written there goes with the run. A run that was killed leaves its folder behind; the next
one removes it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")
# A whole run leaves less than half of it.
ROOM = 4 << 30
NAME = "storekeeper-tests-"


def use_memory(config: pytest.Config) -> None:
    """Puts pytest's temporary folders into memory, unless `--basetemp` says where they belong."""
    if config.option.basetemp is not None or not _has_room():
        return
    for left in MEMORY.glob(f"{NAME}*"):
        _remove_if_left(left)
    folder = Path(tempfile.mkdtemp(prefix=NAME, dir=MEMORY))
    config.add_cleanup(_held(folder))
    config.option.basetemp = folder / "all"


@contextlib.contextmanager
def on_disk() -> Iterator[Path]:
    """A new folder outside of it, for tests of what a disk still holds; removed at the end."""
    with tempfile.TemporaryDirectory(prefix=NAME) as folder:
        yield Path(folder)


def _has_room() -> bool:
    if sys.platform != "linux":
        return False
    try:
        return os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM
    except OSError:
        return False


def _held(folder: Path) -> Callable[[], None]:
    """Marks the folder as one of a run that lives; answers how to give it up."""
    import fcntl

    held = os.open(folder, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)

    def give_up() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)

    return give_up


def _remove_if_left(folder: Path) -> None:
    import fcntl

    # Another's, or just being removed.
    with contextlib.suppress(OSError):
        held = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(held)
