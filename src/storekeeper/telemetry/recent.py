"""The last things that went wrong in this process, for a look without a log at hand.

Kept in memory and bounded. Of a request there is its id, its route and the kind of error, of work
beside requests what the log says of it; never a body, an address or a person.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from typing import Any

import msgspec

MOST = 50
LONGEST = 200


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """One error. `status` and `route` of a request that was answered with 500 or more; `kind` is
    the exception's type, `what` the log's words."""

    at: datetime
    kind: str = ""
    what: str = ""
    request_id: str = ""
    method: str = ""
    route: str = ""
    status: int | None = None


class RecentErrors:
    """The newest `MOST`. Written from any thread: one append or clear at a time is safe."""

    def __init__(self, most: int = MOST) -> None:
        self._kept: deque[Trouble] = deque(maxlen=most)

    def add(self, trouble: Trouble) -> None:
        self._kept.append(trouble)

    def forget(self) -> None:
        self._kept.clear()

    def newest_first(self) -> list[Trouble]:
        return list(reversed(self._kept.copy()))

    def processor(self, logger: Any, name: str, event: Any) -> Any:
        """A step of structlog's: notes errors of the work beside requests. Those of requests are
        noted where they are answered, with their route."""
        if event.get("level") in ("error", "critical") and not event.get("request_id"):
            # Other libraries' words may hold anything; their name says where to look.
            what = event.get("logger") or event.get("event", "")
            self.add(
                Trouble(
                    at=datetime.now(UTC),
                    kind=_kind(event.get("exc_info")),
                    what=str(what)[:LONGEST],
                )
            )
        return event


def _kind(found: Any) -> str:
    if isinstance(found, BaseException):
        return type(found).__name__
    if isinstance(found, tuple) and found and found[0] is not None:
        return str(found[0].__name__)
    return ""


# The log is set up once for the process, and so is this.
RECENT = RecentErrors()
