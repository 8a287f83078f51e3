"""The end of a connection whose client is still sending.

Who closes a socket with bytes unread answers with a reset, and a reset may take away what the client
hasn't read yet: the very answer that says why. So the server says that it has no more to say (a
half-close), reads on for a moment without keeping anything, and then closes (RFC 9112, section 9.6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

# Who has sent nothing for so long has read the answer, or never will.
IDLE_S = 1.0
LONGEST_S = 5.0
# More is left unread: who can't write on looks for an answer, as proxies do, and finds it.
MOST_BYTES = 8 * 2**20
# Of one process; past it, who lingers longest is closed.
MOST = 128


class Lingering:
    """How long a client has been listened to after its answer, and how much it has sent."""

    def __init__(self, now: float) -> None:
        self._began = self._heard = now
        self._bytes = 0

    def takes(self, size: int, now: float) -> bool:
        """Counts what came; False once it is too much."""
        self._heard = now
        self._bytes += size
        return self._bytes <= MOST_BYTES

    def is_over_at(self, now: float) -> bool:
        return now - self._heard >= IDLE_S or now - self._began >= LONGEST_S


class LastTransport(asyncio.Transport):
    """A connection's transport as uvicorn sees it: its `close` lingers where `begins` says that it
    may. To uvicorn it is closing from then on, so nothing is written any more."""

    def __init__(self, transport: asyncio.Transport, begins: Callable[[], bool]) -> None:
        super().__init__()
        self.real = transport
        self._begins = begins
        self._lingers = False
        # Of every answer, so without a step in between.
        self.write = transport.write  # type: ignore[method-assign]

    def close(self) -> None:
        if self._lingers or self.real.is_closing():
            return
        self._lingers = self.real.can_write_eof() and self._begins()
        if self._lingers:
            self.real.write_eof()
        else:
            self.real.close()

    def is_closing(self) -> bool:
        return self._lingers or self.real.is_closing()

    def abort(self) -> None:
        self.real.abort()
