"""Work in a thread that must not be left halfway by one who no longer waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def to_its_end(work: Callable[[], T], undo: Callable[[T], object] | None = None) -> T:
    """Runs short `work` off the event loop, as `asyncio.to_thread` does, and stays until it ended.

    A cancellation is heard only then: nobody goes on to close a file that is just being opened.
    What the work made goes to `undo` in that case, as nobody else ever sees it.
    """
    working = asyncio.create_task(asyncio.to_thread(work))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        if working.exception() is None and undo is not None:
            undo(working.result())
        raise
