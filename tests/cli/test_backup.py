"""A copy of the shop is worth something only if it can be put back with nothing lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from storekeeper.app import Shop, back_up, open_shop, restore, utc_now
from storekeeper.config import Settings
from storekeeper.domain.accounts import SYSTEM
from storekeeper.domain.catalog import ProductDetails
from storekeeper.domain.errors import AlreadyExists, Invalid, NotFound, StoreUnavailable
from storekeeper.domain.money import Money
from storekeeper.domain.orders import Order
from storekeeper.services.base import BY_SYSTEM, Call
from storekeeper.services.checkout import LineRequest, PlaceOrder
from storekeeper.services.inventory import ReceiveRequest
from storekeeper.store.sqlite.schema import MIGRATIONS
from tests.support.processes import process, wait_for


@pytest.fixture
def settings(tmp_path) -> Settings:
    (tmp_path / "shop").mkdir()
    return Settings(database=str(tmp_path / "shop/shop.db"))


@contextlib.asynccontextmanager
async def a_shop(settings: Settings):
    async with open_shop(settings) as shop:
        await shop.prepare()
        if not (await shop.store.summary()).products:
            mug = ProductDetails(sku="MUG", name="A mug", price=Money(amount=999, currency="GBP"))
            await shop.catalog.create(BY_SYSTEM, mug)
            await shop.inventory.receive(BY_SYSTEM, ReceiveRequest(sku="MUG", quantity=1_000_000))
        yield shop


async def place(shop: Shop, number: int) -> str:
    request = PlaceOrder(
        lines=(LineRequest(sku="MUG", quantity=1 + number % 3),),
        email="guest@example.com",
        confirm=number % 2 == 0,
    )
    call = Call(principal=SYSTEM, key=f"order-{number}", fingerprint=str(number))
    return (await shop.checkout.place(call, request)).order.id


def copy(settings: Settings, target, *, force: bool = False):
    return back_up(settings, target, force=force, progress=lambda done, total: None)


def put_back(settings: Settings, source):
    return restore(settings, source, now=utc_now(), progress=lambda done, total: None)


async def test_a_backup_made_under_orders_restores_every_order_acknowledged_before_it(
    settings, tmp_path
):
    acknowledged: list[str] = []

    async def keep_ordering(shop: Shop, first: int) -> None:
        number = first
        while True:
            acknowledged.append(await place(shop, number))
            number += 8

    async with a_shop(settings) as shop:
        customers = [asyncio.create_task(keep_ordering(shop, first)) for first in range(8)]
        while len(acknowledged) < 300:
            await asyncio.sleep(0)
        before = set(acknowledged)

        def until_an_order_came(done: int, total: int) -> None:
            until = time.monotonic() + 30
            while len(acknowledged) == len(before) and time.monotonic() < until:
                time.sleep(0.001)

        await asyncio.to_thread(
            back_up, settings, tmp_path / "backup.db", force=False, progress=until_an_order_came
        )
        during = len(acknowledged) - len(before)
        for customer in customers:
            customer.cancel()
        await asyncio.gather(*customers, return_exceptions=True)
    assert during > 0, "orders went on while the backup was made"

    (tmp_path / "elsewhere").mkdir()
    elsewhere = Settings(database=str(tmp_path / "elsewhere/shop.db"))
    put_back(elsewhere, tmp_path / "backup.db")
    async with a_shop(elsewhere) as shop:
        assert before <= set(await shop.store.get_many(Order, list(before)))
        assert await shop.store.verify() == []


async def test_the_file_that_a_restore_replaces_is_kept_with_all_that_was_in_it(settings, tmp_path):
    async with a_shop(settings) as shop:
        await place(shop, 1)
    copy(settings, tmp_path / "backup.db")
    async with a_shop(settings) as shop:
        later = await place(shop, 2)
    kept = put_back(settings, tmp_path / "backup.db").kept
    async with a_shop(settings) as shop:
        assert await shop.store.get(Order, later) is None
    async with a_shop(Settings(database=str(kept))) as shop:
        assert await shop.store.get(Order, later) is not None


async def test_commits_that_a_killed_server_left_in_its_log_are_kept_too(
    settings, tmp_path, terminal
):
    copy_of_empty = tmp_path / "backup.db"
    async with a_shop(settings):
        copy(settings, copy_of_empty)
    with terminal.serving("--database", settings.database) as served:
        placed = served.post(
            "/orders",
            json={
                "lines": [{"sku": "MUG", "quantity": 1}],
                "email": "a@example.com",
                "confirm": True,
            },
        ).json()
        served.process.kill()
        served.process.wait()
    kept = put_back(settings, copy_of_empty).kept
    async with a_shop(Settings(database=str(kept))) as shop:
        assert await shop.store.get(Order, placed["id"]) is not None


async def test_restore_is_refused_while_a_shop_is_open_and_changes_nothing(settings, tmp_path):
    async with a_shop(settings) as shop:
        copy(settings, tmp_path / "backup.db")
        later = await place(shop, 1)
        with pytest.raises(StoreUnavailable, match="is in use"):
            put_back(settings, tmp_path / "backup.db")
        assert await shop.store.get(Order, later) is not None
    assert sorted(path.name for path in (tmp_path / "shop").glob("*restore*")) == []


async def test_a_damaged_backup_is_refused_and_the_shop_stays(settings, tmp_path):
    backup = tmp_path / "backup.db"
    async with a_shop(settings) as shop:
        for number in range(50):
            await place(shop, number)
    copy(settings, backup)
    whole = backup.read_bytes()
    for damaged in (b"", b"no database" * 100, whole[: len(whole) // 2], _scribbled(whole)):
        backup.write_bytes(damaged)
        with pytest.raises(StoreUnavailable):
            put_back(settings, backup)
    async with a_shop(settings) as shop:
        assert sum((await shop.store.summary()).orders.values()) == 50
    assert parts(tmp_path / "shop") == set()


async def test_what_a_killed_backup_left_is_removed_by_the_next_and_one_under_way_is_let_be(
    settings, tmp_path
):
    """It holds customers' data, and backups every night would fill the disk with it."""
    target = tmp_path / "backup.db"
    of_another = tmp_path / ".backup.db.old.1.part"
    of_another.touch()
    async with a_shop(settings):
        with copying(settings, target) as killed:
            killed.kill()
            killed.wait()
        (left,) = parts(tmp_path) - {of_another}
        # As an earlier version named it; its process id has come to be that of a living process.
        (tmp_path / f".backup.db.{os.getpid()}.part").touch()
        (tmp_path / f".backup.db.{os.getpid()}.part-wal").touch()
        with copying(settings, target) as living:
            (its_own,) = parts(tmp_path) - {of_another}
            assert its_own != left
            copy(settings, target)
            assert parts(tmp_path) == {its_own, of_another}
            assert living.communicate("\n" * 100)[1] == ""
            assert living.returncode == 0
    assert parts(tmp_path) == {of_another}


async def test_what_a_killed_restore_left_is_removed_by_the_next(settings, tmp_path):
    async with a_shop(settings):
        copy(settings, tmp_path / "backup.db")
    left = tmp_path / "shop/.shop.db.1.part"
    left.touch()
    put_back(settings, tmp_path / "backup.db")
    assert not left.exists()


def test_another_programs_database_is_no_backup(settings, tmp_path):
    other = tmp_path / "other.db"
    with apsw.Connection(str(other)) as connection:
        connection.execute("CREATE TABLE notes (text)")
    with pytest.raises(StoreUnavailable, match="not one of Storekeeper's"):
        put_back(settings, other)


async def test_a_backup_overwrites_a_file_only_when_told_to(settings, tmp_path):
    target = tmp_path / "backup.db"
    target.write_text("last week's backup")
    async with a_shop(settings):
        with pytest.raises(AlreadyExists):
            copy(settings, target)
        assert target.read_text() == "last week's backup"
        copy(settings, target, force=True)
    assert put_back(settings, target).schema == len(MIGRATIONS)


async def test_a_backup_is_for_its_owners_eyes_only(settings, tmp_path):
    async with a_shop(settings):
        copy(settings, tmp_path / "backup.db")
    assert (tmp_path / "backup.db").stat().st_mode & 0o077 == 0


async def test_the_shop_is_never_copied_onto_itself(settings):
    async with a_shop(settings):
        with pytest.raises(Invalid):
            copy(settings, settings.data_dir / "shop.db", force=True)


def test_without_a_shop_or_a_backup_there_is_a_clear_answer(settings, tmp_path):
    with pytest.raises(NotFound):
        copy(settings, tmp_path / "backup.db")
    with pytest.raises(NotFound):
        put_back(settings, tmp_path / "missing.db")


def test_backup_and_restore_as_commands(terminal):
    terminal.ok("demo")
    done = terminal.ok("backup", "copy.db", "--json").json
    refused = terminal.run("backup", "copy.db")
    assert (refused.code, "--force" in refused.err) == (1, True)
    back = terminal.ok("restore", "copy.db", "--json").json
    assert (back["bytes"], back["schema"]) == (done["bytes"], done["schema"])
    terminal.ok("verify")


WORKER = """
import sys
from pathlib import Path
from storekeeper.store.sqlite.backup import back_up

def wait(done, total):
    print("copying", flush=True)
    sys.stdin.readline()

back_up(Path(sys.argv[1]), Path(sys.argv[2]), progress=wait)
"""


@contextlib.contextmanager
def copying(settings: Settings, target: Path) -> Iterator[subprocess.Popen[str]]:
    """A process in the middle of a backup, that goes on with each line that it is sent."""
    with process("-c", WORKER, settings.database, str(target)) as worker:
        wait_for(worker, "copying")
        yield worker


def parts(folder: Path) -> set[Path]:
    return set(folder.glob(".*part*"))


def _scribbled(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + b"\xff" * 8_192 + data[middle + 8_192 :]
