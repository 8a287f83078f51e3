"""A disk that runs full: writing says so, nothing acknowledged is lost, and it passes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from storekeeper.domain.errors import StoreUnavailable
from storekeeper.domain.orders import Order
from storekeeper.store.sqlite import writer
from storekeeper.store.sqlite.schema import MIGRATIONS
from storekeeper.store.sqlite.store import SqliteStore
from tests.support import local_engines
from tests.support.builders import an_order
from tests.support.clock import Clock
from tests.support.ids import Ids
from tests.support.processes import lines_of, process
from tests.support.shop import Shop, outcomes


class Disk(Protocol):
    """Somewhere to keep a shop that can be filled up and cleared again."""

    folder: Path

    def fill(self, store: SqliteStore) -> None: ...
    def clear(self, store: SqliteStore) -> None: ...


class SmallDisk:
    """A file system in memory of four MiB, of which another file takes what is left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, store: SqliteStore) -> None:
        self.fill_up()

    def fill_up(self) -> None:
        descriptor = os.open(self._ballast, os.O_WRONLY | os.O_CREAT)
        try:
            while True:
                os.write(descriptor, bytes(4_096))
        except OSError:
            os.close(descriptor)

    def clear(self, store: SqliteStore) -> None:
        self._ballast.unlink()


class PageLimit:
    """Where no small disk can be mounted, SQLite itself is told that there is no more room."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, store: SqliteStore) -> None:
        used = self._writer(store).pragma("page_count")
        self._writer(store).pragma("max_page_count", used + 1)

    def clear(self, store: SqliteStore) -> None:
        self._writer(store).pragma("max_page_count", 1 << 30)

    def _writer(self, store: SqliteStore) -> Any:
        return store._writer._connection


@pytest.fixture(params=["small disk", "page limit"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = request.param == "small disk" and mount(folder)
    yield SmallDisk(folder) if mounted else PageLimit(folder)
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)


def mount(folder: Path) -> bool:
    """Whether a small disk could be mounted there, which takes a user who may."""
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


async def test_a_full_disk_refuses_loses_nothing_and_passes(disk: Disk) -> None:
    clock, new_id = Clock(), Ids()
    store = SqliteStore(disk.folder / "shop.db", clock=clock, new_id=new_id, batch=8)
    shop = Shop(store, clock, new_id)
    mug = await shop.sell("MUG", stock=1_000_000)
    before = await placed(shop, mug, 20)
    assert len(before) == 20

    disk.fill(store)
    kept = dict(before)
    refused: list[BaseException] = []
    for _ in range(200):
        orders = [an_order((mug, 1), note="x" * 1_000) for _ in range(8)]
        told = await outcomes(store, [change for _, change in orders])
        kept |= {o.id: o for (o, _), answer in zip(orders, told, strict=True) if answer is None}
        refused = [answer for answer in told if answer is not None]
        if refused:
            break
    assert refused, "the disk never ran full"
    assert all(isinstance(answer, StoreUnavailable) for answer in refused)
    assert "full" in str(refused[0])
    assert await store.get_many(Order, list(kept)) == kept
    assert (await shop.level(mug)).reserved == len(kept)

    disk.clear(store)
    await store.check_writable()
    kept |= await placed(shop, mug, 20)
    await store.close()

    reopened = SqliteStore(disk.folder / "shop.db", clock=clock, new_id=new_id)
    assert await reopened.get_many(Order, list(kept)) == kept
    assert sum((await reopened.summary()).orders.values()) == len(kept)
    assert await reopened.verify() == []
    await reopened.close()


async def placed(shop: Shop, mug: Any, count: int) -> dict[str, Order]:
    """Orders that were acknowledged, by id."""
    orders = [an_order((mug, 1)) for _ in range(count)]
    await asyncio.gather(*(shop.store.commit(change) for _, change in orders))
    return {order.id: order for order, _ in orders}


async def test_a_disk_with_hardly_room_left_fails_the_health_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The load balancer is to know before the customers do."""
    store = SqliteStore(tmp_path / "shop.db", clock=Clock(), new_id=Ids())
    await store.check_writable()
    monkeypatch.setattr(writer, "SPARE_BYTES", 1 << 62)
    with pytest.raises(StoreUnavailable, match="full"):
        await store.check_writable()
    await store.close()


OPEN_WITH_LIMIT = """
import resource, sys
from pathlib import Path
from storekeeper.domain.errors import StoreUnavailable
from storekeeper.store.sqlite import writer
from storekeeper.store.sqlite.store import SqliteStore
from tests.support.clock import Clock
from tests.support.ids import Ids
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    SqliteStore(Path(sys.argv[1]), clock=Clock(), new_id=Ids())
    print("opened", flush=True)
except StoreUnavailable as error:
    print("refused:", error.detail, flush=True)
"""


@pytest.mark.parametrize("room", [0, 8_192, 40_960, 131_072])
def test_init_on_a_full_disk_says_so_and_leaves_no_half_shop(tmp_path: Path, room: int) -> None:
    """The words name the file, and the same command makes the shop once there is room."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount(folder):
        local_engines.not_tested("init on a full disk", "Only some users may mount a small disk")
    try:
        disk = SmallDisk(folder)
        (folder / "spare").write_bytes(bytes(room))
        disk.fill_up()
        (folder / "spare").unlink()
        code, told = init(folder / "shop.db")
        assert code == 3
        assert f"the disk that holds {folder}/" in told
        assert "is full" in told
        if (folder / "shop.db").exists():
            with contextlib.closing(sqlite3.connect(folder / "shop.db")) as shop:
                assert shop.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert not [path for path in folder.iterdir() if "draft" in path.name]
        (folder / "ballast").unlink()
        assert init(folder / "shop.db")[0] == 0
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def init(database: Path) -> tuple[int, str]:
    """The exit code of `storekeeper init`, and what it said of an error, on one line."""
    with process("-m", "storekeeper", "init", "--database", str(database)) as command:
        _, told = command.communicate()
        return command.returncode, " ".join(told.split())


@pytest.mark.parametrize("size", [0, 8_192, 65_536, 100_000])
async def test_a_shop_that_can_t_be_written_whole_is_refused_and_can_be_made_later(
    tmp_path: Path, size: int
) -> None:
    """Room for a part of the first tables only: no half start, and nothing to clean up by hand."""
    path = tmp_path / "shop.db"
    with process("-c", OPEN_WITH_LIMIT, str(path), str(size)) as attempt:
        assert [line.split(":")[0] for line in lines_of(attempt)] == ["refused"]
    store = SqliteStore(path, clock=Clock(), new_id=Ids())
    assert await store.verify() == []
    await store.close()
