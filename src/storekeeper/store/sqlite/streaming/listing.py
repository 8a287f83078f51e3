"""What is at a target, and what may go from there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec
import structlog

from storekeeper.domain.types import Struct
from storekeeper.store.sqlite.streaming.names import (
    LOGS,
    OWNER,
    SNAPSHOTS,
    Segment,
    Snapshot,
    segment_of,
    snapshot_of,
)
from storekeeper.store.sqlite.streaming.state import Owner
from storekeeper.store.sqlite.streaming.target import Target, Unusable

log = structlog.get_logger(__name__)
T = TypeVar("T")
# Small objects that are asked for together: each takes tens of milliseconds to come.
AT_ONCE = 16


class Contents(Struct, frozen=True, kw_only=True):
    """What is at a target: moments from `since` to `until` can be restored (those where nothing was
    streamed are like the last one before). `until` is as the process told it at `seen`, within a
    minute; `last_segment` is when it sent something last and had no more. `lag_s` is how long ago `until` was."""

    target: str
    host: str
    seen: datetime | None
    since: datetime | None
    until: datetime | None
    last_segment: datetime | None
    lag_s: float | None
    snapshots: int
    segments: int
    bytes: int


def batched(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


async def contents_of(target: Target, now: datetime) -> Contents:
    """Reads the whole listing."""
    owner = await owner_of(target)
    known = await snapshots(target)
    size = segments = 0
    last: datetime | None = None
    async for key, bytes_ in target.keys(""):
        size += bytes_
        segment = segment_of(key)
        if segment is not None:
            segments += 1
            if segment.is_all:
                last = segment.at if last is None else max(last, segment.at)
    told = [at for at in (owner and owner.safe_until, last, known[-1].at if known else None) if at]
    until = max(told) if known else None
    return Contents(
        target=target.name,
        host=owner.host if owner else "",
        seen=owner.seen if owner else None,
        since=known[0].at if known else None,
        until=until,
        last_segment=last,
        lag_s=round((now - until).total_seconds(), 1) if until else None,
        snapshots=len(known),
        segments=segments,
        bytes=size,
    )


async def owner_of(target: Target) -> Owner | None:
    """Who keeps its backup there, as far as that can be read: parts are found without it."""
    try:
        return (await owner_and_tag(target))[0]
    except Unusable as error:
        log.warning("not told who keeps this backup", reason=error.detail)
        return None


async def owner_and_tag(target: Target) -> tuple[Owner | None, str | None]:
    """The same with the tag for `Target.replace`; raises `Unusable` where it can't be read."""
    found = await target.find(OWNER)
    if found is None:
        return None, None
    try:
        return msgspec.json.decode(found.data, type=Owner), found.tag
    except msgspec.DecodeError as error:
        raise Unusable(f"{OWNER} at {target.name} is damaged; take it away from there") from error


async def snapshots(target: Target) -> list[Snapshot]:
    """All that are whole, oldest first."""
    found = [snapshot_of(key) async for key, _ in target.keys(SNAPSHOTS)]
    return sorted((one for one in found if one is not None), key=lambda one: one.at)


async def last_segment(target: Target, generation: str, since_log: int) -> Segment | None:
    """The newest of a generation; `since_log` is a log that it isn't older than."""
    last = None
    start = f"{LOGS}{generation}/"
    async for key, _ in target.keys(start, f"{start}{since_log:08d}"):
        found = segment_of(key)
        if found is not None and (
            last is None or (found.log.number, found.last) > (last.log.number, last.last)
        ):
            last = found
    return last


async def remove_old(target: Target, cutoff: datetime, current: str) -> int:
    """Removes what only moments before `cutoff` need; answers how many objects. The newest snapshot
    that is older stays, with all that follows it, so that `cutoff` itself can be restored. The
    generation `current` may have no snapshot yet."""
    known = await snapshots(target)
    old = [one for one in known if one.at <= cutoff][:-1]
    kept = known[len(old) :]
    # The snapshots first: without its logs one would still be good, but not for all that it promises.
    await _remove(target, [snapshot.key for snapshot in old])
    oldest = {one.generation: one for one in reversed(kept)}
    removed = len(old)
    doomed: list[str] = []
    # Of the log in which a snapshot was made.
    held: list[str] = []
    generation = ""
    # Keys sort as generations and logs do, and each was begun before the next.
    async for key, _ in target.keys(LOGS):
        segment = segment_of(key)
        if segment is None:
            continue
        log = segment.log
        if log.generation != generation:
            generation, held = log.generation, []
        snapshot = oldest.get(log.generation)
        if snapshot is None:
            if log.generation != current:
                doomed.append(key)
        elif log.number < snapshot.log:
            doomed.append(key)
        elif log.number == snapshot.log:
            held.append(key)
        else:
            # With nothing after it, that log is in the snapshot as a whole.
            if (log.number, log.before) == (snapshot.log + 1, snapshot.frame):
                doomed += held
            held = []
        if len(doomed) >= AT_ONCE:
            await _remove(target, doomed)
            removed += len(doomed)
            doomed = []
    await _remove(target, doomed)
    return removed + len(doomed)


async def _remove(target: Target, keys: Sequence[str]) -> None:
    for some in batched(keys, AT_ONCE):
        await asyncio.gather(*(target.remove(key) for key in some))
