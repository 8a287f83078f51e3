"""The whole file as it is at one moment, made while the shop and the stream go on."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from storekeeper.store.sqlite.backup import back_up
from storekeeper.store.sqlite.streaming.names import Snapshot
from storekeeper.store.sqlite.streaming.tail import Tail

LEVEL = 6
_COPY_BYTES = 2**20
R = TypeVar("R")


def make_snapshot(
    database: Path,
    tail: Tail,
    generation: str,
    *,
    copy: Path,
    packed: Path,
    clock: Callable[[], datetime],
    go_on: Callable[[], None],
) -> Snapshot:
    """Writes the compressed file to `packed`; proven sound. `copy` is room for the plain one. `go_on`
    is asked now and then, and may raise."""
    made: list[Snapshot] = []
    with contextlib.ExitStack() as quiet:
        # Until the copy has begun to read, so that what it holds is known to the frame.
        quiet.enter_context(tail.quiet())

        def begun() -> None:
            number, frame = tail.where()
            made.append(Snapshot(at=clock(), generation=generation, log=number, frame=frame))
            quiet.close()

        back_up(database, copy, force=True, progress=lambda done, total: go_on(), begun=begun)
    with copy.open("rb") as source, gzip.open(packed, "wb", LEVEL) as zipped:
        while piece := source.read(_COPY_BYTES):
            go_on()
            zipped.write(piece)
    return made[0]


async def to_its_end(work: Callable[..., R], *arguments: Any, **named: Any) -> R:
    """In a thread, which can't be cancelled: who waits for it waits until it has ended."""
    thread = asyncio.ensure_future(asyncio.to_thread(work, *arguments, **named))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        await asyncio.wait([thread])
        raise
