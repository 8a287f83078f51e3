"""Frames, snapshots and logs one by one, in orders that a running stream meets once in a blue moon."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import apsw

from storekeeper.store.sqlite.streaming.listing import remove_old
from storekeeper.store.sqlite.streaming.snapshot import make_snapshot
from storekeeper.store.sqlite.streaming.tail import MOST_AT_ONCE, Tail, Taken
from tests.streaming.world import World, a_world, content

GENERATION = "20300101T090000Z-00000001"


class Stream:
    """What a sender does, step by step."""

    def __init__(self, world: World, tail: Tail) -> None:
        self.world = world
        self.tail = tail

    async def send(self, *parts: Taken | None) -> None:
        for taken in parts:
            if taken is not None:
                await self.world.target.write(taken.segment.key, gzip.compress(taken.data))

    async def send_all(self) -> None:
        while (taken := self.tail.take()) is not None:
            await self.send(taken)
        self.world.clock.advance(milliseconds=1)

    async def snapshot(self, folder: Path) -> None:
        copy, packed = folder / "copy", folder / "packed"
        made = make_snapshot(
            self.world.database,
            self.tail,
            GENERATION,
            copy=copy,
            packed=packed,
            clock=self.world.clock,
            go_on=lambda: None,
        )
        await self.world.target.upload(made.key, packed)


@asynccontextmanager
async def a_stream(folder: Path, **limits: int) -> AsyncIterator[Stream]:
    async with a_world(folder) as world:
        world.shop.wal_autocheckpoint(0)
        tail = Tail(world.database, GENERATION, clock=world.clock, **limits)
        try:
            yield Stream(world, tail)
        finally:
            tail.close()


async def test_older_frames_never_go_over_a_newer_snapshot(tmp_path: Path) -> None:
    """A commit comes between the last look and the snapshot, which is restored for its moment."""
    async with a_stream(tmp_path) as stream:
        world = stream.world
        world.write(3)
        await stream.send_all()
        world.write(5, 2, 2_000)
        await stream.snapshot(tmp_path)
        at, expected = world.clock(), content(world.database)
        world.clock.advance(milliseconds=1)
        world.write(2)
        await stream.send_all()
        made, found = await world.restored(at)
        assert (found, made.segments) == (expected, 0)
        assert (await world.restored())[1] == content(world.database)


async def test_a_snapshot_that_is_first_to_see_a_new_log_is_of_that_log(tmp_path: Path) -> None:
    """Else the log before would be put over newer pages, and the shop be damaged by its restore."""
    async with a_stream(tmp_path) as stream:
        world = stream.world
        world.write(5, 2, 2_000)
        await stream.send_all()
        await stream.send(*stream.tail.begin_anew())
        world.write(20, 2, 2_000)
        await stream.snapshot(tmp_path)
        at, expected = world.clock(), content(world.database)
        world.clock.advance(milliseconds=1)
        world.write(2, 2, 2_000)
        await stream.send_all()
        assert (await world.restored(at))[1] == expected
        made, found = await world.restored()
        assert world.objects[-1].parent.name.startswith(f"{made.snapshot.log:08d}-")
        assert found == content(world.database)


async def test_a_look_at_the_log_in_the_middle_of_a_commit_is_taken_again(tmp_path: Path) -> None:
    """The stream would end, and the backup be behind until it is started again."""

    class Midway:
        """SQLite's answer while another connection writes the count of frames."""

        def __init__(self, connection: apsw.Connection) -> None:
            self._connection = connection
            self._left = 2

        def wal_checkpoint(self, *, mode: int) -> tuple[int, int]:
            self._left -= 1
            if self._left >= 0:
                raise apsw.BusyError("database is locked")
            return self._connection.wal_checkpoint(mode=mode)

    async with a_stream(tmp_path) as stream:
        stream.world.write(3)
        own = stream.tail._checkpointer
        stream.tail._checkpointer = Midway(own)  # type: ignore[assignment]
        await stream.snapshot(tmp_path)
        await stream.send_all()
        stream.tail._checkpointer = own
        assert (await stream.world.restored())[1] == content(stream.world.database)


async def test_a_log_is_kept_for_as_long_as_a_snapshot_lacks_some_of_it(tmp_path: Path) -> None:
    async with a_stream(tmp_path) as stream:
        world = stream.world
        await stream.snapshot(tmp_path)
        world.clock.advance(milliseconds=1)
        expected: list[int] = []
        # A snapshot in the middle of a log, then one at its end.
        for rest in (3, 0):
            world.write(3)
            await stream.send_all()
            await stream.snapshot(tmp_path)
            world.clock.advance(milliseconds=1)
            world.write(rest)
            await stream.send_all()
            await stream.send(*stream.tail.begin_anew())
            world.write(1)
            await stream.send_all()
            await remove_old(world.target, world.clock() - timedelta(milliseconds=1), GENERATION)
            expected.append(len({path.parent for path in world.objects}))
            assert len(world.snapshots) == 1
            assert (await world.restored())[1] == content(world.database)
        assert expected == [2, 1]


async def test_a_log_that_isnt_taken_as_a_whole_never_begins_anew(tmp_path: Path) -> None:
    """However often it was tried while a writer was too fast."""
    async with a_stream(tmp_path, segment_bytes=4_200) as stream:
        world, tail = stream.world, stream.tail
        await stream.snapshot(tmp_path)
        world.write(30)
        for commits in (0, 1, 0, 1):
            taken = tail.begin_anew()
            assert len(taken) == MOST_AT_ONCE
            await stream.send(*taken)
            world.write(commits)
        await stream.send_all()
        assert len({path.parent for path in world.objects}) == 1
        await stream.send(*tail.begin_anew())
        world.write(1)
        await stream.send_all()
        assert len({path.parent for path in world.objects}) == 2
        assert (await world.restored())[1] == content(world.database)
