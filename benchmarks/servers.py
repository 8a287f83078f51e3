"""Servers as processes of their own, each kept to its core, on ports that were free."""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks import machine
from benchmarks.launch import FLUSH_MS, PROFILE

START_SECONDS = 60.0
STOP_SECONDS = 40.0
# A server that uses less of its core than this has nothing left to do.
QUIET = 0.04
_ADDRESS = re.compile(r"http://[^/\s]+:(\d+)")
# Limits high enough never to matter, but switched on.
OPEN_GATES = {"requests_per_minute": 100_000_000, "access_token_seconds": 86_400}


class Server:
    """A running server. Leaving its block stops it."""

    def __init__(
        self,
        command: list[str],
        *,
        cores: set[int],
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
        wait: bool = True,
    ) -> None:
        before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
        started = time.perf_counter()
        log = log or Path(os.environ.get("BENCH_LOG", os.devnull))
        self._log = log
        with log.open("ab") as stderr:
            # Inherited, so that no thread of the server ever starts on another core.
            machine.stay_on(cores)
            try:
                self.process = subprocess.Popen(
                    [sys.executable, "-u", *command],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    env={**os.environ, **(environment or {})},
                    start_new_session=True,
                )
            finally:
                machine.stay_on(before)
        self.port = 0
        if wait:
            self.wait_until_open()
        self.start_seconds = time.perf_counter() - started

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_until_open(self) -> None:
        """Until it says where it listens."""
        deadline = time.monotonic() + START_SECONDS
        said = b""
        stdout = self.process.stdout
        assert stdout is not None
        with selectors.DefaultSelector() as ready:
            ready.register(stdout, selectors.EVENT_READ)
            while time.monotonic() < deadline:
                if not ready.select(1.0):
                    continue
                chunk = os.read(stdout.fileno(), 4_096)
                said += chunk
                if found := _ADDRESS.search(said.decode(errors="replace")):
                    self.port = int(found[1])
                    return
                if not chunk:
                    break
        ended = self.process.poll()
        self.kill()
        raise RuntimeError(
            f"the server didn't start ({f'ended with {ended}' if ended else 'no answer in time'}): "
            f"{' '.join(self.process.args)}; {_why(self._log)}"  # type: ignore[arg-type]
        )

    def settle(self, seconds: float = 20.0) -> float:
        """Waits until it has finished what it does beside requests; answers the CPU time used."""
        first = machine.cpu_seconds(self.pid)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            before = machine.cpu_seconds(self.pid)
            time.sleep(0.25)
            if machine.cpu_seconds(self.pid) - before <= QUIET * 0.25:
                break
        return machine.cpu_seconds(self.pid) - first

    def rss_mib(self) -> float:
        return machine.rss_mib(self.pid)

    def stop(self) -> int:
        """Ends it the way an operator would; answers its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
                raise RuntimeError("the server didn't stop in time") from None
        self._close()
        return self.process.returncode

    def kill(self) -> None:
        """`kill -9`, at once, to it and to all that it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._close()

    def _close(self) -> None:
        if self.process.stdout is not None:
            self.process.stdout.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.stop()
        else:
            self.kill()


def serve(
    database: Path,
    *,
    cores: set[int] | None = None,
    flush_ms: float = 0.0,
    workers: int = 1,
    log: Path | None = None,
    wait: bool = True,
    options: tuple[str, ...] = (),
    profile: Path | None = None,
    **settings: Any,
) -> Server:
    """`storekeeper serve` as an operator starts it, with settings by environment."""
    environment = {
        f"STOREKEEPER_{name.upper()}": str(value) for name, value in (OPEN_GATES | settings).items()
    }
    if flush_ms:
        environment[FLUSH_MS] = str(flush_ms)
    if profile is not None:
        environment[PROFILE] = str(profile.resolve())
    return Server(
        [
            *("-m", "benchmarks.launch", "serve", "--port", "0"),
            *("--database", str(database), "--workers", str(workers), *options),
        ],
        cores=cores if cores is not None else machine.server_cores(),
        environment=environment,
        log=log,
        wait=wait,
    )


def bare() -> Server:
    """The framework's empty POST on the core where the shop runs."""
    return Server(["-m", "benchmarks.bare"], cores=machine.server_cores())


def _why(log: Path) -> str:
    """The last words of a server's log."""
    if not log.is_file():
        return "set BENCH_LOG to a file to see why"
    return f"its log ends with: {log.read_text(errors='replace')[-2_000:]}"
