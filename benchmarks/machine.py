"""The machine that a run was made on, and which of its cores do what."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from pathlib import Path

import apsw

from storekeeper import __version__

FLUSHES = 200


def cores() -> list[int]:
    """The cores that this process may use, before it was told to use only some of them."""
    return list(_CORES)


def server_cores() -> set[int]:
    """One core for the server, as long as the load generator has another."""
    return set(_CORES[:1])


def load_cores() -> set[int]:
    return set(_CORES[-1:])


def stay_on(wanted: set[int]) -> None:
    """Keeps this process, and what it starts from now on, to these cores, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, wanted)


def described(folder: Path) -> dict[str, str]:
    """What figures depend on. `folder` is on the disk that is written to."""
    median, worst = flush_milliseconds(folder)
    return {
        "processor": f"{_processor()}, {len(_CORES)} cores",
        "memory": f"{_memory_gib():.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "SQLite": f"{apsw.sqlite_lib_version()} (apsw {apsw.apsw_version()})",
        "flush to disk": f"{median:.2f} ms median, {worst:.2f} ms at 99 % (4 KiB, fdatasync)",
        "Storekeeper": __version__,
        "load at start": f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown",
    }


def flush_milliseconds(folder: Path) -> tuple[float, float]:
    """How long it takes until 4 KiB are durable: the median and the 99th percentile."""
    path = folder / "flush-probe"
    flush = getattr(os, "fdatasync", os.fsync)
    found = []
    with path.open("wb", buffering=0) as file:
        for _ in range(FLUSHES):
            file.write(b"x" * 4_096)
            started = time.perf_counter()
            flush(file.fileno())
            found.append(1_000 * (time.perf_counter() - started))
    path.unlink()
    found.sort()
    return statistics.median(found), found[int(FLUSHES * 0.99)]


def rss_mib(pid: int | str = "self") -> float:
    """Memory that a process really holds now."""
    return _status(pid, "VmRSS:") / 1_024


def peak_rss_mib(pid: int | str = "self") -> float:
    """The most memory that a process ever held."""
    return _status(pid, "VmHWM:") / 1_024


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def has_proc() -> bool:
    return Path("/proc/self/status").exists()


def _status(pid: int | str, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/{pid}/status has no {name}")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


_CORES = (
    sorted(os.sched_getaffinity(0))
    if hasattr(os, "sched_getaffinity")
    else list(range(os.cpu_count() or 1))
)
if sys.platform == "win32":
    raise SystemExit("the benchmarks need a system with /proc and signals; use Linux")
