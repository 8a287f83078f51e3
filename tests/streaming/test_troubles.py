"""What may go wrong between a shop and its backup: the shop goes on, and the backup does afterwards."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from storekeeper.domain.errors import AlreadyExists, StoreUnavailable
from storekeeper.store.sqlite import backup
from storekeeper.store.sqlite.streaming import state
from storekeeper.store.sqlite.streaming.listing import contents_of
from storekeeper.store.sqlite.streaming.names import OWNER, snapshot_of
from storekeeper.store.sqlite.streaming.target import Unusable
from tests.faults.test_full_disk import SmallDisk, mount
from tests.streaming.world import PLAN, Killed, Perilous, World, a_world, content
from tests.support import local_engines


async def test_a_target_that_is_away_holds_up_nothing_and_misses_nothing(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.write()
        await world.acknowledge()
        safe_until = world.safe_until
        world.target.away = 1_000_000
        world.write(20, 3, 2_000)
        await world.until(lambda: read(world).trouble)
        world.clock.advance(minutes=5)
        lag = state.lag(world.database, world.clock())
        assert safe_until is not None
        assert lag == (world.clock() - safe_until).total_seconds()
        world.target.away = 0
        await world.acknowledge()
        assert read(world).trouble == ""
        assert len(world.generations) == 1
        assert (await world.restored())[1] == content(world.database)


async def test_a_long_outage_ends_with_a_new_snapshot_instead_of_a_full_disk(
    tmp_path: Path,
) -> None:
    plan = msgspec.structs.replace(PLAN, wal_bytes=400_000)
    async with a_world(tmp_path, plan) as world:
        world.write()
        await world.acknowledge()
        at, before = next(iter(world.acknowledged.items()))
        first = read(world).generation
        world.target.away = 1_000_000
        world.write()
        await world.until(lambda: read(world).trouble)
        # The shop goes on for as long as it takes; what SQLite writes again and again stays small.
        wal = Path(f"{world.database}-wal")
        sizes = []
        for _ in range(40):
            world.write(10, 1, 3_000)
            sizes.append(wal.stat().st_size)
            if len(sizes) == 20:
                # By now the stream has let go of what it couldn't send.
                await world.until(lambda: read(world).generation != first)
        # If it didn't, this would be twice as much by now.
        assert max(sizes[21:]) < 1.2 * sizes[19]
        world.target.away = 0
        await world.acknowledge()
        assert (await world.restored())[1] == content(world.database)
        assert (await world.restored(at))[1] == before


async def test_rights_that_are_taken_away_are_waited_for_but_a_start_without_is_refused(
    tmp_path: Path,
) -> None:
    async with a_world(tmp_path) as world:
        world.target.refused = "may not be used (AccessDenied)"
        world.start()
        assert isinstance(await world.ended(), Unusable)
        world.target.refused = ""
        world.start()
        await world.acknowledge()
        world.target.refused = "may not be used (AccessDenied)"
        world.write()
        await world.until(lambda: "AccessDenied" in read(world).trouble)
        world.target.refused = ""
        await world.acknowledge()
        assert world.starts == 2
        assert (await world.restored())[1] == content(world.database)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    folder = tmp_path / "target"
    folder.mkdir()
    if not mount(folder):
        local_engines.not_tested("a full backup disk", "Only some users may mount a small disk")
    yield SmallDisk(folder)
    subprocess.run(["umount", str(folder)], check=True)


async def test_a_full_disk_at_the_target_is_waited_for(tmp_path: Path, disk: SmallDisk) -> None:
    async with a_world(tmp_path) as world:
        world.write()
        await world.acknowledge()
        disk.fill_up()
        world.write(5, 3, 3_000)
        await world.until(lambda: "No space left" in read(world).trouble)
        (disk.folder / "ballast").unlink()
        await world.acknowledge()
        assert not list(disk.folder.rglob(".*.part"))
        assert (await world.restored())[1] == content(world.database)


async def test_a_disk_too_small_for_the_shop_is_said_before_anything_is_replaced(
    tmp_path: Path, disk: SmallDisk
) -> None:
    (tmp_path / "world").mkdir()
    async with a_world(tmp_path / "world") as world:
        world.write(20, 4, 3_000)
        await world.acknowledge()
        disk.fill_up()
        with pytest.raises(StoreUnavailable, match=r"target/shop\.db.*No space"):
            await world.restored_to(disk.folder / "shop.db")


async def test_a_part_that_arrives_after_its_process_was_killed_does_no_harm(
    tmp_path: Path,
) -> None:
    """Storage may take a request that nobody waits for any more."""
    async with a_world(tmp_path) as world:
        for _ in range(3):
            world.write(2)
            await world.acknowledge()
        late = world.objects[-1]
        kept = late.read_bytes()
        await world.stop()
        late.unlink()
        world.write(3)
        await world.acknowledge()
        late.write_bytes(kept)
        world.write(1)
        await world.acknowledge()
        assert len(world.generations) == 1
        for at, expected in world.acknowledged.items():
            assert (await world.restored(at))[1] == expected


async def test_a_clock_that_was_set_back_doesnt_hide_what_came_last(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.write(2)
        await world.acknowledge()
        await world.stop()
        # Other frames than the stream has seen, so that it begins anew.
        world.reopen()
        world.write(2)
        world.clock.advance(hours=-1)
        world.start()
        # Until it has told of its own, what the stream before said was safe lies an hour ahead.
        await world.until(lambda: world.safe_until and world.safe_until <= world.clock())
        assert len(world.snapshots) == 2
        world.write(2)
        await world.acknowledge()
        assert (await world.restored())[1] == content(world.database)


@pytest.mark.parametrize("harm", ["cut", "scribbled", "emptied", "removed", "swapped"])
@pytest.mark.parametrize("which", [1, -1])
async def test_harm_to_one_part_is_told_with_the_last_moment_that_is_still_good(
    tmp_path: Path, harm: str, which: int
) -> None:
    async with a_world(tmp_path) as world:
        for _ in range(4):
            world.write(1, 1, 200)
            await world.acknowledge()
    part = world.objects[which]
    whole = part.read_bytes()
    match harm:
        case "cut":
            part.write_bytes(whole[:-10])
        case "scribbled":
            middle = len(whole) // 2
            part.write_bytes(whole[:middle] + bytes(8) + whole[middle + 8 :])
        case "emptied":
            part.write_bytes(b"")
        case "removed":
            part.unlink()
        case _:
            part.write_bytes(world.objects[0].read_bytes())
    with pytest.raises(StoreUnavailable, match="say --at") as told:
        await world.restored()
    moment = msgspec.convert(told.value.detail.rsplit(" ", 1)[1], type=type(world.clock()))
    made, found = await world.restored(moment)
    assert made.until == moment
    known = {at: rows for at, rows in world.acknowledged.items() if at <= moment}
    assert found == known[max(known)]


async def test_a_log_that_is_missing_as_a_whole_is_told(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        for _ in range(8):
            world.write(30)
            await world.acknowledge()
    logs = sorted({path.parent for path in world.objects})
    (snapshot,) = world.snapshots
    first = snapshot_of(f"snapshots/{snapshot.name}")
    assert first is not None
    between = [log for log in logs[:-1] if int(log.name.partition("-")[0]) > first.log]
    assert len(between) > 1
    for log in between:
        log.rename(tmp_path / "away")
        with pytest.raises(StoreUnavailable, match=r"parts before .* are missing.*say --at"):
            await world.restored()
        (tmp_path / "away").rename(log)
    assert (await world.restored())[1] == content(world.database)


async def test_newest_parts_that_are_missing_are_told_for_a_moment_after_them_too(
    tmp_path: Path,
) -> None:
    """Else the last orders would be gone without a word."""
    async with a_world(tmp_path) as world:
        for _ in range(3):
            world.write(1, 1, 200)
            await world.acknowledge()
    world.objects[-1].unlink()
    for at in (None, world.clock()):
        with pytest.raises(StoreUnavailable, match="the newest parts are missing"):
            await world.restored(at)
    before = sorted(world.acknowledged)[-2]
    assert (await world.restored(before))[1] == world.acknowledged[before]


async def test_a_stream_that_goes_on_says_at_once_how_far_the_backup_is(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        for _ in range(3):
            world.write(1, 1, 200)
            await world.acknowledge()
        await world.stop()
        before = owner_at(world)
        world.start()
        await world.until(lambda: owner_at(world).run != before.run)
        after = owner_at(world)
        assert (after.generation, after.log, after.frame) == (
            before.generation,
            before.log,
            before.frame,
        )
        assert after.frame > 0


async def test_a_torn_note_of_whose_backup_it_is_keeps_nobody_from_restoring(
    tmp_path: Path,
) -> None:
    async with a_world(tmp_path) as world:
        world.write()
        await world.acknowledge()
        await world.stop()
        (world.target._path / OWNER).write_text("{")
        assert (await world.restored())[1] == content(world.database)
        assert (await contents_of(world.target, world.clock())).snapshots == 1
        # Who streams has to know whose it is.
        world.start()
        with pytest.raises(Unusable, match="take it away from there"):
            raise await world.ended() or AssertionError("it goes on")


async def test_a_backup_that_never_got_going_grows_old_too(tmp_path: Path) -> None:
    """What has no age rings nobody's bell."""
    async with a_world(tmp_path) as world:
        assert state.lag(world.database, world.clock()) is None
        world.target.away = 1_000_000
        world.start()
        await world.until(lambda: state.read(world.database))
        await world.until(lambda: read(world).trouble)
        world.clock.advance(minutes=6)
        assert (state.lag(world.database, world.clock()) or 0) >= 360
        world.target.away = 0
        world.write()
        await world.acknowledge()
        assert (state.lag(world.database, world.clock()) or 0) < 1
        await world.stop()
        # At another target nothing is safe yet; it is as old as what the one before holds.
        last = read(world).safe_until
        (tmp_path / "other").mkdir()
        world.target = Perilous(tmp_path / "other")
        world.target.kill_in = 3
        world.start()
        assert isinstance(await world.ended(), Killed)
        assert read(world).safe_until is None
        world.clock.advance(minutes=6)
        assert last is not None
        assert state.lag(world.database, world.clock()) == (world.clock() - last).total_seconds()


async def test_a_damaged_snapshot_is_told_and_the_one_before_is_as_good(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.write(2)
        await world.acknowledge()
        world.clock.advance(days=1)
        world.write(2)
        await world.until(lambda: len(world.snapshots) == 2)
        world.write(2)
        await world.acknowledge()
    newest = world.snapshots[-1]
    newest.write_bytes(newest.read_bytes()[:100])
    with pytest.raises(StoreUnavailable, match=r"damaged.*take it away"):
        await world.restored()
    newest.unlink()
    assert (await world.restored())[1] == world.acknowledged[max(world.acknowledged)]


async def test_one_target_is_never_for_two_shops_nor_for_two_machines(
    tmp_path: Path, monkeypatch
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    async with a_world(tmp_path / "one") as one, a_world(tmp_path / "two") as two:
        one.write()
        await one.acknowledge()
        two.target = one.target
        two.start()
        error = await two.ended()
        assert isinstance(error, AlreadyExists)
        assert "another shop's file" in error.detail
        # The same file, on a machine made from a copy of the first one's disk.
        state.write(two.database, read(one))
        monkeypatch.setattr("socket.gethostname", lambda: "the-copy")
        two.start()
        error = await two.ended()
        assert isinstance(error, AlreadyExists)
        assert "end that one" in error.detail
        # Once that is silent for long, the other is the one; the first, back again, ends by itself.
        two.clock.set(one.clock() + timedelta(hours=1))
        two.start()
        await two.acknowledge()
        monkeypatch.setattr("storekeeper.store.sqlite.streaming.sender.SEEN_S", 0.0)
        one.write()
        error = await one.ended()
        assert isinstance(error, AlreadyExists)
        assert "has taken over" in error.detail
        assert (await two.restored())[1] == content(two.database)


async def test_a_second_process_for_the_same_file_is_refused(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.write()
        await world.acknowledge()
        with pytest.raises(AlreadyExists, match="runs already"), state.alone(world.database):
            pass


async def test_a_stop_doesnt_wait_until_a_large_copy_is_checked(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(backup, "_STEPS_BETWEEN_PROGRESS", 50)

    class Stopped(Exception):
        pass

    async with a_world(tmp_path) as world:
        world.write(20, 4, 300)
        told: list[int] = []

        def progress(done: int, total: int) -> None:
            told.append(done)
            if told.count(total) > 3:
                raise Stopped

        with pytest.raises(Stopped):
            backup.back_up(world.database, tmp_path / "copy.db", progress=progress)
    assert not (tmp_path / "copy.db").exists()


def owner_at(world: World) -> state.Owner:
    found: state.Owner = msgspec.json.decode(
        (world.target._path / OWNER).read_bytes(), type=state.Owner
    )
    return found


def read(world: World) -> state.State:
    found = state.read(world.database)
    assert found is not None
    return found
