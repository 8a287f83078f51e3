"""Tells the log that something waits for the store: once when it begins, once when it ends."""

from __future__ import annotations

import time
from typing import Any

from storekeeper.domain.errors import Overloaded, StoreUnavailable

# What passes by itself: nothing of ours is wrong.
AWAY = (StoreUnavailable, Overloaded)


class Outage:
    """Of one kind of work, of which several parts (`who`) may wait at a time.

    `log` is a logger of structlog; `what` the subject of its sentences.
    """

    def __init__(self, log: Any, what: str) -> None:
        self._log = log
        self._what = what
        self._waiting: set[str] = set()
        self._since = 0.0

    @property
    def waiting(self) -> frozenset[str]:
        return frozenset(self._waiting)

    def begins(self, reason: str, who: str = "") -> None:
        """To be called at each failure."""
        if not self._waiting:
            self._since = time.monotonic()
            of = {"who": who} if who else {}
            self._log.warning(f"{self._what} waits for the store", reason=reason, **of)
        self._waiting.add(who)

    def ends(self, who: str = "") -> None:
        """To be called at each success."""
        if who in self._waiting:
            self._waiting.remove(who)
            if not self._waiting:
                waited = round(time.monotonic() - self._since, 1)
                self._log.info(f"{self._what} goes on", waited_s=waited)
