"""Deleting an account removes everything personal and keeps the shop's books."""

from __future__ import annotations

import asyncio

import pytest

from storekeeper.domain import events
from storekeeper.domain.accounts import Account, ApiKey, Session
from storekeeper.domain.changes import ChangeSet
from storekeeper.domain.errors import (
    Conflict,
    Forbidden,
    NotFound,
    OpenOrders,
    StoreUnavailable,
    Unauthenticated,
    WrongPassword,
)
from storekeeper.domain.notes import OrderNote
from storekeeper.domain.orders import LineQuantity, Order
from storekeeper.services import account_removal
from storekeeper.services.base import BY_SYSTEM
from storekeeper.services.order_notes import OrderNotes
from storekeeper.store.sqlite.backup import back_up
from tests.accounts.office import GOOD, HOME, Office

PERSONAL = ("ada@example.com", "Lovelace", "12 Square", "Ada")


async def shipped(office: Office, account: Account, count: int = 1) -> list[Order]:
    orders = []
    for _ in range(count):
        order = await office.order(account)
        orders.append(await office.order_changes.ship(BY_SYSTEM, order.id, lines=None))
    return orders


async def remove_own(office: Office, password: str = GOOD) -> None:
    call = await office.call()
    await office.account_removal.remove_own(call, password=password, client_address=HOME)


async def test_nothing_personal_is_left_and_the_orders_are(office):
    ada = await office.person()
    await office.shop.sell(stock=10)
    (before,) = await shipped(office, ada)
    await remove_own(office)
    account = await office.store.get(Account, ada.id)
    order = await office.store.get(Order, before.id)
    for word in PERSONAL:
        assert word not in repr(account)
        assert word not in repr(order)
    assert account.password_hash == ""
    assert (order.customer_id, order.total, order.lines) == (ada.id, before.total, before.lines)
    assert order.timeline[:-1] == before.timeline
    assert order.timeline[-1].kind == "personal_data_removed"
    assert await office.store.verify() == []
    assert len(await office.told(events.ACCOUNT_DELETED)) == 1


async def test_what_the_customer_said_goes_with_the_account(office):
    """Reasons are typed freely; the shop's books need what happened and when, not why."""
    ada = await office.person()
    await office.shop.sell(stock=10)
    cancelled = await office.order(ada)
    mine = await office.call()
    await office.order_changes.cancel(mine, cancelled.id, "moving to Leeds, call 0113 496 0000")
    (returned,) = await shipped(office, ada)
    await office.order_changes.take_back(
        BY_SYSTEM, returned.id, lines=None, reason="her mother in Leeds has one"
    )
    await remove_own(office)
    for id, kinds in (
        (cancelled.id, ["placed", "confirmed", "cancelled", "personal_data_removed"]),
        (returned.id, ["placed", "confirmed", "shipped", "returned", "personal_data_removed"]),
    ):
        order = await office.store.get(Order, id)
        assert "Leeds" not in repr(order)
        assert [entry.kind for entry in order.timeline] == kinds


async def test_no_session_or_key_of_a_deleted_account_lives_on(office, elsewhere):
    sam = await office.person("sam", "staff")
    tokens = await office.log_in("sam")
    call = await office.call("sam")
    key = await office.api_keys.create(call, name="till", scopes=["stock:read"])
    await elsewhere.known(tokens)
    await elsewhere.known(key.text)
    await office.account_removal.remove(BY_SYSTEM, sam.id)
    for proof in (tokens, key.text):
        with pytest.raises(Unauthenticated):
            await elsewhere.known(proof)
    with pytest.raises(Unauthenticated):
        await office.sessions.refresh(tokens.refresh_token)
    for kind in (Session, ApiKey):
        assert not (await office.store.find(kind, "account_id", sam.id)).items


async def test_the_address_is_free_for_a_new_account_that_has_none_of_the_old_orders(office):
    ada = await office.person()
    await remove_own(office)
    again = await office.person()
    assert again.id != ada.id


async def test_it_needs_the_password(office):
    ada = await office.person()
    with pytest.raises(WrongPassword):
        await remove_own(office, "not the password")
    assert (await office.store.get(Account, ada.id)).status == "active"


async def test_it_is_refused_while_an_order_is_open(office):
    ada = await office.person()
    await office.shop.sell(stock=10)
    await office.shop.sell("CUP", stock=10)
    order = await office.order(ada, "MUG", "CUP", confirm=False)
    await refused_for(office, order)
    await office.order_changes.confirm(BY_SYSTEM, order.id)
    await refused_for(office, order)
    one = LineQuantity(line_id=1, quantity=1)
    await office.order_changes.ship(BY_SYSTEM, order.id, lines=[one])
    await refused_for(office, order)
    await office.order_changes.ship(BY_SYSTEM, order.id, lines=None)
    await remove_own(office)


async def refused_for(office: Office, order: Order) -> None:
    with pytest.raises(OpenOrders) as refused:
        await remove_own(office)
    assert order.number in refused.value.detail
    kept = await office.store.get(Order, order.id)
    assert kept is not None
    assert kept.shipping_address is not None


async def test_an_admin_deletes_others_and_again_changes_nothing(office):
    ada = await office.person()
    await office.person("root", "admin")
    call = await office.call("root")
    await office.account_removal.remove(call, ada.id)
    await office.account_removal.remove(call, ada.id)
    assert len(await office.told(events.ACCOUNT_DELETED)) == 1
    with pytest.raises(NotFound):
        await office.account_removal.remove(call, "nobody")
    with pytest.raises(NotFound):
        await office.accounts.get(call, ada.id)


async def test_an_admin_deletes_himself_only_with_his_password(office):
    root = await office.person("root", "admin")
    await office.person("other", "admin")
    call = await office.call("root")
    with pytest.raises(Forbidden):
        await office.account_removal.remove(call, root.id)


async def test_a_long_history_is_cleared_page_by_page(office, monkeypatch):
    monkeypatch.setattr(account_removal, "ORDERS_AT_ONCE", 3)
    ada = await office.person()
    await office.shop.sell(stock=20)
    orders = await shipped(office, ada, 10)
    await remove_own(office)
    for order in orders:
        assert (await office.store.get(Order, order.id)).shipping_address is None


async def test_what_a_crash_broke_off_is_finished_later(office, monkeypatch):
    """Half of the orders still say where somebody lives until this is done."""
    monkeypatch.setattr(account_removal, "ORDERS_AT_ONCE", 2)
    ada = await office.person()
    await office.shop.sell(stock=20)
    orders = await shipped(office, ada, 7)
    commit, commits = office.store.commit, []

    async def breaking(change: ChangeSet) -> None:
        commits.append(change)
        if len(commits) > 3:
            raise StoreUnavailable("the disk is full")
        await commit(change)

    call = await office.call()
    monkeypatch.setattr(office.store, "commit", breaking)
    with pytest.raises(StoreUnavailable):
        await office.account_removal.remove_own(call, password=GOOD, client_address=HOME)
    monkeypatch.setattr(office.store, "commit", commit)
    kept = await office.store.get_many(Order, [order.id for order in orders])
    assert any(order.shipping_address for order in kept.values())
    await office.account_removal.finish()
    kept = await office.store.get_many(Order, [order.id for order in orders])
    assert not any(order.shipping_address or order.email for order in kept.values())


async def test_a_history_longer_than_a_request_should_take_is_left_to_the_sweeper(
    office, monkeypatch
):
    monkeypatch.setattr(account_removal, "ORDERS_AT_ONCE", 2)
    monkeypatch.setattr(account_removal, "PAGES_IN_REQUEST", 1)
    ada = await office.person()
    await office.shop.sell(stock=20)
    orders = await shipped(office, ada, 5)
    await remove_own(office)
    await office.account_removal.finish()
    kept = await office.store.get_many(Order, [order.id for order in orders])
    assert not any(order.shipping_address for order in kept.values())


async def test_an_order_that_slipped_in_keeps_its_address_until_it_is_shipped(office):
    """A request that was under way when the account was closed may still place one."""
    ada = await office.person()
    await office.shop.sell(stock=10)
    await remove_own(office)
    order = await office.order(ada)
    office.clock.advance(hours=1)
    assert await office.account_removal.finish() == 0
    assert (await office.store.get(Order, order.id)).shipping_address is not None
    await office.order_changes.ship(BY_SYSTEM, order.id, lines=None)
    assert await office.account_removal.finish() == 1
    assert (await office.store.get(Order, order.id)).shipping_address is None
    assert (await office.store.get(Account, ada.id)).status == "deleted"


async def test_an_account_settles_once_whichever_process_looks(office, elsewhere):
    await office.person()
    await remove_own(office)
    assert await office.account_removal.finish() == 0
    office.clock.advance(minutes=5)
    done = await asyncio.gather(office.account_removal.finish(), elsewhere.account_removal.finish())
    assert sum(done) == 1
    assert await office.account_removal.finish() == 0


async def test_an_order_that_moves_while_it_is_cleared_loses_nothing(office):
    ada = await office.person()
    await office.shop.sell(stock=20)
    orders = await shipped(office, ada, 6)
    await asyncio.gather(
        office.account_removal.remove(BY_SYSTEM, ada.id),
        *(office.order_changes.deliver(BY_SYSTEM, order.id) for order in orders),
    )
    kept = await office.store.get_many(Order, [order.id for order in orders])
    assert {order.state for order in kept.values()} == {"delivered"}
    assert not any(order.shipping_address for order in kept.values())


async def test_no_backup_holds_what_a_removed_account_said(office, tmp_path):
    """SQLite leaves what it deletes in the free space of the file, which a backup copies whole."""
    await office.shop.sell(stock=10_000)
    names = [f"person-{number:03}-{'x' * (number * 7 % 90)}" for number in range(60)]
    people = [await office.person(name) for name in names]
    for person in people:
        await shipped(office, person, 3)
    for person in people:
        await office.account_removal.remove(BY_SYSTEM, person.id)
    back_up(office.store.path, tmp_path / "copy.db")
    copy = (tmp_path / "copy.db").read_bytes()
    for word in (b"person-", b"Person-", b"12 Square", b"Lovelace"):
        assert word not in copy, word


async def noted(office: Office, account: Account, count: int) -> OrderNotes:
    """What staff wrote about an order of somebody's, and what writes it."""
    await office.person("sam", "staff")
    await office.shop.sell(stock=10)
    (order,) = await shipped(office, account)
    notes, call = OrderNotes(office.tools), await office.call("sam")
    for number in range(count):
        await notes.add(call, order.id, f"Ada said {number}")
    return notes


async def test_many_notes_about_somebody_go_page_by_page_the_last_with_the_sweeper(
    office, monkeypatch
):
    monkeypatch.setattr(account_removal, "NOTES_AT_ONCE", 2)
    monkeypatch.setattr(account_removal, "PAGES_IN_REQUEST", 1)
    await noted(office, await office.person(), 5)
    await remove_own(office)
    assert len((await office.store.list_all(OrderNote)).items) == 3
    office.clock.advance(hours=1)
    assert await office.account_removal.finish() == 1
    assert (await office.store.list_all(OrderNote)).items == ()


async def test_a_note_that_its_author_takes_away_meanwhile_keeps_no_other(office, monkeypatch):
    notes = await noted(office, await office.person(), 3)
    sam = await office.call("sam")
    commit = office.store.commit

    async def late(change: ChangeSet) -> None:
        if any(delete.kind == "OrderNote" for delete in change.deletes):
            monkeypatch.setattr(office.store, "commit", commit)
            first = (await office.store.list_all(OrderNote)).items[0]
            await notes.remove(sam, first.order_id, first.id)
        await commit(change)

    monkeypatch.setattr(office.store, "commit", late)
    await remove_own(office)
    assert (await office.store.list_all(OrderNote)).items == ()


async def test_nothing_is_written_about_somebody_who_is_gone(office):
    """Nobody would ever clear it away."""
    ada = await office.person()
    notes = await noted(office, ada, 1)
    order_id = (await office.store.list_all(OrderNote)).items[0].order_id
    sam = await office.call("sam")
    await remove_own(office)
    for _ in range(2):
        with pytest.raises(Conflict):
            await notes.add(sam, order_id, "She moved to Leeds")
        office.clock.advance(minutes=10)
        await office.account_removal.finish()
    assert (await office.store.get(Account, ada.id)).status == "deleted"
    assert (await office.store.list_all(OrderNote)).items == ()


async def test_a_note_that_is_being_written_while_its_customer_goes_is_not_kept(
    office, monkeypatch
):
    notes = await noted(office, await office.person(), 1)
    order_id = (await office.store.list_all(OrderNote)).items[0].order_id
    sam = await office.call("sam")
    commit = office.store.commit

    async def late(change: ChangeSet) -> None:
        monkeypatch.setattr(office.store, "commit", commit)
        await remove_own(office)
        await commit(change)

    monkeypatch.setattr(office.store, "commit", late)
    with pytest.raises(Conflict):
        await notes.add(sam, order_id, "She moved to Leeds")
    assert (await office.store.list_all(OrderNote)).items == ()
