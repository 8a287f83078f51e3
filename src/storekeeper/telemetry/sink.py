"""Where log lines go: gathered in memory for a moment, written together off the request's path."""

from __future__ import annotations

import atexit
import sys
import threading
from collections import deque
from typing import BinaryIO

FLUSH_SECONDS = 0.25
MOST_LINES = 5_000


class Sink:
    """Bytes in, whole lines out. What is urgent is written at once, with all that came before."""

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = stream
        self._lines: deque[bytes] = deque()
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._is_awake = False
        self._thread: threading.Thread | None = None

    def write(self, line: bytes, *, urgent: bool = False) -> None:
        self._lines.append(line)
        if urgent or len(self._lines) > MOST_LINES:
            self.flush()
        elif not self._is_awake:
            self._is_awake = True
            if self._thread is None:
                self._start()
            self._wake.set()

    def flush(self) -> None:
        with self._writing:
            lines = []
            while self._lines:
                lines.append(self._lines.popleft())
            if lines:
                stream = self._stream or sys.stderr.buffer
                stream.write(b"\n".join(lines) + b"\n")
                stream.flush()

    def _start(self) -> None:
        atexit.register(self.flush)
        self._thread = threading.Thread(target=self._run, name="storekeeper-log", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self._wake.wait()
            pause.wait(FLUSH_SECONDS)
            self._wake.clear()
            # A line that comes from here on wakes the next turn, or is written by this one.
            self._is_awake = False
            self.flush()


SINK = Sink()
