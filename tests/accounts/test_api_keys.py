"""An integration's key does what it was made for, no more, and not a moment longer."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from storekeeper.domain.accounts import ApiKey
from storekeeper.domain.errors import (
    Conflict,
    Forbidden,
    Invalid,
    KeyReused,
    NotFound,
    Unauthenticated,
)
from storekeeper.services import api_keys
from storekeeper.services.base import BY_SYSTEM, Call


async def test_a_key_does_what_its_scopes_say(office):
    sam = await office.person("sam", "staff")
    call = await office.call("sam")
    key = await office.api_keys.create(call, name=" till ", scopes=["stock:read", "stock:read"])
    principal = await office.known(key.text)
    assert principal.account_id == sam.id
    assert principal.api_key_id == key.api_key.id
    assert principal.scopes == {"stock:read"}
    assert key.api_key.name == "till"


async def test_only_a_hash_of_it_is_kept(office, tmp_path):
    await office.person("sam", "staff")
    key = await office.api_keys.create(await office.call("sam"), name="t", scopes=["stock:read"])
    secret = key.text.partition(".")[2].encode()
    assert not any(secret in path.read_bytes() for path in tmp_path.iterdir())


async def test_a_revoked_key_ends_at_once_on_every_process(office, elsewhere):
    await office.person("sam", "staff")
    call = await office.call("sam")
    key = await office.api_keys.create(call, name="till", scopes=["stock:read"])
    await elsewhere.known(key.text)
    await office.api_keys.revoke(call, key.api_key.id)
    with pytest.raises(Unauthenticated):
        await elsewhere.known(key.text)
    with pytest.raises(NotFound):
        await office.api_keys.revoke(call, key.api_key.id)


async def test_a_key_shrinks_with_its_owners_role(office, elsewhere):
    root = await office.person("root", "admin")
    await office.person("other", "admin")
    call = await office.call("root")
    key = await office.api_keys.create(call, name="all", scopes=["users:write", "stock:read"])
    assert (await elsewhere.known(key.text)).scopes == {"users:write", "stock:read"}
    await office.accounts.set_role(BY_SYSTEM, root.id, "staff")
    assert (await elsewhere.known(key.text)).scopes == {"stock:read"}
    await office.accounts.set_role(BY_SYSTEM, root.id, "customer")
    assert (await elsewhere.known(key.text)).scopes == frozenset()


async def test_nobody_makes_a_key_that_may_more_than_himself(office):
    await office.person("sam", "staff")
    await office.person("ada")
    with pytest.raises(Forbidden) as refused:
        await office.api_keys.create(
            await office.call("sam"), name="x", scopes=["stock:read", "users:write"]
        )
    assert refused.value.members["scopes"] == ["users:write"]
    with pytest.raises(Forbidden):
        await office.api_keys.create(await office.call("ada"), name="x", scopes=["stock:read"])
    with pytest.raises(Invalid):
        await office.api_keys.create(await office.call("sam"), name="x", scopes=[])


async def test_a_key_ends_at_its_time(office):
    await office.person("sam", "staff")
    call = await office.call("sam")
    end = office.clock() + timedelta(hours=1)
    key = await office.api_keys.create(call, name="x", scopes=["stock:read"], expires_at=end)
    await office.known(key.text)
    office.clock.advance(hours=1)
    with pytest.raises(Unauthenticated, match="expired"):
        await office.known(key.text)
    with pytest.raises(Invalid):
        await office.api_keys.create(call, name="x", scopes=["stock:read"], expires_at=end)


@pytest.mark.parametrize("bend", [lambda t: t[:-1], lambda t: t + "x", lambda t: t.swapcase()])
async def test_a_bent_key_is_refused(office, bend):
    await office.person("sam", "staff")
    key = await office.api_keys.create(await office.call("sam"), name="x", scopes=["stock:read"])
    with pytest.raises(Unauthenticated):
        await office.known(bend(key.text))


async def test_a_retry_makes_no_second_key_and_shows_the_secret_to_nobody(office):
    await office.person("sam", "staff")
    call = await office.call("sam", key="k", fingerprint="f")
    outcomes = await asyncio.gather(
        *(office.api_keys.create(call, name="x", scopes=["stock:read"]) for _ in range(4))
    )
    later = await office.api_keys.create(call, name="x", scopes=["stock:read"])
    assert len({created.api_key.id for created in (*outcomes, later)}) == 1
    assert sum(created.text is not None for created in outcomes) == 1
    assert later.text is None
    other = Call(principal=call.principal, key="k", fingerprint="g")
    with pytest.raises(KeyReused):
        await office.api_keys.create(other, name="y", scopes=["stock:read"])


async def test_one_sees_ones_own_keys_and_revokes_nobody_elses(office):
    await office.person("sam", "staff")
    await office.person("tom", "staff")
    await office.person("root", "admin")
    sam, tom = await office.call("sam"), await office.call("tom")
    key = await office.api_keys.create(sam, name="x", scopes=["stock:read"])
    assert [k.id for k in (await office.api_keys.list(sam.principal)).items] == [key.api_key.id]
    assert not (await office.api_keys.list(tom.principal)).items
    with pytest.raises(NotFound):
        await office.api_keys.revoke(tom, key.api_key.id)
    await office.api_keys.revoke(await office.call("root"), key.api_key.id)
    assert await office.store.get(ApiKey, key.api_key.id) is None


async def test_keys_do_not_pile_up_without_end(office, monkeypatch):
    monkeypatch.setattr(api_keys, "MOST_KEYS", 2)
    await office.person("sam", "staff")
    call = await office.call("sam")
    for _ in range(2):
        await office.api_keys.create(call, name="x", scopes=["stock:read"])
    with pytest.raises(Conflict):
        await office.api_keys.create(call, name="x", scopes=["stock:read"])
