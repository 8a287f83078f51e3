"""Logging in tells an attacker nothing and makes guessing slow, without locking owners out."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from storekeeper.domain.accounts import Account, Attempts, Session
from storekeeper.domain.errors import Overloaded, TooManyRequests, Unauthenticated
from storekeeper.identity.passwords import Passwords
from storekeeper.services.base import BY_SYSTEM
from storekeeper.services.sessions import MOST_SESSIONS
from storekeeper.services.throttle import Throttle
from tests.accounts.office import GOOD, HOME, OTHER, Office, office_at

AWAY = "198.51.100.7"


async def refusal(office: Office, name: str = "ada", password: str = OTHER, at: str = HOME) -> str:
    with pytest.raises(Unauthenticated) as refused:
        await office.log_in(name, password, at)
    return refused.value.detail


async def fail(office: Office, times: int, name: str = "ada", at: str = HOME) -> None:
    """That many failures, each as soon as it is allowed."""
    for _ in range(times):
        try:
            await refusal(office, name, at=at)
        except TooManyRequests as wait:
            office.clock.advance(seconds=wait.members["retry_after"])
            await refusal(office, name, at=at)


async def wait_of(office: Office, name: str = "ada", at: str = HOME, password: str = GOOD) -> int:
    with pytest.raises(TooManyRequests) as refused:
        await office.log_in(name, password, at)
    seconds: int = refused.value.members["retry_after"]
    return seconds


async def test_the_right_password_begins_a_session_that_says_which_device(office):
    ada = await office.person()
    tokens = await office.log_in()
    principal = await office.known(tokens)
    assert (principal.account_id, principal.role) == (ada.id, "customer")
    session = await office.store.get(Session, tokens.session_id)
    assert session.client == "Firefox"
    assert tokens.refresh_token.split(".")[1] not in repr(session)


async def test_the_address_may_be_written_in_any_case(office):
    await office.person()
    await office.sessions.log_in("  ADA@Example.COM ", GOOD, client_address=HOME)


async def test_every_wrong_log_in_gets_the_same_answer_for_the_same_work(office):
    """Otherwise an attacker learns who is a customer here."""
    await office.person("ada")
    await office.person("no-password", password=None)
    gone = await office.person("gone")
    await office.account_removal.remove(BY_SYSTEM, gone.id)
    answers, work = set(), []
    for name in ("ada", "nobody", "no-password", "gone"):
        before = office.passwords.verifications
        answers.add(await refusal(office, name))
        work.append(office.passwords.verifications - before)
    assert len(answers) == 1
    assert work == [1, 1, 1, 1]


async def test_a_wrong_log_in_leaves_the_same_traces_for_known_and_unknown(office):
    await office.person("ada")
    await refusal(office, "ada", at="192.0.2.2")
    await refusal(office, "nobody", at="192.0.2.3")
    attempts = await office.store.list_all(Attempts)
    assert sorted(attempt.failures for attempt in attempts.items) == [1, 1, 1, 1]
    assert "example.com" not in repr(attempts)


async def test_a_copy_of_the_counts_alone_tells_of_no_address(office):
    """Whoever has a backup but not the shop's secret can't try out who failed to log in."""
    await refusal(office, "ada")
    (one, two) = (await office.store.list_all(Attempts)).items
    other = Throttle(office.tools, (b"somebody else's secret",))
    email = "ada@example.com"
    assert office.throttle.by_address("password", email).id in (one.id, two.id)
    assert other.by_address("password", email).id not in (one.id, two.id)
    plain = {
        hashlib.sha256("\n".join(("password", *parts)).encode()).hexdigest()
        for parts in (("address", email), ("client", HOME))
    }
    assert not plain & {one.id, two.id}


async def test_the_delay_grows_with_each_failure_up_to_a_quarter_of_an_hour(office):
    await office.person()
    await fail(office, 5)
    waits = []
    for _ in range(12):
        waits.append(await wait_of(office))
        office.clock.advance(seconds=waits[-1])
        await refusal(office)
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]


async def test_the_right_password_must_wait_too_and_then_clears_the_count(office):
    await office.person()
    await fail(office, 6)
    office.clock.advance(seconds=await wait_of(office, password=GOOD))
    await office.log_in()
    await fail(office, 4)
    await office.log_in()


async def test_an_address_without_an_account_is_slowed_down_alike(office):
    await fail(office, 5, "nobody")
    assert await wait_of(office, "nobody") == 1


async def test_failures_are_remembered_by_another_process_and_after_a_restart(office, tmp_path):
    await office.person()
    await fail(office, 6)
    async with office_at(tmp_path / "shop.db", clock=office.clock, node=7) as restarted:
        assert await wait_of(restarted) == 2


async def test_a_client_that_tries_many_addresses_is_slowed_down_everywhere(office):
    await office.person()
    for number in range(20):
        await refusal(office, f"somebody-{number}", at=AWAY)
    assert await wait_of(office, "ada", AWAY) == 1
    await office.log_in("ada", client_address=HOME)


async def test_addresses_of_one_ipv6_network_are_one_client(office):
    """One customer of a provider has 2^64 of them to switch between."""
    await office.person()
    for number in range(20):
        await refusal(office, f"somebody-{number}", at=f"2001:db8:1:2::{number:x}")
    assert await wait_of(office, "ada", "2001:db8:1:2:ffff::1") == 1
    await office.log_in("ada", client_address="2001:db8:1:3::1")


async def test_having_one_account_buys_no_free_tries_on_others(office):
    await office.person("eve")
    await office.person("ada")
    for number in range(19):
        await refusal(office, f"somebody-{number}", at=AWAY)
        await office.log_in("eve", client_address=AWAY)
    await refusal(office, "ada", at=AWAY)
    assert await wait_of(office, "ada", AWAY) == 1


async def test_ones_own_typing_errors_leave_nothing_against_the_office_network(office):
    """Many colleagues share one address; each mistypes once and gets in."""
    for number in range(25):
        await office.person(f"colleague-{number}")
        await refusal(office, f"colleague-{number}")
        await office.log_in(f"colleague-{number}")


async def test_guesses_sent_side_by_side_are_counted_one_by_one(office):
    await office.person()
    tries = await asyncio.gather(
        *(office.log_in("ada", f"guess number {number}") for number in range(30)),
        return_exceptions=True,
    )
    kinds = [type(outcome) for outcome in tries]
    assert kinds.count(Unauthenticated) == 5
    assert kinds.count(TooManyRequests) == 25
    assert office.passwords.verifications == 5


async def test_many_people_log_in_from_one_address_at_the_same_time(office):
    names = [f"person-{number}" for number in range(40)]
    for name in names:
        await office.person(name)
    tokens = await asyncio.gather(*(office.log_in(name) for name in names))
    assert len({found.account_id for found in tokens}) == 40


async def test_being_too_busy_to_check_is_no_failure_of_the_caller(office):
    await office.person()
    office.passwords._capacity = 0
    with pytest.raises(Overloaded):
        await office.log_in()
    assert not (await office.store.list_all(Attempts)).items


async def test_forgotten_failures_are_purged_and_count_no_more(office):
    await office.person()
    await fail(office, 7)
    office.clock.advance(days=1, seconds=1)
    assert await office.store.purge(office.clock(), 100) == 2
    await fail(office, 4)
    await office.log_in()


async def test_logging_in_renews_a_hash_of_older_parameters(office):
    ada = await office.person()
    await office.log_in()
    assert (await office.store.get(Account, ada.id)).version == 1
    stronger = Passwords(memory_kib=128, passes=1)
    office.sessions._passwords = office.credentials._passwords = stronger
    tokens = await office.log_in()
    renewed = await office.store.get(Account, ada.id)
    assert renewed.version == 2
    assert not stronger.needs_rehash(renewed.password_hash)
    assert (await office.known(tokens)).account_id == ada.id
    await office.log_in()
    stronger.close()


async def test_the_oldest_session_makes_room_so_that_they_never_pile_up(office):
    await office.person()
    first = await office.log_in()
    last = [await office.log_in() for _ in range(MOST_SESSIONS)][-1]
    principal = await office.known(last)
    sessions = await office.sessions.list(principal)
    assert len(sessions) == MOST_SESSIONS
    assert first.session_id not in {session.id for session in sessions}


async def test_a_password_change_during_a_log_in_wins(office):
    """Whoever changes it because it was stolen must not find the thief logged in."""
    await office.person()
    call = await office.call()

    async def late() -> object:
        return await office.sessions.log_in("ada@example.com", GOOD, client_address=AWAY)

    await asyncio.gather(
        late(),
        office.credentials.change_password(call.principal, GOOD, OTHER, client_address=HOME),
        late(),
        return_exceptions=True,
    )
    left = await office.sessions.list(call.principal)
    assert [session.id for session in left] == [call.principal.session_id]
