"""Where log lines go: gathered in memory for a moment, written together off the request's path."""

from __future__ import annotations

import atexit
import sys
import threading
from collections import deque
from typing import BinaryIO

FLUSH_SECONDS = 0.25
MOST_LINES = 20_000
LAST_WORDS_SECONDS = 2.0


class Sink:
    """Bytes in, whole lines out, by a thread of its own.

    Who logs never waits and never fails: while nobody reads the log, or its disk is full, lines
    past `MOST_LINES` are dropped, and the log says how many when it can be written again. What is
    urgent is written without the moment's wait, with all that came before.
    """

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = stream
        self._lines: deque[bytes] = deque()
        self._dropped = 0
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._is_awake = False
        self._is_closing = False
        self._thread: threading.Thread | None = None

    def write(self, *lines: bytes, urgent: bool = False) -> None:
        room = max(0, MOST_LINES - len(self._lines))
        if len(lines) > room:
            self._dropped += len(lines) - room
            lines = lines[:room]
        if not lines:
            return
        self._lines.extend(lines)
        if urgent:
            self._hurry.set()
        if not self._is_awake:
            self._is_awake = True
            if self._thread is None:
                self._start()
            self._wake.set()

    def close(self) -> None:
        """Writes what waits, as far as the reader takes it within two seconds."""
        self._is_closing = True
        self._hurry.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(LAST_WORDS_SECONDS)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="storekeeper-log", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def _run(self) -> None:
        while not self._is_closing:
            self._wake.wait()
            self._hurry.wait(FLUSH_SECONDS)
            self._wake.clear()
            self._hurry.clear()
            # A line that comes from here on wakes the next turn, or is written by this one.
            self._is_awake = False
            self._write_out()
        # It may have been told to end in the midst of that.
        self._write_out()

    def _write_out(self) -> None:
        lines = []
        while self._lines:
            lines.append(self._lines.popleft())
        dropped, self._dropped = self._dropped, 0
        if dropped:
            lines.append(b'{"event":"log lines dropped","level":"warning","lines":%d}' % dropped)
        if not lines:
            return
        try:
            stream = self._stream or sys.stderr.buffer
            stream.write(b"\n".join(lines) + b"\n")
            stream.flush()
        except (OSError, ValueError):
            # There is nowhere to say it but the log itself, once that takes lines again.
            self._dropped += dropped + len(lines) - bool(dropped)


SINK = Sink()
