"""The shop's command line in a process of its own, on request with a slower disk under it.

    BENCH_FLUSH_MS=2 python -m benchmarks.launch serve ...

Only the benchmarks start it: the delay is put between SQLite and the disk from outside.
"""

from __future__ import annotations

import atexit
import cProfile
import os
import threading
import time
from typing import Any

import apsw

FLUSH_MS = "BENCH_FLUSH_MS"
PROFILE = "BENCH_PROFILE"


def delay_flushes(seconds: float) -> Any:
    """Makes every flush of a database file take that much longer; keep what it answers.

    The sleep gives up Python's lock, as the flush itself does.
    """
    base = apsw.vfs_names()[0]

    class SlowFile(apsw.VFSFile):
        def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
            time.sleep(seconds)
            super().xSync(flags)

    class SlowDisk(apsw.VFS):
        def __init__(self) -> None:
            super().__init__("slow-disk", base, makedefault=True)

        def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's
            return SlowFile(base, name, flags)

    return SlowDisk()


def profile_threads(folder: str) -> None:
    """Leaves one file of figures for each thread in the folder when the process ends."""
    plain_run = threading.Thread.run

    def run(thread: threading.Thread) -> None:
        profile = cProfile.Profile()
        try:
            profile.runcall(plain_run, thread)
        finally:
            profile.dump_stats(f"{folder}/{thread.name}.prof")

    threading.Thread.run = run  # type: ignore[method-assign,assignment]
    profile = cProfile.Profile()
    atexit.register(lambda: profile.dump_stats(f"{folder}/event-loop.prof"))
    profile.enable()


def main() -> None:
    if folder := os.environ.pop(PROFILE, ""):
        profile_threads(folder)
    milliseconds = float(os.environ.pop(FLUSH_MS, "0"))
    disk = delay_flushes(milliseconds / 1_000) if milliseconds else None
    from storekeeper.cli import main as storekeeper

    try:
        storekeeper()
    finally:
        del disk


if __name__ == "__main__":
    main()
