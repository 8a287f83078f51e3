"""Passes over a log in DynamoDB: who left is in no item any more, wherever a node was stopped."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from storekeeper.app import Place, copy_shop, open_place
from storekeeper.config import Settings
from storekeeper.domain.accounts import Account, Principal
from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.orders import Address
from storekeeper.domain.stock import MAIN
from storekeeper.domain.work import Setting
from storekeeper.services.base import BY_SYSTEM, Call
from storekeeper.store.dynamodb import erasing, parts
from storekeeper.store.dynamodb.erasing import Eraser
from tests.accounts.office import GOOD, HOME, Office
from tests.contract.engines import prefix_of
from tests.dynamodb.commits import Broken, Commits, Way, killed, lost
from tests.dynamodb.logs import Written, filled
from tests.support.builders import a_location, an_order
from tests.support.clock import Clock
from tests.support.ids import Ids
from tests.support.nodes import node

# So that an entry of some orders lies in several parts.
PART_BYTES = 1_500


@asynccontextmanager
async def an_office(folder: Path, number: int = 0) -> AsyncIterator[tuple[Office, Commits]]:
    async with node(folder, number) as shop:
        office = Office(shop.store, shop.clock, shop.new_id)  # type: ignore[arg-type]
        try:
            yield office, Commits(shop.store, prefix_of(folder))
        finally:
            office.passwords.close()


def eraser_of(office: Office) -> Eraser:
    store: Any = office.store
    found: Eraser = store._eraser
    return found


def an_eraser(office: Office, remote: Any) -> Eraser:
    """Another, of a node that has just been started."""
    store: Any = office.store
    return Eraser(remote, store._prefix, store, office.clock)


def followed(office: Office) -> int:
    store: Any = office.store
    return int(store.followed)


async def open_shop(office: Office) -> Product:
    await office.store.commit(ChangeSet(puts=(Put(a_location(MAIN)),)))
    return await office.shop.sell(stock=100)


def personal(name: str) -> tuple[str, ...]:
    """What somebody of that name tells the shop."""
    return (
        f"{name}@example.com",
        name.title(),
        f"12 {name} Square",
        f"Ring at {name}'s",
        f"Browser of {name}",
        f"Till of {name}",
        f"moving, says {name}",
    )


def left(name: str, text: str) -> list[str]:
    """What of that can be read in a text."""
    return [word for word in personal(name) if word in text]


def orders_of(name: str) -> dict[str, Any]:
    address = Address(name=name.title(), line1=f"12 {name} Square", city="Leeds", country="GB")
    return {"shipping_address": address, "note": f"Ring at {name}'s"}


async def comes(office: Office, name: str, orders: int = 1) -> Account:
    """Somebody who logs in, forgets their password and orders, and gives reasons."""
    account = await office.person(name, "staff")
    await office.sessions.log_in(
        account.email, GOOD, client_address=HOME, client=f"Browser of {name}"
    )
    call = Call(principal=Principal(account_id=account.id, role="staff"))
    await office.api_keys.create(call, name=f"Till of {name}", scopes=["stock:read"])
    await office.credentials.forgot_password(account.email, client_address=HOME)
    for _ in range(orders):
        order = await office.order(account, **orders_of(name))
        await office.order_changes.cancel(BY_SYSTEM, order.id, f"moving, says {name}")
    return account


async def leaves(office: Office, account: Account) -> None:
    """Their deletion is done, and what lives on for a while has run out."""
    await office.account_removal.remove(BY_SYSTEM, account.id)
    office.clock.advance(minutes=6)
    assert await office.account_removal.finish() == 1
    office.clock.advance(hours=4)
    while await office.store.purge(office.clock(), 100):
        pass


async def same_everywhere(office: Office, commits: Commits, path: Path) -> None:
    """A node that comes now has the rows of one that was there all along."""
    assert filled(path, await commits.written()) == await office.store.digests()


async def test_who_left_is_in_no_entry_any_more_and_everybody_else_is(tmp_path: Path) -> None:
    async with an_office(tmp_path) as (office, commits):
        await open_shop(office)
        ada = await comes(office, "ada")
        async with an_office(tmp_path, 1) as (early, _):
            await early.store.catch_up()
            half = followed(early)
        await comes(office, "bob")
        before = await commits.text()
        assert left("ada", before) == list(personal("ada"))
        await leaves(office, ada)
        assert await office.store.gauges() == {"storekeeper_erasure_waiting_accounts": 1}
        with capture_logs() as told:
            assert await eraser_of(office).erase_if_due()
        text = await commits.text()
        assert left("ada", text) == []
        assert left("bob", text) == list(personal("bob"))
        assert ada.id in text
        # One password is left of two.
        assert text.count("argon2id") < before.count("argon2id")
        (line,) = [one for one in told if one["event"] == "personal data erased from the log"]
        assert (line["accounts"], line["entries"] > 5) == (1, True)
        assert left("ada", str(line)) == []
        # One node had followed to the middle, another comes now.
        for number, start in ((1, half), (2, 0)):
            async with an_office(tmp_path, number) as (other, _):
                assert followed(other) == start
                await other.store.catch_up()
                assert await other.store.digests() == await office.store.digests()
                assert await other.store.verify() == []
                assert await eraser_of(other).waiting() == 0
        # The address is free.
        assert (await office.person("ada")).id != ada.id


async def test_a_pass_is_made_for_new_deletions_and_once_a_day(tmp_path: Path) -> None:
    """It reads the whole log, which is paid for."""
    async with an_office(tmp_path) as (office, commits):
        await open_shop(office)
        ada, bob, eve = [await comes(office, name, 0) for name in ("ada", "bob", "eve")]
        eraser = eraser_of(office)
        assert not await eraser.erase_if_due()
        await leaves(office, ada)
        assert await eraser.erase_if_due()
        office.clock.advance(days=2)
        assert not await eraser.erase_if_due()
        await leaves(office, bob)
        assert await eraser.erase_if_due()
        await leaves(office, eve)
        assert not await eraser.erase_if_due()
        # Whoever holds the lease next knows no better.
        after = an_eraser(office, commits.remote)
        assert not await after.erase_if_due()
        assert left("eve", await commits.text())
        office.clock.advance(days=1)
        assert await after.erase_if_due()
        assert not left("eve", await commits.text())


async def a_large_entry(office: Office) -> Account:
    """An order of Ada's in an entry that lies in parts, together with what stays for ever."""
    mug = await open_shop(office)
    ada = await office.person()
    order, change = an_order((mug, 1), customer_id=ada.id, email=ada.email, **orders_of("ada"))
    noise = random.Random(1).randbytes(2_500).hex()
    big = Setting(id="big", version=1, value=f"kept for ever {noise}")
    await office.store.commit(change + ChangeSet(puts=(Put(big),)))
    await office.order_changes.cancel(BY_SYSTEM, order.id, "moving, says ada")
    return ada


async def test_entries_in_parts_get_new_ones_and_the_old_ones_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", PART_BYTES)
    async with an_office(tmp_path) as (office, commits):
        ada = await a_large_entry(office)
        (old,) = [item for item in await commits.items() if "parts" in item and "format" in item]
        await leaves(office, ada)
        assert await eraser_of(office).erase_if_due()
        text = await commits.text()
        assert left("ada", text) == []
        assert "kept for ever" in text
        there, named = await commits.part_names()
        assert there == named
        assert parts.named(old) not in named
        # A node that has just read the item finds what stands now.
        now, data = await commits.remote.ask(partial(parts.read, table=commits.name, item=old))
        assert left("ada", Written(0, int(now["format"]["N"]), data).text().decode()) == []
        await same_everywhere(office, commits, tmp_path / "new.db")


async def nothing_is_left(office: Office, commits: Commits, new: Path) -> None:
    """No personal data, nothing that nobody names, and a node that comes now has all rows."""
    await parts_swept(commits)
    assert left("ada", await commits.text()) == []
    there, named = await commits.part_names()
    assert there == named
    kinds = {item["pk"]["S"].partition("#")[0] for item in await commits.items()}
    assert kinds == {"log", "part", "erasure"}
    await same_everywhere(office, commits, new)


async def parts_swept(commits: Commits) -> None:
    await commits.remote.ask(lambda client: parts.sweep(client, commits.name, 100))


async def test_killed_at_any_write_a_pass_loses_nothing_and_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a rewritten entry would be an order that somebody was promised, gone."""
    monkeypatch.setattr(parts, "PART_BYTES", PART_BYTES)
    async with an_office(tmp_path) as (office, commits):
        await leaves(office, await a_large_entry(office))
        before = await commits.items()
        for number in count(1):
            try:
                assert await an_eraser(office, Way(commits.remote, number, killed)).erase_if_due()
                break
            except Broken:
                # The sweeper may come at any moment.
                await parts_swept(commits)
                await same_everywhere(office, commits, tmp_path / f"killed-{number}.db")
                assert await an_eraser(office, commits.remote).erase_if_due()
            await nothing_is_left(office, commits, tmp_path / f"finished-{number}.db")
            await commits.put_back(before)
        # Where it is, two entries, and of one the draft, two new parts, two old ones and three steps.
        assert number > 2 + 2 + 8


async def test_an_answer_that_got_lost_loses_no_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second try of a step finds the item as it was not: it is the first that made it so."""
    monkeypatch.setattr(parts, "PART_BYTES", PART_BYTES)
    async with an_office(tmp_path) as (office, commits):
        await leaves(office, await a_large_entry(office))
        before = await commits.items()
        for number in range(1, 13):
            way = Way(commits.remote, number, lost, is_after=True)
            assert await an_eraser(office, way).erase_if_due()
            await nothing_is_left(office, commits, tmp_path / f"new-{number}.db")
            await commits.put_back(before)


@pytest.mark.parametrize(("meanwhile", "numbers"), [("sweep", range(5, 9)), ("pass", range(3, 12))])
async def test_a_node_that_was_held_up_and_wakes_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: str, numbers: range
) -> None:
    """Parts that it has just written may have been swept; or its lease has run out, and another
    node was at the same entry."""
    monkeypatch.setattr(parts, "PART_BYTES", PART_BYTES)
    async with an_office(tmp_path) as (office, commits):
        await leaves(office, await a_large_entry(office))
        before = await commits.items()
        remote = commits.remote.sibling()
        for number in numbers:
            asleep, awake = threading.Event(), threading.Event()

            async def sleeps(asleep: Any = asleep, awake: Any = awake) -> None:
                asleep.set()
                await asyncio.to_thread(awake.wait)

            slow = an_eraser(office, Way(remote, number, sleeps))
            at_it = asyncio.create_task(slow.erase_if_due())
            await asyncio.to_thread(asleep.wait)
            if meanwhile == "pass":
                assert await an_eraser(office, commits.remote).erase_if_due()
            await parts_swept(commits)
            awake.set()
            assert await at_it
            await nothing_is_left(office, commits, tmp_path / f"new-{number}.db")
            await commits.put_back(before)
        await asyncio.to_thread(remote.close)


async def test_a_pass_that_was_stopped_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "PAGE", 5)
    async with an_office(tmp_path) as (office, commits):
        await open_shop(office)
        ada = await comes(office, "ada", 3)
        await leaves(office, ada)
        stop = asyncio.Event()
        read: list[int] = []
        page = Eraser._page

        async def stopping(self: Eraser, client: Any, seq: int, end: int) -> list[Any]:
            read.append(seq)
            if len(read) == 2:
                stop.set()
            return await page(self, client, seq, end)

        monkeypatch.setattr(Eraser, "_page", stopping)
        assert not await eraser_of(office).erase_if_due(stop)
        assert await eraser_of(office).waiting() == 1
        assert await eraser_of(office).erased_up_to() == 0
        assert left("ada", await commits.text())
        end = followed(office)
        # What is written after a pass began is none of its business.
        await comes(office, "bob")
        assert await an_eraser(office, commits.remote).erase_if_due()
        assert read == list(range(0, end, 5))
        assert left("ada", await commits.text()) == []
        assert await eraser_of(office).erased_up_to() == end


async def test_a_shop_that_was_copied_here_forgets_who_left_since(
    settings: Settings, tables: Place, tmp_path: Path
) -> None:
    """Rows of a copy hold people's data as change sets do."""
    source = Place(store="sqlite", name=str(tmp_path / "source.db"))
    clock = Clock()
    there = open_place(settings, source, clock, Ids(1))
    office = Office(there, clock, Ids(1))
    await open_shop(office)
    ada = await comes(office, "ada")
    await comes(office, "bob")
    office.passwords.close()
    await there.close()
    await copy_shop(settings, source, tables, watch=lambda stage, done, total: None)
    store: Any = open_place(settings, tables, clock, Ids(2))
    office = Office(store, clock, Ids(2))
    try:
        commits = Commits(store, tables.name)
        await store.catch_up()
        assert left("ada", await commits.text()) == list(personal("ada"))
        await leaves(office, ada)
        assert await eraser_of(office).erase_if_due()
        text = await commits.text()
        assert left("ada", text) == []
        assert left("bob", text) == list(personal("bob"))
        await same_everywhere(office, commits, tmp_path / "new.db")
        again = await copy_shop(
            settings,
            tables,
            Place(store="sqlite", name=str(tmp_path / "back.db")),
            watch=lambda stage, done, total: None,
        )
        assert again.compared.is_same
    finally:
        office.passwords.close()
        await store.close()
