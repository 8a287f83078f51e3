"""When the request that is being answered began.

What it reads has to hold whatever was committed before that; what others commit meanwhile it may
see or not. So a store that has to ask elsewhere what is new asks once for a request, not for each
question. Decisions don't rest on it: a commit is refused where what was read has changed.
"""

from __future__ import annotations

import time
from contextvars import ContextVar, Token

Began = Token[float | None]
_began: ContextVar[float | None] = ContextVar("began", default=None)


def begin() -> Began:
    """A request begins now, in this task; it ends with `end`."""
    return _began.set(time.monotonic())


def end(began: Began) -> None:
    _began.reset(began)


def began() -> float | None:
    """In seconds of `time.monotonic`; None outside of requests, where each question is one."""
    return _began.get()
