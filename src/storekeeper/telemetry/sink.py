"""Where log lines go: gathered in memory for a moment, written together off the request's path."""

from __future__ import annotations

import atexit
import sys
import threading
from typing import BinaryIO

FLUSH_SECONDS = 0.25
FLUSH_BYTES = 65_536


class Sink:
    """Bytes in, whole lines out. What is urgent is written at once, with all that came before."""

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = stream
        self._lines: list[bytes] = []
        self._size = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def write(self, line: bytes, *, urgent: bool = False) -> None:
        with self._lock:
            self._lines.append(line)
            self._size += len(line)
            start = self._thread is None
            if start:
                self._thread = threading.Thread(
                    target=self._run, name="storekeeper-log", daemon=True
                )
        if start and self._thread is not None:
            atexit.register(self.flush)
            self._thread.start()
        if urgent:
            self.flush()
        elif len(self._lines) == 1 or self._size > FLUSH_BYTES:
            self._wake.set()

    def flush(self) -> None:
        with self._lock:
            lines, self._lines, self._size = self._lines, [], 0
            if lines:
                stream = self._stream or sys.stderr.buffer
                stream.write(b"\n".join(lines) + b"\n")
                stream.flush()

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._size <= FLUSH_BYTES:
                pause.wait(FLUSH_SECONDS)
            self.flush()


SINK = Sink()
