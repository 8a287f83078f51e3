"""The tokens that programs other than ours make after Cognito open the shop as they should: a pool
that was only ever our own could be wrong about itself on both sides."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from storekeeper.app import check_provider
from storekeeper.config import SettingsError
from storekeeper.identity.cognito import CognitoTokens
from tests.api.shopfront import Front, Seed, front_at, in_one_task, settings_at
from tests.identity.engine_pool import EnginePool, LogIn, claims_of, settings_of
from tests.identity.pool import pool_at
from tests.support import local_engines
from tests.support.clock import Clock
from tools.engines.launch import Name


@pytest.fixture(params=["ministack", "moto"], scope="module")
def engine(request: pytest.FixtureRequest) -> Name:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def engine_pool(engine: Name) -> EnginePool:
    return EnginePool(local_engines.url(engine))


@pytest.fixture
def clock() -> Clock:
    """The engines keep the real time; the shop's clock is behind by less than it forgives."""
    return Clock(datetime.now(UTC) - timedelta(seconds=10))


@pytest.fixture
def settings(engine_pool: EnginePool) -> dict[str, Any]:
    return settings_of(engine_pool)


@pytest.fixture
async def shop(
    tmp_path: Path, seed: Seed, clock: Clock, settings: dict[str, Any]
) -> AsyncIterator[Front]:
    opened = front_at(tmp_path, seed, clock=clock, **settings)
    async with in_one_task(opened) as front:
        yield front


async def me(front: Front, login: LogIn) -> httpx.Response:
    return await front.http.get("/users/me", headers=login.headers)


async def known(front: Front, login: LogIn) -> Any:
    answer = await me(front, login)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def refused(front: Front, login: LogIn) -> str:
    answer = await me(front, login)
    assert answer.status_code == 401, answer.text
    return str(answer.json()["detail"])


@pytest.mark.parametrize(
    ("groups", "role"), [((), "customer"), (("clerks",), "staff"), (("clerks", "admins"), "admin")]
)
async def test_whoever_logs_in_at_the_pool_is_known_here_by_their_groups(
    shop, engine_pool, groups, role
):
    engine_pool.add("lin", *groups)
    lin = await known(shop, engine_pool.log_in("lin"))
    assert (lin["name"], lin["role"]) == ("lin", role)
    by_server = engine_pool.log_in_by_server("lin")
    assert (await known(shop, by_server))["id"] == lin["id"]
    order = await shop.http.post(
        "/orders", json={"lines": [{"sku": "MUG", "quantity": 1}]}, headers=by_server.headers
    )
    assert order.status_code == 201
    # Staff place orders for others, or for nobody that is known.
    assert order.json()["customer_id"] == (lin["id"] if role == "customer" else None)
    low = await shop.http.get("/stock/low", headers=by_server.headers)
    assert low.status_code == (403 if role == "customer" else 200)


async def test_the_id_token_opens_nothing_but_says_where_mail_goes(shop, engine_pool):
    engine_pool.add("lin")
    login = engine_pool.log_in("lin")
    opened = await shop.http.get("/users/me", headers={"Authorization": f"Bearer {login.id}"})
    assert opened.status_code == 401
    told = await shop.http.put(
        "/users/me/identity", json={"id_token": login.id}, headers=login.headers
    )
    assert told.status_code == 200, told.text
    expected = "lin@example.com" if claims_of(login.id).get("email_verified") else ""
    assert told.json()["email"] == expected


async def test_a_refreshed_token_belongs_to_the_same_log_in_and_logging_out_here_ends_it(
    shop, engine_pool
):
    engine_pool.add("lin")
    phone = engine_pool.log_in("lin")
    await known(shop, phone)
    refreshed = engine_pool.refreshed(phone)
    assert refreshed.access != phone.access
    listed = await shop.http.get("/users/me/sessions", headers=refreshed.headers)
    assert [one["current"] for one in listed.json()["items"]] == [True]
    left = await shop.http.post("/auth/logout", headers=refreshed.headers)
    assert left.status_code == 204
    for token in (phone, refreshed, engine_pool.refreshed(phone)):
        assert "ended" in await refused(shop, token)
    await known(shop, engine_pool.log_in("lin"))


async def test_what_the_pool_takes_away_is_gone_with_the_next_token(shop, engine_pool):
    engine_pool.add("lin", "admins")
    before = engine_pool.log_in("lin")
    assert (await known(shop, before))["role"] == "admin"
    engine_pool.of("lin", "admin_remove_user_from_group", GroupName="admins")
    assert (await known(shop, engine_pool.later(before, "lin")))["role"] == "customer"
    assert (await known(shop, before))["role"] == "customer"


async def test_a_sign_out_at_the_pool_counts_when_an_admin_ends_the_sessions_here(
    shop, engine_pool
):
    """Nobody asks the pool while a token lasts, so it can't tell us."""
    engine_pool.add("lin")
    engine_pool.add("root", "admins")
    login = engine_pool.log_in("lin")
    lin = await known(shop, login)
    engine_pool.of("lin", "admin_user_global_sign_out")
    await known(shop, login)
    ended = await shop.http.delete(
        f"/users/{lin['id']}/sessions", headers=engine_pool.log_in("root").headers
    )
    assert ended.status_code == 204
    assert "ended" in await refused(shop, login)
    await known(shop, engine_pool.later(login, "lin"))


async def test_tokens_of_other_applications_and_other_pools_are_refused(shop, engine_pool, engine):
    engine_pool.add("lin", "admins")
    other_app = engine_pool.log_in("lin", engine_pool.another_client())
    assert "another application" in await refused(shop, other_app)
    other_pool = EnginePool(local_engines.url(engine))
    other_pool.add("lin", "admins")
    assert "this shop's" in await refused(shop, other_pool.log_in("lin"))


async def test_a_token_that_was_changed_on_the_way_is_refused(shop, engine_pool):
    engine_pool.add("eve")
    engine_pool.add("root", "admins")
    header, claims, signature = engine_pool.log_in("eve").access.split(".")
    raised = engine_pool.log_in("root").access.split(".")[1]
    await refused(shop, LogIn(f"{header}.{raised}.{signature}", "", ""))
    await refused(shop, LogIn(f"{header}.{claims}.{signature[:-8]}AAAAAAAA", "", ""))


async def test_a_token_is_taken_until_it_runs_out(shop, engine_pool, clock):
    engine_pool.add("lin")
    login = engine_pool.log_in("lin")
    await known(shop, login)
    lasts = login.claims["exp"] - int(clock().timestamp())
    clock.advance(seconds=lasts + 29)
    await known(shop, login)
    clock.advance(seconds=2)
    assert "expired" in await refused(shop, login)


@pytest.mark.parametrize("engine", ["ministack"], indirect=True)
async def test_the_pool_changes_its_keys_and_nobody_has_to_do_anything(
    engine_pool, clock, tmp_path, seed
):
    """The engines never change theirs, so the document is passed on by us, who can."""
    engine_pool.add("lin")
    login = engine_pool.log_in("lin")
    with pool_at(clock) as relay:
        relay.signs_with("first")
        settings = settings_of(engine_pool) | {"cognito_jwks_url": relay.url}
        old = LogIn(
            relay.token("lin", iss=engine_pool.issuer, client_id=engine_pool.client_id), "", ""
        )
        async with front_at(tmp_path, seed, clock=clock, **settings) as front:
            await known(front, old)
            async with httpx.AsyncClient() as http:
                relay.body = (await http.get(engine_pool.jwks_url)).content
            clock.advance(seconds=11)
            await known(front, login)
            clock.advance(minutes=61)
            await known(front, login)
            assert front.shop.outside is not None
            tokens = front.shop.outside.tokens
            assert isinstance(tokens, CognitoTokens)
            # The fetch that this has begun isn't waited for by requests.
            assert tokens.keys._fetching is not None
            await tokens.keys._fetching
            lasting = relay.token(
                "lin",
                iss=engine_pool.issuer,
                client_id=engine_pool.client_id,
                origin_jti="another",
            )
            assert "key" in await refused(front, LogIn(lasting, "", ""))


@pytest.mark.parametrize("engine", ["ministack"], indirect=True)
def test_a_pool_that_is_not_there_keeps_the_shop_closed(engine_pool, settings, tmp_path):
    """Or a slip in the pool's id would be found by its people, one by one. (moto has keys for
    pools that don't exist.)"""
    check_provider(settings_at(tmp_path, **settings))
    wrong = engine_pool.jwks_url.replace(engine_pool.id, "eu-west-1_Nothing")
    with pytest.raises(SettingsError, match="has no keys"):
        check_provider(settings_at(tmp_path, **{**settings, "cognito_jwks_url": wrong}))
