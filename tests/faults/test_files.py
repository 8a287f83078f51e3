"""Files that are locked, damaged, too new, not ours or not writable: clear words, nothing lost."""

from __future__ import annotations

import fcntl
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from storekeeper.domain.errors import StoreUnavailable
from storekeeper.store.port import OrderQuery, ProductQuery
from storekeeper.store.sqlite import schema
from storekeeper.store.sqlite.schema import MIGRATIONS
from storekeeper.store.sqlite.store import SqliteStore
from tests.support.builders import an_order, moving
from tests.support.clock import Clock
from tests.support.ids import Ids
from tests.support.processes import process, wait_for
from tests.support.shop import Shop, outcomes

BUSY_MS = 200
HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
print("free", flush=True)
"""


def shop_in(path: Path) -> Shop:
    clock, new_id = Clock(), Ids()
    return Shop(SqliteStore(path, clock=clock, new_id=new_id, busy_ms=BUSY_MS), clock, new_id)


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A shop's file with 200 products and an order, closed."""
    file = tmp_path / "shop.db"
    shop = shop_in(file)
    products = [await shop.sell(f"P{n:03}", stock=9, description="word " * 50) for n in range(200)]
    await shop.store.commit(an_order((products[0], 2))[1])
    await shop.store.close()
    return file


async def test_a_lock_held_by_another_program_is_told_in_time_and_passes(path: Path) -> None:
    """A backup tool or a console that holds the file: reading goes on, writing says why not."""
    shop = shop_in(path)
    (mug,) = (await shop.store.products(ProductQuery(limit=1))).items
    with process("-c", HOLDER, str(path)) as holder:
        wait_for(holder, "locked")
        started = time.monotonic()
        told = await outcomes(shop.store, [moving(mug.product, 1) for _ in range(5)])
        assert time.monotonic() - started < 20 * BUSY_MS / 1_000
        assert all(isinstance(answer, StoreUnavailable) for answer in told)
        assert "locked" in str(told[0])
        with pytest.raises(StoreUnavailable):
            await shop.store.check_writable()
        assert await shop.on_hand(mug.product) == 9
        assert holder.stdin is not None
        holder.stdin.write("\n")
        holder.stdin.flush()
        wait_for(holder, "free")
    await shop.store.check_writable()
    await shop.store.commit(moving(mug.product, 1))
    assert await shop.on_hand(mug.product) == 10
    assert await shop.store.verify() == []
    await shop.store.close()


async def test_a_shop_can_be_opened_and_read_while_the_file_is_locked(path: Path) -> None:
    with process("-c", HOLDER, str(path)) as holder:
        wait_for(holder, "locked")
        shop = shop_in(path)
        assert len((await shop.store.orders(OrderQuery())).items) == 1
        await shop.store.close()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "shop.db"
    file.write_text("my shopping list\n" * 1_000)
    before = file.read_bytes()
    with pytest.raises(StoreUnavailable, match="damaged or no database"):
        shop_in(file)
    assert file.read_bytes() == before


async def test_a_damaged_page_is_told_and_never_taken_for_data(path: Path) -> None:
    """The first page is good, so the file opens; what lies on bad ones is an error that says what
    to do, not an empty list."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4_096)
        file.write(b"\xff" * (size - 4_096))
    with pytest.raises(StoreUnavailable, match="restore BACKUP"):
        await open_read_and_write(path)


async def open_read_and_write(path: Path) -> None:
    shop = shop_in(path)
    try:
        await shop.store.products(ProductQuery())
        await shop.sell("NEW", stock=1)
    finally:
        await shop.store.close()


async def test_a_record_that_can_t_be_read_is_told_as_damage(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE orders SET doc = '{\"id\": '")
    shop = shop_in(path)
    with pytest.raises(StoreUnavailable, match="damaged"):
        await shop.store.orders(OrderQuery())
    await shop.store.close()


def test_a_truncated_file_is_told(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(100)
    with pytest.raises(StoreUnavailable):
        shop_in(path)


def test_a_file_of_a_newer_storekeeper_is_refused_and_left_alone(path: Path) -> None:
    newer = len(MIGRATIONS) + 1
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {newer}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match="newer Storekeeper") as caught:
        shop_in(path)
    assert f"schema {newer}" in caught.value.detail
    assert path.read_bytes() == before


def test_somebody_else_s_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A wrong path in a setting may not add tables to another program's data."""
    file = tmp_path / "photos.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE photo (id INTEGER PRIMARY KEY, name TEXT)")
        connection.execute("INSERT INTO photo (name) VALUES ('beach')")
    before = file.read_bytes()
    with pytest.raises(StoreUnavailable, match="not one of Storekeeper's"):
        shop_in(file)
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"\n"])
def test_a_file_that_was_emptied_is_a_loss_and_no_new_shop(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "shop.db"
    file.write_bytes(content)
    with pytest.raises(StoreUnavailable, match=r"holds no shop.*restore BACKUP"):
        shop_in(file)
    assert file.read_bytes() == content


async def test_a_shop_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    """What a process leaves that was killed while it made a shop is no shop, and is in nobody's
    way; a log whose shop is gone says nothing of the new one."""
    file, draft = tmp_path / "shop.db", tmp_path / ".shop.db.draft"
    with process("-c", MAKE_HALF, str(file)) as dying:
        wait_for(dying, "half")
    assert draft.exists()
    assert not file.exists()
    (tmp_path / "shop.db-wal").write_bytes(b"of another shop" * 1_000)
    shop = shop_in(file)
    assert shop.store.migrated == len(MIGRATIONS)  # type: ignore[attr-defined]
    assert await shop.store.verify() == []
    await shop.store.close()
    assert not draft.exists()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_that_comes_to_the_place_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "shop.db"
    make_schema = schema.create

    def create_slowly(connection: Any) -> int:
        file.write_text("my shopping list\n" * 1_000)
        return make_schema(connection)

    monkeypatch.setattr(schema, "create", create_slowly)
    with pytest.raises(StoreUnavailable, match="no database"):
        shop_in(file)
    assert file.read_text().startswith("my shopping list")
    assert not (tmp_path / ".shop.db.draft").exists()


MAKE_HALF = """
import sys, time
from pathlib import Path
import tests.faults.test_files as tests
def create(connection):
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("CREATE TABLE half (a INTEGER)")
    connection.execute("COMMIT")
    print("half", flush=True)
    sys.stdin.readline()
tests.schema.create = create
tests.shop_in(Path(sys.argv[1]))
"""


async def test_a_migrated_file_is_not_migrated_again(path: Path) -> None:
    shop = shop_in(path)
    assert shop.store.migrated == 0  # type: ignore[attr-defined]
    await shop.store.close()


OPEN_AS_NOBODY = """
import os, sys
from pathlib import Path
import tests.faults.test_files as tests
from storekeeper.domain.errors import StoreUnavailable
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    tests.shop_in(Path(sys.argv[1]))
except StoreUnavailable as error:
    print("refused:", error.detail, flush=True)
print("end", flush=True)
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of the machine can reach."""
    folder = Path(tempfile.mkdtemp(prefix="storekeeper-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_may_not_be_written_is_told_with_what_to_check(
    open_folder: Path, path: Path, what: str
) -> None:
    """Root may write anywhere, so the attempt is made as somebody who may not."""
    file = open_folder / "shop.db"
    if what == "file":
        shutil.copy(path, file)
        file.chmod(0o444)
    open_folder.chmod(0o555)
    with process("-c", OPEN_AS_NOBODY, str(file)) as attempt:
        assert attempt.stdout is not None
        said = attempt.stdout.readline()
        assert said.startswith("refused:"), said + attempt.stderr.read()  # type: ignore[union-attr]
        assert "check" in said
        assert str(file) in said


def test_a_folder_that_can_t_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(StoreUnavailable, match="can't be opened"):
        shop_in(tmp_path / "taken" / "shop.db")


def test_a_refused_start_can_be_mended_and_tried_again(path: Path) -> None:
    """What was opened on the way is let go of, so that `restore` can replace the file."""
    good = path.read_bytes()
    path.write_bytes(b"no database" * 1_000)
    with pytest.raises(StoreUnavailable):
        shop_in(path)
    with (path.parent / "shop.db-use").open() as use_file:
        fcntl.flock(use_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    path.write_bytes(good)
    assert shop_in(path).store.migrated == 0  # type: ignore[attr-defined]
