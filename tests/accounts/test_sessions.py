"""Refresh tokens are good once; a copied one ends its session; logging out works at once."""

from __future__ import annotations

import asyncio

import pytest

from storekeeper.domain import events
from storekeeper.domain.accounts import Session
from storekeeper.domain.errors import NotFound, Unauthenticated
from storekeeper.identity.tokens import split
from tests.accounts.office import SECRETS, office_at


async def is_known(office, tokens) -> bool:
    try:
        await office.known(tokens)
    except Unauthenticated:
        return False
    return True


async def test_refreshing_gives_new_tokens_for_the_same_session(office):
    ada = await office.person()
    first = await office.log_in()
    office.clock.advance(minutes=20)
    assert not await is_known(office, first)
    second = await office.sessions.refresh(first.refresh_token)
    assert second.session_id == first.session_id
    assert second.refresh_token != first.refresh_token
    assert (await office.known(second)).account_id == ada.id


async def test_a_refresh_token_used_twice_ends_its_family_and_is_told(office):
    ada = await office.person()
    other_device = await office.log_in()
    first = await office.log_in()
    second = await office.sessions.refresh(first.refresh_token)
    with pytest.raises(Unauthenticated, match="used before"):
        await office.sessions.refresh(first.refresh_token)
    assert not await is_known(office, second)
    with pytest.raises(Unauthenticated):
        await office.sessions.refresh(second.refresh_token)
    assert await is_known(office, other_device)
    (told,) = await office.told(events.SESSION_REUSED)
    assert told.data == {"account_id": ada.id, "session_id": first.session_id}


async def test_of_two_who_refresh_with_one_token_at_once_neither_stays(office, elsewhere):
    """One of them has copied it, and nobody can tell which."""
    await office.person()
    first = await office.log_in()
    outcomes = await asyncio.gather(
        *(
            place.sessions.refresh(first.refresh_token)
            for place in (office, elsewhere, office, elsewhere)
        ),
        return_exceptions=True,
    )
    won = [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
    assert len(won) == 1
    assert all(isinstance(o, Unauthenticated) for o in outcomes if o not in won)
    assert not await is_known(office, won[0])
    assert await office.store.get(Session, first.session_id) is None
    assert len(await office.told(events.SESSION_REUSED)) == 1


@pytest.mark.parametrize("text", ["", "x", "nobody.secret", "x" * 400, ".", "\x00.\x00"])
async def test_a_text_that_is_no_refresh_token_is_refused(office, text):
    with pytest.raises(Unauthenticated):
        await office.sessions.refresh(text)


async def test_a_session_that_nobody_refreshes_ends_after_its_time(office):
    await office.person()
    tokens = await office.log_in()
    office.clock.advance(days=29)
    tokens = await office.sessions.refresh(tokens.refresh_token)
    office.clock.advance(days=29)
    tokens = await office.sessions.refresh(tokens.refresh_token)
    office.clock.advance(days=30)
    with pytest.raises(Unauthenticated):
        await office.sessions.refresh(tokens.refresh_token)
    assert await office.store.purge(office.clock(), 100) == 1


async def test_logging_out_ends_this_session_on_every_process_and_no_other(office, elsewhere):
    await office.person()
    here, there = await office.log_in(), await office.log_in()
    assert await is_known(elsewhere, here)
    assert await is_known(elsewhere, there)
    await office.sessions.log_out(await office.known(here))
    assert not await is_known(elsewhere, here)
    assert not await is_known(office, here)
    assert await is_known(elsewhere, there)
    with pytest.raises(Unauthenticated):
        await office.sessions.refresh(here.refresh_token)


async def test_logging_out_everywhere_ends_all_sessions_and_all_tokens(office, elsewhere):
    await office.person()
    all_of_them = [await office.log_in() for _ in range(3)]
    assert [await is_known(elsewhere, tokens) for tokens in all_of_them] == [True] * 3
    await office.sessions.log_out(await office.known(all_of_them[0]), everywhere=True)
    assert [await is_known(elsewhere, tokens) for tokens in all_of_them] == [False] * 3
    again = await office.log_in()
    assert await is_known(elsewhere, again)


async def test_a_log_in_during_a_log_out_everywhere_is_either_ended_or_whole(office):
    await office.person()
    caller = await office.known(await office.log_in())
    outcomes = await asyncio.gather(
        *(office.log_in() for _ in range(5)), office.sessions.log_out(caller, everywhere=True)
    )
    for tokens in outcomes[:5]:
        kept = await is_known(office, tokens)
        try:
            await office.sessions.refresh(tokens.refresh_token)
            assert kept
        except Unauthenticated:
            assert not kept


async def test_logging_out_twice_changes_nothing(office):
    await office.person()
    principal = await office.known(await office.log_in())
    await office.sessions.log_out(principal)
    await office.sessions.log_out(principal)


async def test_one_sees_and_ends_ones_own_sessions_and_nobody_elses(office):
    await office.person("ada")
    await office.person("eve")
    ada, eve = await office.log_in("ada"), await office.log_in("eve")
    phone = await office.log_in("ada")
    me = await office.known(ada)
    assert [s.id for s in await office.sessions.list(me)] == [ada.session_id, phone.session_id]
    await office.sessions.end(me, phone.session_id)
    assert not await is_known(office, phone)
    with pytest.raises(NotFound):
        await office.sessions.end(me, eve.session_id)
    assert await is_known(office, eve)


async def test_a_made_up_secret_ends_nothing(office):
    """A session's id stands in access tokens, also in old ones from some log."""
    await office.person()
    eve = await office.log_in()
    first = await office.log_in()
    _, foreign = split(eve.refresh_token)
    _, own = split(first.refresh_token)
    for secret in ("wrong", foreign, f"{own}x", own[:-1], "x.y.z", "é.\x00.\udcff"):
        with pytest.raises(Unauthenticated):
            await office.sessions.refresh(f"{first.session_id}.{secret}")
    assert await office.told(events.SESSION_REUSED) == []
    assert await is_known(office, first)
    assert await office.sessions.refresh(first.refresh_token)


@pytest.mark.parametrize("refreshes", [1, 2, 5])
async def test_any_older_token_of_the_family_ends_it(office, refreshes):
    await office.person()
    first = newest = await office.log_in()
    for _ in range(refreshes):
        newest = await office.sessions.refresh(newest.refresh_token)
    with pytest.raises(Unauthenticated, match="used before"):
        await office.sessions.refresh(first.refresh_token)
    assert not await is_known(office, newest)
    assert len(await office.told(events.SESSION_REUSED)) == 1


async def test_a_session_outlives_an_exchange_of_the_shops_secret(office, tmp_path):
    await office.person()
    first = await office.log_in()
    secrets = (b"a new secret of the shop", *SECRETS)
    async with office_at(
        tmp_path / "shop.db", clock=office.clock, node=2, secrets=secrets
    ) as after:
        second = await after.sessions.refresh(first.refresh_token)
        third = await after.sessions.refresh(second.refresh_token)
        with pytest.raises(Unauthenticated, match="used before"):
            await after.sessions.refresh(first.refresh_token)
        assert not await is_known(after, third)
