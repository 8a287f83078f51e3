"""A password is changed by who knows it or reads its mailbox, and by nobody else."""

from __future__ import annotations

import asyncio

import pytest

from storekeeper.domain import events
from storekeeper.domain.accounts import FREE_CLIENT_ATTEMPTS, Account, ResetLink
from storekeeper.domain.audit import AuditEntry
from storekeeper.domain.errors import (
    LinkUsed,
    TooManyRequests,
    Unauthenticated,
    WeakPassword,
    WrongPassword,
)
from storekeeper.services.base import BY_SYSTEM
from tests.accounts.office import GOOD, HOME, OTHER, Office, office_at


async def mailed(office: Office, name: str = "ada") -> str:
    """Asks for a link and makes its secret from the event, as the mail channel does."""
    await office.credentials.forgot_password(f"{name}@example.com", client_address=HOME)
    nonce = (await office.told(events.PASSWORD_RESET_REQUESTED))[-1].data["link"]
    return office.credentials.reset_secret(nonce)


async def test_changing_it_needs_the_current_one_and_ends_all_other_sessions(office):
    await office.person()
    thief = await office.log_in()
    call = await office.call()
    change = office.credentials.change_password
    with pytest.raises(WrongPassword) as refused:
        await change(call.principal, "not this one", OTHER, client_address=HOME)
    assert refused.value.field == "current_password"
    await change(call.principal, GOOD, OTHER, client_address=HOME)
    with pytest.raises(Unauthenticated):
        await office.known(thief)
    assert [s.id for s in await office.sessions.list(call.principal)] == [call.principal.session_id]
    with pytest.raises(Unauthenticated):
        await office.log_in(password=GOOD)
    await office.log_in(password=OTHER)
    assert len(await office.told(events.PASSWORD_CHANGED)) == 1


async def test_a_weak_new_password_changes_nothing(office):
    await office.person()
    call = await office.call()
    with pytest.raises(WeakPassword) as refused:
        await office.credentials.change_password(
            call.principal, GOOD, "ada@example.com", client_address=HOME
        )
    assert refused.value.field == "new_password"
    await office.log_in(password=GOOD)


async def test_a_stolen_session_cannot_be_used_to_guess_the_password(office):
    await office.person()
    call = await office.call()
    for number in range(5):
        with pytest.raises(WrongPassword):
            await office.credentials.change_password(
                call.principal, f"guess {number}", OTHER, client_address=HOME
            )
    with pytest.raises(TooManyRequests):
        await office.credentials.change_password(call.principal, GOOD, OTHER, client_address=HOME)


async def test_of_two_changes_at_once_one_is_told_that_the_password_is_another_now(office):
    await office.person()
    call = await office.call()
    outcomes = await asyncio.gather(
        *(
            office.credentials.change_password(call.principal, GOOD, new, client_address=HOME)
            for new in ("the first new one", "the second new one")
        ),
        return_exceptions=True,
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "WrongPassword"]


async def test_a_mailed_link_sets_a_new_password_once_and_ends_all_sessions(office):
    await office.person()
    before = await office.log_in()
    secret = await mailed(office)
    await office.credentials.reset_password(secret, OTHER)
    with pytest.raises(Unauthenticated):
        await office.known(before)
    await office.log_in(password=OTHER)
    with pytest.raises(LinkUsed):
        await office.credentials.reset_password(secret, "yet another password")
    await office.log_in(password=OTHER)


async def test_two_clicks_at_once_set_one_password(office):
    await office.person()
    secret = await mailed(office)
    outcomes = await asyncio.gather(
        *(
            office.credentials.reset_password(secret, f"new password {number}")
            for number in range(4)
        ),
        return_exceptions=True,
    )
    kinds = sorted(type(outcome).__name__ for outcome in outcomes)
    assert kinds == ["LinkUsed", "LinkUsed", "LinkUsed", "NoneType"]


async def test_a_weak_password_leaves_the_link_good(office):
    await office.person()
    secret = await mailed(office)
    with pytest.raises(WeakPassword):
        await office.credentials.reset_password(secret, "password123")
    await office.credentials.reset_password(secret, OTHER)


async def test_a_link_is_good_for_an_hour_and_then_purged(office):
    await office.person()
    secret = await mailed(office)
    office.clock.advance(hours=1)
    with pytest.raises(LinkUsed):
        await office.credentials.reset_password(secret, OTHER)
    await office.store.purge(office.clock(), 100)
    assert not (await office.store.list_all(ResetLink)).items


@pytest.mark.parametrize("secret", ["", "x", "0" * 64, "é"])
async def test_a_made_up_link_is_refused(office, secret):
    await office.person()
    await mailed(office)
    with pytest.raises(LinkUsed):
        await office.credentials.reset_password(secret, OTHER)


async def test_a_new_password_ends_the_other_links_too(office):
    """An old mail in somebody's hands must not open the account again."""
    await office.person()
    first, second = await mailed(office), await mailed(office)
    await office.credentials.reset_password(second, OTHER)
    with pytest.raises(LinkUsed):
        await office.credentials.reset_password(first, GOOD)


async def test_the_secret_of_a_link_is_kept_nowhere(office, tmp_path):
    await office.person()
    secret = await mailed(office)
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert secret.encode() not in kept
    (told,) = await office.told(events.PASSWORD_RESET_REQUESTED)
    assert set(told.data) == {"account_id", "link"}


async def test_a_link_works_after_the_shops_secret_was_exchanged(office, tmp_path):
    await office.person()
    await office.credentials.forgot_password("ada@example.com", client_address=HOME)
    (told,) = await office.told(events.PASSWORD_RESET_REQUESTED)
    async with office_at(
        tmp_path / "shop.db", clock=office.clock, node=5, secrets=(b"new", b"the shop's secret")
    ) as restarted:
        secret = restarted.credentials.reset_secret(told.data["link"])
        await restarted.credentials.reset_password(secret, OTHER)
    await office.log_in(password=OTHER)


async def test_asking_for_an_unknown_address_writes_as_much_and_sends_nothing(office):
    await office.person()
    work = []
    for name in ("ada", "nobody"):
        before = office.store.counters.changes
        await office.credentials.forgot_password(f"{name}@example.com", client_address=HOME)
        work.append(office.store.counters.changes - before)
    assert work[0] == work[1]
    assert len((await office.store.list_all(ResetLink)).items) == 2
    assert len(await office.told(events.PASSWORD_RESET_REQUESTED)) == 1


async def test_nobodys_mailbox_is_flooded(office):
    await office.person()
    for _ in range(5):
        await office.credentials.forgot_password("ada@example.com", client_address=HOME)
    for address in (HOME, "198.51.100.1"):
        with pytest.raises(TooManyRequests):
            await office.credentials.forgot_password("ADA@example.com", client_address=address)
    assert len(await office.told(events.PASSWORD_RESET_REQUESTED)) == 5


async def test_who_locked_himself_out_gets_in_by_mail_without_waiting(office):
    await office.person()
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            await office.log_in(password="no, not this")
    await office.credentials.reset_password(await mailed(office), OTHER)
    await office.log_in(password=OTHER)


async def test_an_account_without_a_password_gets_its_first_one_by_link(office):
    await office.person(password=None)
    await office.credentials.reset_password(await mailed(office), OTHER)
    await office.log_in(password=OTHER)


async def test_a_deleted_accounts_link_leads_nowhere(office):
    ada = await office.person()
    secret = await mailed(office)
    await office.account_removal.remove(BY_SYSTEM, ada.id)
    with pytest.raises(LinkUsed):
        await office.credentials.reset_password(secret, OTHER)
    assert (await office.store.get(Account, ada.id)).password_hash == ""


async def test_many_of_one_client_who_forgot_at_once_are_counted_one_by_one(office):
    """Nobody is told that somebody else changed something: it is done, or too much."""
    for number in range(60):
        await office.person(f"p{number}", password=None)
    outcomes = await asyncio.gather(
        *(
            office.credentials.forgot_password(f"p{number}@example.com", client_address=HOME)
            for number in range(60)
        ),
        return_exceptions=True,
    )
    assert outcomes.count(None) == FREE_CLIENT_ATTEMPTS
    assert all(isinstance(one, TooManyRequests) for one in outcomes if one is not None)


async def test_wrong_passwords_of_one_client_for_many_accounts_are_counted_one_by_one(office):
    outcomes = await asyncio.gather(
        *(
            office.sessions.log_in(f"p{number}@example.com", "not this", client_address=HOME)
            for number in range(60)
        ),
        return_exceptions=True,
    )
    kinds = [type(one) for one in outcomes]
    assert kinds.count(Unauthenticated) == FREE_CLIENT_ATTEMPTS
    assert kinds.count(TooManyRequests) == 60 - FREE_CLIENT_ATTEMPTS


async def test_whose_password_was_set_for_them_is_in_the_audit_log_without_it(office):
    ada = await office.person()
    await office.credentials.set_password(BY_SYSTEM, ada.email, OTHER)
    (entry,) = (await office.store.find(AuditEntry, "action", "account.password_set")).items
    assert (entry.by, entry.subject, entry.fields) == ("system", f"account:{ada.id}", ())
