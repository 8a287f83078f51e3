"""Whatever writers, other programs, kills and outages do: what was said to be safe can be had again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import apsw
from hypothesis import example, given
from hypothesis import strategies as st

from tests.streaming.world import World, a_world

_MODES = (
    apsw.SQLITE_CHECKPOINT_PASSIVE,
    apsw.SQLITE_CHECKPOINT_FULL,
    apsw.SQLITE_CHECKPOINT_RESTART,
    apsw.SQLITE_CHECKPOINT_TRUNCATE,
)
writes = st.tuples(
    st.just("write"), st.integers(1, 15), st.integers(1, 4), st.sampled_from((50, 2_000, 9_000))
)
steps = st.one_of(
    writes,
    writes,
    st.tuples(st.just("acknowledge")),
    st.tuples(st.just("acknowledge")),
    st.tuples(st.just("checkpoint"), st.sampled_from(_MODES)),
    st.tuples(st.just("give up writing"), st.integers(5, 20)),
    st.tuples(st.just("reopen")),
    st.tuples(st.just("kill"), st.integers(0, 12), st.booleans()),
    st.tuples(st.just("stop")),
    st.tuples(st.just("away"), st.integers(1, 2)),
    st.tuples(st.just("a day")),
    st.tuples(st.just("read on")),
)


async def take(world: World, step: Sequence[object], readers: list[apsw.Connection]) -> None:
    match step:
        case ("write", int(transactions), int(rows), int(size)):
            world.write(transactions, rows, size)
        case ("acknowledge",):
            await world.acknowledge()
        case ("checkpoint", int(mode)):
            world.checkpoint(mode)
        case ("give up writing", int(rows)):
            world.give_up_writing(rows)
        case ("reopen",):
            world.reopen()
        case ("kill", int(calls), bool(after)):
            world.target.kill_in, world.target.kill_after = calls, after
        case ("stop",):
            await world.stop()
        case ("away", int(calls)):
            world.target.away = calls
        case ("a day",):
            world.clock.advance(days=1)
        case ("read on",):
            if readers:
                readers.pop().close()
            else:
                readers.append(world.opened())
                readers[0].execute("BEGIN")
                readers[0].execute("SELECT count(*) FROM entry").fetchall()
        case _:
            raise AssertionError(step)


async def live(folder: Path, story: Sequence[Sequence[object]]) -> None:
    readers: list[apsw.Connection] = []
    async with a_world(folder) as world:
        for step in story:
            await take(world, step, readers)
        await world.acknowledge()
        for reader in readers:
            reader.close()
        newest = max(world.acknowledged)
        assert (await world.restored())[1] == world.acknowledged[newest]
        week = [at for at in world.acknowledged if (newest - at).days < 7]
        for at in week[-6:]:
            made, content = await world.restored(at)
            assert content == world.acknowledged[at]
            assert made.until <= at


@given(st.lists(steps, max_size=12))
@example([("write", 15, 4, 9_000), ("kill", 4, True), ("write", 15, 4, 9_000), ("acknowledge",)])
@example([("acknowledge",), ("reopen",), ("write", 3, 1, 50), ("stop",), ("reopen",)])
@example([("acknowledge",), ("give up writing", 20), ("write", 1, 1, 50)])
def test_what_was_said_to_be_safe_is_restored_as_it_was(story: list[tuple[object, ...]]) -> None:
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        asyncio.run(live(Path(folder), story))
