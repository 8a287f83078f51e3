"""Knowing the caller costs nothing the second time and is never out of date."""

from __future__ import annotations

import pytest

from storekeeper.domain.accounts import ROLE_SCOPES, Account
from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.errors import Unauthenticated
from storekeeper.identity.authenticator import StoreAuthenticator
from storekeeper.services.account_records import changed
from storekeeper.services.base import BY_SYSTEM


async def header(office, name="ada") -> str:
    return f"Bearer {(await office.log_in(name)).access_token}"


async def test_the_second_time_no_question_reaches_the_store(office):
    ada = await office.person()
    bearer = await header(office)
    assert office.authenticator.remembered(bearer) is None
    await office.authenticator.principal_of(bearer)
    assert office.authenticator.remembered(bearer).account_id == ada.id


async def test_a_remembered_token_ends_with_its_time(office):
    await office.person()
    bearer = await header(office)
    await office.authenticator.principal_of(bearer)
    office.clock.advance(minutes=14, seconds=59)
    assert office.authenticator.remembered(bearer)
    office.clock.advance(seconds=1)
    assert office.authenticator.remembered(bearer) is None


async def test_a_role_is_that_of_now_in_every_process(office, elsewhere):
    sam = await office.person("sam", "staff")
    bearer = await header(office, "sam")
    before = await elsewhere.authenticator.principal_of(bearer)
    assert before.scopes == ROLE_SCOPES["staff"]
    await office.accounts.set_role(BY_SYSTEM, sam.id, "customer")
    assert elsewhere.authenticator.remembered(bearer) is None
    after = await elsewhere.authenticator.principal_of(bearer)
    assert (after.role, after.scopes) == ("customer", frozenset())


async def test_what_changed_while_it_was_looked_up_is_not_remembered(office):
    """A log-out between the reading of two records must not be overlooked."""
    ada = await office.person()
    bearer = await header(office)
    store, reads = office.store, []

    class Meanwhile(StoreAuthenticator):
        async def _by_access_token(self, token):
            known = await super()._by_access_token(token)
            account = await store.get(Account, ada.id)
            raised = changed(account, office.clock(), epoch=account.epoch + 1)
            await store.commit(ChangeSet(puts=(Put(raised),)))
            reads.append(known)
            return known

    authenticator = Meanwhile(store, office.access_tokens, clock=office.clock)
    await authenticator.principal_of(bearer)
    assert reads
    assert authenticator.remembered(bearer) is None
    with pytest.raises(Unauthenticated, match="ended"):
        await authenticator.principal_of(bearer)


async def test_only_so_many_are_remembered_and_the_busy_ones_stay(office):
    await office.person()
    small = StoreAuthenticator(office.store, office.access_tokens, clock=office.clock, size=2)
    first, second, third = [await header(office) for _ in range(3)]
    await small.principal_of(first)
    await small.principal_of(second)
    assert small.remembered(first)
    await small.principal_of(third)
    assert small.remembered(first)
    assert small.remembered(second) is None
    assert small.remembered(third)


async def test_a_refused_header_is_not_remembered(office):
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            await office.authenticator.principal_of("Bearer nonsense")
    assert not office.authenticator._known


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Basic YTpi", "Token x", "Bearer sk_", "Bearer sk_x.y", "é ü"],
)
async def test_other_schemes_and_empty_ones_are_refused_clearly(office, authorization):
    with pytest.raises(Unauthenticated) as refused:
        await office.authenticator.principal_of(authorization)
    assert refused.value.detail


async def test_the_schemes_name_may_be_in_any_case(office):
    await office.person()
    token = (await office.log_in()).access_token
    assert (await office.authenticator.principal_of(f"bEARER   {token}")).account_id


async def test_a_token_of_one_session_is_no_use_with_the_account_of_another(office):
    ada, eve = await office.person("ada"), await office.person("eve")
    session = (await office.log_in("eve")).session_id
    forged = office.access_tokens.issue(ada.id, session, office.clock())
    with pytest.raises(Unauthenticated):
        await office.known(forged)
    assert await office.known(office.access_tokens.issue(eve.id, session, office.clock()))


async def test_one_token_is_remembered_once_however_it_is_padded(office):
    """Or a single log-in could fill the memory with its own header."""
    await office.person()
    bearer = await header(office)
    for padding in range(5):
        padded = bearer.replace(" ", " " * (padding + 1)) + " " * padding
        await office.authenticator.principal_of(padded)
        assert office.authenticator.remembered(padded)
    assert list(office.authenticator._known) == [bearer.removeprefix("Bearer ")]
    assert office.authenticator.remembered(bearer.replace("Bearer", "Basic")) is None


async def test_a_header_that_is_far_too_long_is_refused_unread(office):
    await office.person()
    bearer = await header(office)
    await office.authenticator.principal_of(bearer)
    long = bearer + " " * 4_096
    assert office.authenticator.remembered(long) is None
    with pytest.raises(Unauthenticated):
        await office.authenticator.principal_of(long)
