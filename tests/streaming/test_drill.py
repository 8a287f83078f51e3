"""The restore drill: a shop is streamed while customers order, and put together again elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import apsw
import msgspec
import pytest

from storekeeper.app import back_up, backup_status, open_shop, restore, restore_from, utc_now
from storekeeper.app.streaming import open_target
from storekeeper.config import Settings
from storekeeper.domain.errors import NotFound, StoreUnavailable
from storekeeper.domain.orders import Order
from storekeeper.store.sqlite.streaming import state
from storekeeper.store.sqlite.streaming.plan import Plan
from storekeeper.store.sqlite.streaming.sender import Sender
from tests.cli.test_backup import a_shop, place
from tests.streaming.buckets import new_bucket, settings_of

PATIENCE_S = 20.0
PLAN = Plan(pace_s=0.01, restart_frames=50)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "shop").mkdir()
    (tmp_path / "target").mkdir()
    return settings_of(tmp_path / "shop")


@contextlib.asynccontextmanager
async def streamed(
    settings: Settings, where: str, plan: Plan = PLAN, *, ahead: timedelta = timedelta(0)
) -> AsyncIterator[None]:
    """To `where`, until the end of the block; then what is left is sent. `ahead`: of its clock."""
    stop = asyncio.Event()
    async with open_target(settings, where) as target:
        sender = Sender(Path(settings.database), target, clock=lambda: utc_now() + ahead, plan=plan)
        task = asyncio.create_task(sender.run(stop))
        try:
            yield
        finally:
            stop.set()
            await task


async def safe(settings: Settings, at: datetime) -> None:
    """Waits until the shop's own figure says that this moment can be had again."""
    async with asyncio.timeout(PATIENCE_S):
        while (lag := state.lag(Path(settings.database), utc_now())) is None or (
            utc_now() - timedelta(seconds=lag) < at
        ):
            await asyncio.sleep(0.005)


def elsewhere(settings: Settings, name: str) -> Settings:
    database = Path(settings.database).parents[1] / name / "shop.db"
    database.parent.mkdir()
    return msgspec.structs.replace(settings, database=str(database))


async def restored(settings: Settings, where: str, at: datetime | None = None):
    return await restore_from(settings, where, at=at, watch=lambda done: None)


@pytest.mark.parametrize("kind", ["folder", "bucket"])
async def test_each_order_that_is_older_than_the_reported_lag_is_there_after_a_restore(
    settings: Settings, tmp_path: Path, kind: str
) -> None:
    where = f"s3://{await new_bucket()}/shop" if kind == "bucket" else str(tmp_path / "target")
    placed: dict[str, datetime] = {}

    async def keep_ordering(shop, first: int) -> None:
        for number in range(first, 10_000, 4):
            # In two steps: of one, Python would ask for the time first.
            order = await place(shop, number)
            placed[order] = utc_now()
            await asyncio.sleep(0.01)

    async with a_shop(settings) as shop, streamed(settings, where):
        customers = [asyncio.create_task(keep_ordering(shop, first)) for first in range(4)]
        while len(placed) < 100:
            await asyncio.sleep(0.005)
        await safe(settings, utc_now())
        # The age is as of the moment of asking; later it would promise what came since.
        asked = utc_now()
        lag = (await shop.store.gauges())["storekeeper_backup_lag_seconds"]
        told = asked - timedelta(seconds=lag)
        # As it is at this moment, with the shop and the stream at work.
        drill = elsewhere(settings, "drill")
        done = await restored(drill, where)
        for customer in customers:
            customer.cancel()
        await asyncio.gather(*customers, return_exceptions=True)
    assert done.differences == []
    expected = {id for id, at in placed.items() if at <= told}
    assert len(expected) >= 100
    async with open_shop(drill) as shop:
        assert expected <= set(await shop.store.get_many(Order, list(expected)))
    # Nothing was acknowledged that isn't at the target, once the stream has ended after the shop.
    at_the_end = elsewhere(settings, "at-the-end")
    assert (await restored(at_the_end, where)).differences == []
    async with open_shop(at_the_end) as shop:
        assert placed.keys() <= set(await shop.store.get_many(Order, list(placed)))
    status = await backup_status(settings, where)
    assert status.snapshots == 1
    assert status.segments > 1
    assert status.until is not None
    assert status.until >= max(placed.values())


async def test_the_shop_comes_back_as_it_was_before_somebodys_mistake(
    settings: Settings, tmp_path: Path
) -> None:
    where = str(tmp_path / "target")
    async with a_shop(settings) as shop, streamed(settings, where):
        before = await place(shop, 1)
        await safe(settings, utc_now())
        moment = utc_now()
        await safe(settings, utc_now())
        mistake = await place(shop, 2)
        await safe(settings, utc_now())
        with pytest.raises(StoreUnavailable, match="is in use"):
            await restored(settings, where, moment)
    done = await restored(settings, where, moment)
    assert done.until <= moment
    assert done.kept is not None
    async with open_shop(settings) as shop:
        assert set(await shop.store.get_many(Order, [before, mistake])) == {before}
        # And goes on from there, to the same target; the time before is still to be had.
        async with streamed(settings, where):
            later = await place(shop, 3)
            await safe(settings, utc_now())
    async with open_shop(Settings(database=done.kept)) as shop:
        assert await shop.store.get(Order, mistake) is not None
    for name, at, expected in (
        ("newest", None, {before, later}),
        ("before", moment, {before}),
    ):
        drill = elsewhere(settings, name)
        assert (await restored(drill, where, at)).differences == []
        async with open_shop(drill) as shop:
            found = await shop.store.get_many(Order, [before, mistake, later])
            assert set(found) == expected


async def test_nothing_is_put_in_the_place_of_the_shop_unless_it_is_whole(
    settings: Settings, tmp_path: Path
) -> None:
    where = str(tmp_path / "target")
    with pytest.raises(NotFound, match="no continuous backup"):
        await restored(settings, where)
    async with a_shop(settings) as shop, streamed(settings, where):
        await place(shop, 1)
        await safe(settings, utc_now())
        for number in range(2, 6):
            await place(shop, number)
            await safe(settings, utc_now())
    with pytest.raises(NotFound, match="begins at"):
        await restored(settings, where, utc_now() - timedelta(days=1))
    segment = sorted((tmp_path / "target").glob("logs/*/*/*.gz"))[2]
    whole = segment.read_bytes()
    segment.write_bytes(whole[:-20])
    with pytest.raises(StoreUnavailable, match=r"is damaged.*say --at"):
        await restored(settings, where)
    left = {path.name for path in (tmp_path / "shop").iterdir()}
    assert not [name for name in left if "rebuilt" in name or "before-restore" in name]
    segment.write_bytes(whole)
    drill = elsewhere(settings, "drill")
    assert (await restored(drill, where)).differences == []


@pytest.mark.parametrize("harm", ["page", "another program's", "emptied"])
async def test_a_snapshot_that_is_no_sound_shop_is_told_by_its_name_in_one_sentence(
    settings: Settings, tmp_path: Path, harm: str
) -> None:
    """Whole as an object, and none to work with; who restores at night needs to know what to do."""
    target = tmp_path / "target"
    async with a_shop(settings) as shop:
        first = await place(shop, 1)
        # The second day's snapshot is of the same generation.
        for days in (0, 1):
            ahead = timedelta(days=days)
            async with (
                streamed(settings, str(target), ahead=ahead),
                asyncio.timeout(PATIENCE_S),
            ):
                while len(list(target.glob("snapshots/*"))) <= days:
                    await asyncio.sleep(0.005)
    snapshot = max(target.glob("snapshots/*"))
    whole = gzip.decompress(snapshot.read_bytes())
    match harm:
        case "page":
            # The root of the first index there is.
            with contextlib.closing(apsw.Connection(settings.database)) as connection:
                query = "SELECT rootpage FROM sqlite_schema WHERE type = 'index'"
                (page,) = next(iter(connection.execute(query)))
                size = connection.pragma("page_size")
            at = (page - 1) * size
            whole = whole[:at] + bytes(size) + whole[at + size :]
        case "emptied":
            whole = b""
        case _:
            whole = whole[:68] + b"abcd" + whole[72:]
    snapshot.write_bytes(gzip.compress(whole))
    before = Path(settings.database).read_bytes()
    with pytest.raises(StoreUnavailable) as told:
        await restored(settings, str(target))
    text = told.value.detail
    assert text.startswith(f"the snapshot snapshots/{snapshot.name} at {target}, of generation ")
    assert " is damaged (" in text
    assert "take it away from there" in text
    assert "\n" not in text
    assert "rebuilt" not in text
    assert ".part" not in text
    assert Path(settings.database).read_bytes() == before
    left = {path.name for path in (tmp_path / "shop").iterdir()}
    assert not [name for name in left if "rebuilt" in name or "before-restore" in name]
    snapshot.unlink()
    assert (await restored(settings, str(target))).differences == []
    async with open_shop(settings) as shop:
        assert await shop.store.get(Order, first) is not None


async def test_who_was_deleted_is_gone_from_the_backup_when_it_has_grown_old(
    settings: Settings, tmp_path: Path, monkeypatch
) -> None:
    """What the privacy notice promises, however little a shop writes: here its log never ends by its
    length."""
    target = tmp_path / "target"
    where = str(target)
    async with a_shop(settings) as shop:
        async with streamed(settings, where):
            await place(shop, 1)
            await safe(settings, utc_now())
        old = set(target.rglob("*.gz"))
        aged = Plan(
            pace_s=0.01,
            kept=timedelta(microseconds=1),
            snapshot_every=timedelta(microseconds=1),
        )
        async with streamed(settings, where, aged), asyncio.timeout(PATIENCE_S):
            number = 2
            while old & set(target.rglob("*.gz")):
                await place(shop, number)
                number += 1
                await asyncio.sleep(0.02)
            await safe(settings, utc_now())
    drill = elsewhere(settings, "drill")
    assert (await restored(drill, where)).differences == []


async def test_a_restore_has_the_stream_end_and_it_goes_on_with_the_new_file(
    settings: Settings, tmp_path: Path
) -> None:
    """No service has to be stopped by hand for it, but the shop itself."""
    where = str(tmp_path / "target")
    async with a_shop(settings) as shop:
        first = await place(shop, 1)
    async with streamed(settings, where):
        await safe(settings, utc_now())
        back_up(settings, tmp_path / "copy.db", force=False, progress=lambda done, total: None)
        await asyncio.to_thread(
            restore,
            settings,
            tmp_path / "copy.db",
            now=utc_now(),
            progress=lambda done, total: None,
        )
    async with a_shop(settings) as shop, streamed(settings, where):
        second = await place(shop, 2)
        await safe(settings, utc_now())
    drill = elsewhere(settings, "drill")
    assert (await restored(drill, where)).differences == []
    async with open_shop(drill) as shop:
        assert set(await shop.store.get_many(Order, [first, second])) == {first, second}
