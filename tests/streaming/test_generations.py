"""Each generation is a chain of its own: whatever begins, overlaps or is lost, a restore gives one of
them whole, or says what is missing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from storekeeper.domain.errors import AlreadyExists, StoreUnavailable
from storekeeper.store.sqlite.streaming import state
from storekeeper.store.sqlite.streaming.folder import Folder
from storekeeper.store.sqlite.streaming.names import LOGS, snapshot_of
from storekeeper.store.sqlite.streaming.rebuilding import rebuild
from tests.streaming.world import World, a_world, content


class Meanwhile(Folder):
    """A folder in which something `happens` once, while who restores lists the parts of the log."""

    def __init__(self, path: Path, happens: Callable[[], Awaitable[None]], after: int) -> None:
        super().__init__(path)
        self._happens = happens
        self._left = after
        self.has_happened = False

    async def keys(self, prefix: str, after: str = "") -> AsyncIterator[tuple[str, int]]:
        is_of_logs = prefix.startswith(LOGS)
        if is_of_logs and not self._left:
            await self._once()
        async for found in super().keys(prefix, after):
            yield found
            self._left -= is_of_logs
            if is_of_logs and self._left == 0:
                await self._once()

    async def _once(self) -> None:
        if not self.has_happened:
            self.has_happened = True
            await self._happens()


async def begin_anew(world: World) -> None:
    """Another program has put the log into the file while no stream ran; the next begins anew."""
    await world.stop()
    world.reopen()
    world.write(3)
    world.clock.advance(hours=1)
    before = len(world.snapshots)
    world.start()
    await world.until(lambda: len(world.snapshots) > before)
    world.clock.advance(minutes=1)
    world.write(3)
    await world.acknowledge()


@pytest.mark.parametrize("after", [0, 1, 3])
async def test_a_generation_that_begins_during_a_restore_is_not_mixed_with_the_one_before(
    tmp_path: Path, after: int
) -> None:
    async with a_world(tmp_path) as world:
        for _ in range(4):
            world.write(3)
            await world.acknowledge()
        expected = content(world.database)
        target = Meanwhile(world.target._path, lambda: begin_anew(world), after)
        place = tmp_path / "restored.db"
        place.touch()
        made = await rebuild(target, place)
        assert target.has_happened
        assert len(world.generations) == 2
        assert content(place) == expected
        # Who asks now gets the new one, and the old one by its time.
        now, rows = await world.restored()
        assert now.snapshot.generation != made.snapshot.generation
        assert rows == content(world.database)
        assert (await world.restored(made.until))[1] == expected


async def test_two_who_stream_to_one_target_at_once_are_kept_apart(tmp_path: Path) -> None:
    """For up to a minute, where a storage knows no conditions: each has written orders that the other
    has not, and a mixture of both would be a shop that never was."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    async with a_world(tmp_path / "one") as one, a_world(tmp_path / "two") as two:
        one.write(4)
        await one.acknowledge()
        (at_first,) = one.acknowledged
        two.target = one.target
        two.write(2)
        known = state.read(one.database)
        assert known is not None
        state.write(two.database, state.State(database=known.database))
        two.clock.set(one.clock() + timedelta(seconds=10))
        two.start()
        await two.acknowledge()
        for world in (one, two, one, two):
            world.clock.set(max(one.clock(), two.clock()) + timedelta(seconds=1))
            world.write(2)
            await world.acknowledge()
        assert len(one.generations) == 2
        one.end()
        assert isinstance(await one.ended(), AlreadyExists)
        # Whose the target is: the one that claimed it last.
        assert (await two.restored())[1] == content(two.database)
        assert (await one.restored(at_first))[1] == one.acknowledged[at_first]
        for at, rows in two.acknowledged.items():
            assert (await two.restored(at))[1] == rows


async def test_a_generation_that_lost_its_snapshots_is_told_and_not_passed_over(
    tmp_path: Path,
) -> None:
    """Else the shop would come back as it was weeks ago, without a word."""
    async with a_world(tmp_path) as world:
        world.write(2)
        await world.acknowledge()
        before, rows = next(iter(world.acknowledged.items()))
        await begin_anew(world)
        await world.stop()
    world.snapshots[-1].unlink()
    for at in (None, world.clock()):
        with pytest.raises(StoreUnavailable, match=r"all snapshots of generation \S+ are missing"):
            await world.restored(at)
    assert (await world.restored(before))[1] == rows


async def test_while_a_generation_has_no_snapshot_yet_the_one_before_is_restored(
    tmp_path: Path, monkeypatch
) -> None:
    async with a_world(tmp_path) as world:
        world.write(2)
        await world.acknowledge()
        expected = content(world.database)
        await world.stop()
        world.reopen()
        world.clock.advance(hours=1)
        # The new one says that it is there, and sends no snapshot.

        async def fails(key: str, path: Path) -> None:
            raise StoreUnavailable("the target is away")

        monkeypatch.setattr(world.target, "upload", fails)
        world.write(1)
        world.start()
        await world.until(lambda: len(world.generations) == 2)
        assert (await world.restored())[1] == expected


async def test_a_damaged_snapshot_that_begins_a_generation_leads_to_the_one_before(
    tmp_path: Path,
) -> None:
    async with a_world(tmp_path) as world:
        world.write(2)
        await world.acknowledge()
        expected = content(world.database)
        await begin_anew(world)
    newest = world.snapshots[-1]
    newest.write_bytes(b"")
    found = snapshot_of(f"snapshots/{newest.name}")
    assert found is not None
    with pytest.raises(StoreUnavailable, match=f"of generation {found.generation}.*--at") as told:
        await world.restored()
    moment = msgspec.convert(told.value.detail.rsplit(" ", 1)[1], type=type(found.at))
    assert (await world.restored(moment))[1] == expected
    world.snapshots[0].write_bytes(b"")
    with pytest.raises(StoreUnavailable, match="it is the oldest there"):
        await world.restored(moment)
