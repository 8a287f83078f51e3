"""A shop that outgrows its machine moves as a whole: nothing lost, doubled or announced again."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from storekeeper.app import Place, copy_shop, create_tables, open_place, open_shop
from storekeeper.config import Settings, SettingsError
from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.errors import AlreadyExists, NotFound, StoreUnavailable
from storekeeper.domain.orders import Order
from storekeeper.domain.work import Lease, Position, Setting
from storekeeper.services.base import BY_SYSTEM
from storekeeper.services.checkout import LineRequest, PlaceOrder
from storekeeper.store.dynamodb.entries import Copied
from storekeeper.store.dynamodb.log import Log
from storekeeper.store.port import ProductQuery
from storekeeper.store.sqlite.transfer import TABLES
from tests.cli.terminal import Terminal
from tests.support import local_engines
from tests.support.processes import lines_of, process


def unseen(stage: str, done: int, total: int) -> None:
    """Nobody watches."""


class Broken(Exception):
    """The machine went away."""


def breaking_at(rows: int) -> Any:
    def watch(stage: str, done: int, total: int) -> None:
        if stage == "Writing rows" and done > rows:
            raise Broken

    return watch


def file_at(path: Path) -> Place:
    return Place(store="sqlite", name=str(path))


async def remember(settings: Settings, place: Place, value: str) -> None:
    store = open_place(settings, place)
    await store.commit(ChangeSet(puts=(Put(Setting(id=value, version=1, value=value)),)))
    await store.close()


async def test_there_and_back_again_every_row_of_every_table_is_the_same(
    settings, source, tables, tmp_path
) -> None:
    there = await copy_shop(settings, source, tables, watch=unseen)
    back = await copy_shop(settings, tables, file_at(tmp_path / "back.db"), watch=unseen)
    assert there.compared.is_same
    assert back.compared.is_same
    assert back.compared.rows == there.compared.rows
    assert there.compared.rows["orders"] > 300
    one, other = (open_place(settings, place) for place in (source, file_at(tmp_path / "back.db")))
    try:
        assert await one.digests() == await other.digests()
        words = ProductQuery(words="heart", limit=100)
        assert (await one.products(words)).items == (await other.products(words)).items != ()
    finally:
        await one.close()
        await other.close()


def test_every_table_of_a_shop_is_copied(source) -> None:
    with contextlib.closing(sqlite3.connect(source.name)) as connection:
        found = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'product_text%'"
        )
        assert {name for (name,) in found} == set(TABLES)


async def test_the_copied_shop_sells_on_and_announces_only_what_is_new(
    settings, on_tables, source, tables
) -> None:
    await copy_shop(settings, source, tables, watch=unseen)
    before = open_place(settings, source)
    last, position = await before.last_event_seq(), await before.get(Position, "relay:console")
    sku = (await before.products(ProductQuery(in_stock=True, limit=1))).items[0].product.sku
    await before.close()
    async with open_shop(on_tables) as shop:
        assert await shop.prepare() is False
        assert await shop.store.get(Position, "relay:console") == position
        request = PlaceOrder(lines=(LineRequest(sku=sku, quantity=1),), email="g@example.com")
        placed = await shop.checkout.place(BY_SYSTEM, request)
        assert await shop.store.get(Order, placed.order.id) == placed.order
        new = await shop.store.events_after(last, 10)
        assert [one.event.kind for one in new] == ["order.placed"]
        assert await shop.store.verify() == []


@pytest.mark.parametrize("rows", [0, 1, 2_000, 4_000])
async def test_a_copy_that_was_broken_off_goes_on_and_doubles_nothing(
    settings, source, tables, rows, monkeypatch
) -> None:
    monkeypatch.setattr("storekeeper.store.dynamodb.copying.CHUNK_BYTES", 100_000)
    with pytest.raises(Broken):
        await copy_shop(settings, source, tables, watch=breaking_at(rows))
    done = await copy_shop(settings, source, tables, watch=unseen)
    again = await copy_shop(settings, source, tables, watch=unseen)
    assert done.compared.is_same
    assert again.resumed
    assert again.compared == done.compared


async def test_a_copy_that_lacks_only_its_end_is_no_shop_yet(
    settings, source, tables, monkeypatch
) -> None:
    append = Log.append_copied

    def all_but_the_end(self: Log, entry: Copied) -> None:
        if entry.found is None:
            raise Broken
        append(self, entry)

    with monkeypatch.context() as patch:
        patch.setattr(Log, "append_copied", all_but_the_end)
        with pytest.raises(Broken):
            await copy_shop(settings, source, tables, watch=unseen)
    with pytest.raises(StoreUnavailable, match="isn't finished"):
        open_place(settings, tables)
    assert (await copy_shop(settings, source, tables, watch=unseen)).compared.is_same


async def test_a_killed_copy_goes_on(settings, source, tables, tmp_path) -> None:
    with process(
        "-m",
        "tests.support.copy_worker",
        *(str(tmp_path), str(source), str(tables), local_engines.url("dynamodb")),
    ) as worker:
        assert worker.stdin is not None
        written = 0
        for line in lines_of(worker):
            written += line.startswith("Writing rows")
            if written == 3:
                break
            worker.stdin.write("\n")
            worker.stdin.flush()
        worker.kill()
    seen: list[int] = []
    done = await copy_shop(
        settings,
        source,
        tables,
        watch=lambda stage, rows, total: seen.append(rows) if stage == "Writing rows" else None,
    )
    assert written == 3
    assert seen[0] > 0
    assert done.resumed
    assert done.compared.is_same


async def test_half_a_shop_is_not_served(settings, on_tables, source, tables) -> None:
    """Customers of a half copied shop would find products missing, or order at a wrong stock."""
    create_tables(on_tables)
    store = open_place(settings, tables)  # a node that was there before the copy
    try:
        with pytest.raises(Broken):
            await copy_shop(settings, source, tables, watch=breaking_at(2_000))
        for _ in range(2):  # the second time, its replica has all that there is
            with pytest.raises(StoreUnavailable, match="isn't finished"):
                await store.catch_up()
            with pytest.raises(StoreUnavailable, match="isn't finished"):
                await store.commit(ChangeSet(puts=(Put(Setting(id="a", version=1, value="")),)))
        with pytest.raises(StoreUnavailable, match="isn't finished"):
            open_place(settings, tables)
        assert (await copy_shop(settings, source, tables, watch=unseen)).compared.is_same
        await store.catch_up()
    finally:
        await store.close()


async def test_a_shop_that_is_there_is_not_copied_over(settings, source, tables, tmp_path) -> None:
    await copy_shop(settings, source, tables, watch=unseen)
    await remember(settings, tables, "sold since")
    with pytest.raises(AlreadyExists, match="there is a shop"):
        await copy_shop(settings, source, tables, watch=unseen)
    shutil.copy(source.name, tmp_path / "other.db")
    await remember(settings, file_at(tmp_path / "other.db"), "another shop")
    with pytest.raises(AlreadyExists, match="another shop"):
        await copy_shop(settings, source, file_at(tmp_path / "other.db"), watch=unseen)


async def test_a_copy_that_another_machine_began_is_not_mixed_with_this_one(
    settings, source, tables, tmp_path
) -> None:
    with pytest.raises(Broken):
        await copy_shop(settings, source, tables, watch=breaking_at(2_000))
    (tmp_path / f"{tables.name}copying.db").unlink()
    with pytest.raises(AlreadyExists, match="another moment"):
        await copy_shop(settings, source, tables, watch=unseen)


async def test_a_source_that_sold_on_is_told(settings, source, tables) -> None:
    """The target would lack an order that a customer was promised."""
    with pytest.raises(Broken):
        await copy_shop(settings, source, tables, watch=breaking_at(2_000))
    await remember(settings, source, "sold meanwhile")
    done = await copy_shop(settings, source, tables, watch=unseen)
    assert not done.compared.is_same
    assert done.compared.differing == ("record",)


async def test_leases_stay_where_they_are(settings, source, tables, tmp_path) -> None:
    """The copy's first server would wait for a process that will never come, and a source that
    renews its leases would never be equal to its copy."""
    before = open_place(settings, source)
    forever = datetime(9999, 1, 1, tzinfo=UTC)
    assert await before.hold(Lease(id="work", version=1, holder="source", until=forever))
    there = await copy_shop(settings, source, tables, watch=unseen)
    assert await before.hold(Lease(id="work", version=2, holder="source", until=forever))
    again = await copy_shop(settings, source, tables, watch=unseen)
    back = await copy_shop(settings, tables, file_at(tmp_path / "back.db"), watch=unseen)
    await before.close()
    assert there.compared.is_same
    assert again.compared == there.compared
    assert back.compared.is_same
    for place in (tables, file_at(tmp_path / "back.db")):
        store = open_place(settings, place)
        assert await store.lease("work") is None
        await store.close()


async def test_what_is_no_place_is_refused(settings, tmp_path) -> None:
    for text in ("shop.db", "sqlite:", "postgres:shop", "dynamodb:no spaces"):
        with pytest.raises(SettingsError, match="no place"):
            Place.of(text)
    missing = file_at(tmp_path / "missing.db")
    with pytest.raises(NotFound):
        await copy_shop(settings, missing, file_at(tmp_path / "new.db"), watch=unseen)
    assert not (tmp_path / "missing.db").exists()


def test_the_command_says_what_came_of_it_and_ends_with_the_right_code(source, tmp_path) -> None:
    terminal = Terminal(tmp_path)
    copied = terminal.ok("copy", "--from", str(source), "--to", "sqlite:copy.db", "--json").json
    again = terminal.ok("copy", "--from", str(source), "--to", "sqlite:copy.db")
    other = terminal.run("copy", "--from", str(source), "--to", "sqlite:missing/copy.db")
    assert copied["compared"]["is_same"] is True
    assert copied["compared"]["rows"]["orders"] > 300
    assert "all tables are equal" in again.out
    assert other.code == 3
    assert terminal.run("copy", "--from", str(source), "--to", str(source)).code == 2
