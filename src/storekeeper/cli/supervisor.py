"""Several server processes on one socket and one file; a dead one is replaced, all end together.

The supervisor itself serves nothing and opens no shop. What may be done only once (migrations, the
demo) is done before it starts anything.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from types import FrameType

import msgspec
import structlog

from storekeeper.config import Settings
from storekeeper.domain.errors import StoreUnavailable

log = structlog.get_logger("storekeeper.supervisor")
FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 5.0
# A worker that lived this long wasn't broken from the start.
SOUND_AFTER_S = 10.0
GRACE_S = 5.0


def serve_with_workers(
    settings: Settings, listening: socket.socket, opened: Callable[[], None]
) -> None:
    """Serves with `settings.workers` processes until a signal ends it.

    `opened` is called when all of them take requests. Raises `StoreUnavailable` when the first
    ones can't.
    """
    from storekeeper.app import check_provider, check_topics
    from storekeeper.telemetry.logging import configure

    configure(settings.log_level, settings.log_format)
    check_provider(settings)
    check_topics(settings)
    with tempfile.TemporaryDirectory(prefix="storekeeper-metrics-") as metrics:
        supervisor = Supervisor(settings, listening, metrics)
        try:
            supervisor.run(opened)
        finally:
            supervisor.stop()


class Supervisor:
    """Keeps the workers going. `metrics` is the folder in which they leave their figures."""

    def __init__(self, settings: Settings, listening: socket.socket, metrics: str) -> None:
        self._settings = settings
        self._listening = listening
        self._environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": metrics}
        self._slots = [_Slot() for _ in range(settings.workers)]
        self._ready_from, self._ready_to = os.pipe()
        self._woken, self._wake = socket.socketpair()
        self._is_ending = False

    def run(self, opened: Callable[[], None]) -> None:
        """Until SIGTERM or SIGINT."""
        self._take_signals()
        waiting = selectors.DefaultSelector()
        waiting.register(self._woken, selectors.EVENT_READ)
        waiting.register(self._ready_from, selectors.EVENT_READ)
        ready = 0
        for slot in self._slots:
            self._start(slot)
        while not self._is_ending:
            for key, _ in waiting.select(self._patience()):
                if key.fileobj is self._woken:
                    self._woken.recv(4_096)
                    continue
                before = ready
                ready += len(os.read(self._ready_from, 64))
                if before < len(self._slots) <= ready:
                    opened()
            if not self._is_ending:
                self._replace_dead(were_open=ready >= len(self._slots))

    def stop(self) -> None:
        """Tells all to finish what they are at; those that don't in time are killed."""
        running = [slot.process for slot in self._slots if slot.process is not None]
        for process in running:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        patience = self._settings.drain_seconds + self._settings.shutdown_seconds + GRACE_S
        deadline = time.monotonic() + patience
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.error("worker killed; it didn't end in time", pid=process.pid)
                process.kill()
                process.wait()
            _let_go(process)

    def _start(self, slot: _Slot) -> None:
        command = [sys.executable, "-m", "storekeeper.cli.worker"]
        handed = (self._listening.fileno(), self._ready_to)
        process = subprocess.Popen(  # noqa: S603 - our own module, our own numbers
            [*command, *map(str, handed)],
            stdin=subprocess.PIPE,
            pass_fds=handed,
            env=self._environment,
        )
        if process.stdin is None:
            raise RuntimeError("a worker without stdin")
        slot.process, slot.started_at, slot.due_at = process, time.monotonic(), None
        try:
            process.stdin.write(msgspec.json.encode(self._settings) + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            # It is at its end already, and is replaced as any other that dies.
            process.kill()

    def _replace_dead(self, *, were_open: bool) -> None:
        now = time.monotonic()
        for slot in self._slots:
            process = slot.process
            if process is not None and (code := process.poll()) is not None:
                if not were_open:
                    raise StoreUnavailable(
                        f"a worker ended at the start with code {code}; its message is above"
                    )
                _let_go(process)
                slot.try_later(now)
                log.error("worker died", pid=process.pid, code=code, restart_in_s=slot.delay)
            if slot.due_at is not None and now >= slot.due_at:
                try:
                    self._start(slot)
                except OSError as error:
                    slot.try_later(now)
                    log.error("worker can't start", reason=str(error), restart_in_s=slot.delay)

    def _patience(self) -> float:
        due = [slot.due_at for slot in self._slots if slot.due_at is not None]
        return max(0.0, min(due) - time.monotonic()) if due else 60.0

    def _take_signals(self) -> None:
        self._wake.setblocking(False)
        self._woken.setblocking(False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        # A handler is needed for the signal to wake the selector at all.
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._is_ending = True


class _Slot:
    """A worker's place: who holds it, since when, and when the next one is due."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.due_at: float | None = None
        self.delay = FIRST_DELAY_S / 2

    def try_later(self, now: float) -> None:
        """Empties the place; the next one is due the later, the shorter the last ones lived."""
        is_sound = self.process is not None and now - self.started_at >= SOUND_AFTER_S
        self.delay = FIRST_DELAY_S if is_sound else min(self.delay * 2, LONGEST_DELAY_S)
        self.process, self.due_at = None, now + self.delay


def _let_go(process: subprocess.Popen[bytes]) -> None:
    """Closes our end of its stdin; what it didn't read before its end doesn't matter."""
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
