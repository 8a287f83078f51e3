"""Somebody whom the user pool knows is a customer, or more, of this shop: from the first request,
for as long as both say so, and as nobody else."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from storekeeper.domain import events
from storekeeper.domain.accounts import Account, Session
from storekeeper.services.base import BY_SYSTEM
from storekeeper.services.sessions import MOST_SESSIONS
from tests.api.shopfront import PASSWORD, Front
from tests.identity.pool import Pool
from tests.support.clock import Clock


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def me(front: Front, token: str) -> httpx.Response:
    return await front.http.get("/users/me", headers=bearer(token))


async def known(front: Front, token: str) -> Any:
    """The account of a token that has to be good."""
    answer = await me(front, token)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def refused(front: Front, token: str) -> str:
    """Why a token isn't taken."""
    answer = await me(front, token)
    assert answer.status_code == 401, answer.text
    return str(answer.json()["detail"])


def seconds(clock: Clock) -> int:
    return int(clock().timestamp())


async def told(front: Front, kind: str, account_id: str) -> list[dict[str, Any]]:
    stored = await front.shop.store.events_after(0, 1_000)
    found = [one.event.data for one in stored if one.event.kind == kind]
    return [data for data in found if data["account_id"] == account_id]


async def test_the_first_request_makes_a_customer_who_can_order(front: Front, pool: Pool):
    token = pool.token("lin")
    order = await front.http.post(
        "/orders", json={"lines": [{"sku": "MUG", "quantity": 1}]}, headers=bearer(token)
    )
    assert order.status_code == 201
    lin = await known(front, token)
    assert (lin["role"], lin["name"], lin["email"]) == ("customer", "lin", "")
    assert order.json()["customer_id"] == lin["id"]
    assert len(await told(front, events.ACCOUNT_REGISTERED, lin["id"])) == 1


async def test_the_second_request_asks_neither_the_pool_nor_the_store(front: Front, pool: Pool):
    header = f"Bearer {pool.token('lin')}"
    assert front.shop.authenticator.remembered(header) is None
    first = await front.shop.authenticator.principal_of(header)
    assert front.shop.authenticator.remembered(header) == first
    assert pool.asked == 1


async def test_many_first_requests_at_the_same_time_make_one_account(
    front: Front, elsewhere: Front, pool: Pool
):
    tokens = [pool.token("lin", jti=str(number)) for number in range(8)]
    answers = await asyncio.gather(
        *(known(shop, token) for token in tokens for shop in (front, elsewhere))
    )
    assert len({answer["id"] for answer in answers}) == 1
    assert len(await told(front, events.ACCOUNT_REGISTERED, answers[0]["id"])) == 1


async def test_a_later_log_in_finds_the_same_account(front: Front, pool: Pool, clock: Clock):
    before = await known(front, pool.token("lin"))
    clock.advance(days=40)
    after = await known(front, pool.token("lin", origin_jti="another"))
    assert after["id"] == before["id"]


@pytest.mark.parametrize(("group", "role"), [("clerks", "staff"), ("admins", "admin")])
async def test_a_group_gives_its_role_and_nothing_beyond(
    front: Front, pool: Pool, group: str, role: str
):
    token = pool.token("lin", group)
    assert (await known(front, token))["role"] == role
    users = await front.http.get("/users", headers=bearer(token))
    assert users.status_code == (200 if role == "admin" else 403)


async def test_nobody_gets_the_account_of_another_by_naming_its_address(front: Front, pool: Pool):
    """A pool that lets people choose an address would otherwise hand out the shop's accounts."""
    address: dict[str, Any] = {
        "email": "root@example.com",
        "email_verified": True,
        "name": "Mallory",
    }
    token = pool.token("mallory", **address)
    mallory = await known(front, token)
    assert mallory["id"] != front.seed.people["root"].id
    assert (mallory["role"], mallory["email"]) == ("customer", "")
    taken = await front.http.put(
        "/users/me/identity",
        json={"id_token": pool.id_token("mallory", **address)},
        headers=bearer(token),
    )
    assert (taken.status_code, taken.json()["code"]) == (409, "already_exists")
    root = await front.http.get("/users/me", headers=front.who("root"))
    assert (root.json()["email"], root.json()["role"]) == ("root@example.com", "admin")


async def test_a_proven_address_is_the_accounts_own_and_nobody_else_can_register_it(
    front: Front, pool: Pool
):
    lin = await known(front, pool.token("lin", email="lin@example.com", email_verified=True))
    assert lin["email"] == "lin@example.com"
    other = await front.http.post(
        "/users", json={"email": "LIN@example.com", "password": PASSWORD, "name": "Other"}
    )
    assert (other.status_code, other.json()["field"]) == (409, "email")


async def test_an_id_token_says_where_mail_goes(front: Front, pool: Pool):
    token = pool.token("lin")
    before = await known(front, token)
    answer = await front.http.put(
        "/users/me/identity", json={"id_token": pool.id_token("lin")}, headers=bearer(token)
    )
    assert answer.status_code == 200
    after = answer.json()
    assert (after["email"], after["name"]) == ("lin@example.com", "Lin")
    assert after["version"] == before["version"] + 1
    again = await front.http.put(
        "/users/me/identity", json={"id_token": pool.id_token("lin")}, headers=bearer(token)
    )
    assert again.json() == after
    moved = await front.http.put(
        "/users/me/identity",
        json={"id_token": pool.id_token("lin", email="new@example.com")},
        headers=bearer(token),
    )
    assert moved.json()["email"] == "new@example.com"
    # The old address is free again.
    other = await front.http.post(
        "/users", json={"email": "lin@example.com", "password": PASSWORD, "name": "Other"}
    )
    assert other.status_code == 201


async def test_an_id_token_that_is_not_ones_own_changes_nothing(front: Front, pool: Pool):
    token, now = pool.token("lin"), seconds(front.clock)
    for given in (
        pool.id_token("eve"),
        pool.token("lin"),
        pool.id_token("lin", exp=now - 60),
        pool.id_token("lin", aud="another"),
        pool.id_token("lin", key="stranger", headers={"kid": "first"}),
    ):
        answer = await front.http.put(
            "/users/me/identity", json={"id_token": given}, headers=bearer(token)
        )
        assert (answer.status_code, answer.json()["field"]) == (422, "id_token"), answer.text
    unproven = await front.http.put(
        "/users/me/identity",
        json={"id_token": pool.id_token("lin", email_verified=False)},
        headers=bearer(token),
    )
    assert (unproven.json()["email"], unproven.json()["name"]) == ("", "Lin")
    local = await front.http.put(
        "/users/me/identity", json={"id_token": pool.id_token("ada")}, headers=front.who("ada")
    )
    assert local.status_code == 403


async def test_an_account_of_the_pool_never_gets_a_password_here(front: Front, pool: Pool):
    """A link by mail would be a way around the pool's second factor and its locks."""
    token = pool.token("lin", email="lin@example.com", email_verified=True)
    lin = await known(front, token)
    asked = await front.http.post("/auth/forgot", json={"email": "lin@example.com"})
    assert asked.status_code == 202
    assert not await told(front, events.PASSWORD_RESET_REQUESTED, lin["id"])
    for password in ("", PASSWORD):
        login = await front.http.post(
            "/auth/login", json={"email": "lin@example.com", "password": password}
        )
        assert login.status_code == 401
    changed = await front.http.post(
        "/users/me/password",
        json={"current_password": "", "new_password": PASSWORD},
        headers=bearer(token),
    )
    assert (changed.status_code, changed.json()["code"]) == (403, "wrong_password")
    address = await front.http.patch(
        "/users/me", json={"email": "x@example.com", "password": ""}, headers=bearer(token)
    )
    assert (address.status_code, address.json()["code"]) == (403, "wrong_password")


async def test_a_role_follows_the_groups_of_the_newest_token(
    front: Front, elsewhere: Front, pool: Pool, clock: Clock
):
    first = pool.token("lin", "clerks")
    lin = await known(front, first)
    clock.advance(minutes=5)
    second = pool.token("lin", "admins")
    assert (await known(elsewhere, second))["role"] == "admin"
    assert (await known(front, first))["role"] == "admin"
    clock.advance(minutes=5)
    third = pool.token("lin")
    for shop, token in ((front, third), (elsewhere, second), (front, first)):
        # An older token, still good, doesn't bring back what the pool has taken away.
        assert (await known(shop, token))["role"] == "customer"
    told_of = await told(front, events.ROLE_CHANGED, lin["id"])
    assert [(data["before"], data["role"]) for data in told_of] == [
        ("staff", "admin"),
        ("admin", "customer"),
    ]


async def test_an_older_token_gives_no_role_back_even_if_it_comes_for_the_first_time(
    front: Front, pool: Pool, clock: Clock
):
    await known(front, pool.token("lin"))
    clock.advance(minutes=5)
    kept = pool.token("lin", "admins")
    clock.advance(minutes=5)
    assert (await known(front, pool.token("lin")))["role"] == "customer"
    assert (await known(front, kept))["role"] == "customer"


async def test_a_role_changed_here_holds_at_once_and_until_the_groups_change(
    front: Front, elsewhere: Front, pool: Pool, clock: Clock
):
    token = pool.token("lin", "clerks")
    lin = await known(elsewhere, token)
    answer = await front.http.patch(
        f"/users/{lin['id']}", json={"role": "customer"}, headers=front.who("root")
    )
    assert answer.status_code == 200
    assert (await elsewhere.http.get("/stock/low", headers=bearer(token))).status_code == 403
    clock.advance(minutes=5)
    assert (await known(elsewhere, pool.token("lin", "clerks")))["role"] == "customer"
    clock.advance(minutes=5)
    assert (await known(elsewhere, pool.token("lin", "admins")))["role"] == "admin"


async def test_whoever_leaves_the_admins_group_is_none_even_if_nobody_is_left(
    front: Front, pool: Pool, clock: Clock
):
    await known(front, pool.token("lin", "admins"))
    await front.shop.accounts.set_role(BY_SYSTEM, front.seed.people["root"].id, "customer")
    clock.advance(minutes=5)
    assert (await known(front, pool.token("lin")))["role"] == "customer"


async def test_who_was_deleted_here_stays_out_whatever_the_pool_says(
    front: Front, elsewhere: Front, pool: Pool, clock: Clock
):
    token = pool.token("lin", "clerks", email="lin@example.com", email_verified=True)
    lin = await known(elsewhere, token)
    gone = await front.http.delete(f"/users/{lin['id']}", headers=front.who("root"))
    assert gone.status_code == 204
    assert "closed" in await refused(elsewhere, token)
    clock.advance(days=1)
    assert "closed" in await refused(front, pool.token("lin", "admins", origin_jti="another"))


async def test_logging_out_here_ends_every_token_of_that_log_in_and_no_other(
    front: Front, elsewhere: Front, pool: Pool, clock: Clock
):
    phone, laptop = pool.token("lin", origin_jti="phone"), pool.token("lin", origin_jti="laptop")
    for token in (phone, laptop):
        await known(elsewhere, token)
    assert (await front.http.post("/auth/logout", headers=bearer(phone))).status_code == 204
    clock.advance(minutes=30)
    refreshed = pool.token("lin", origin_jti="phone")
    for shop in (front, elsewhere):
        assert "ended" in await refused(shop, phone)
        assert "ended" in await refused(shop, refreshed)
        await known(shop, laptop)
    clock.advance(days=300)
    await front.shop.background.purge()
    assert "ended" in await refused(front, pool.token("lin", origin_jti="phone"))


async def test_logging_out_everywhere_ends_what_was_seen_and_what_was_not(
    front: Front, elsewhere: Front, pool: Pool, clock: Clock
):
    seen, unseen = pool.token("lin", origin_jti="one"), pool.token("lin", origin_jti="two")
    await known(elsewhere, seen)
    ended = await front.http.post("/auth/logout", json={"everywhere": True}, headers=bearer(seen))
    assert ended.status_code == 204
    clock.advance(minutes=2)
    refreshed = pool.token("lin", origin_jti="one", auth_time=seconds(clock) - 200)
    for token in (seen, unseen, refreshed):
        assert "ended" in await refused(elsewhere, token)
    now = seconds(clock)
    again = pool.token("lin", origin_jti="three", auth_time=now, iat=now)
    await known(elsewhere, again)


async def test_an_admin_ends_all_of_somebodys_sessions_at_once(
    front: Front, elsewhere: Front, pool: Pool
):
    """What makes a global sign-out at the pool count before its tokens have run out."""
    token = pool.token("lin")
    lin = await known(elsewhere, token)
    for who, status in (("ada", 403), ("sam", 403), ("root", 204)):
        answer = await front.http.delete(f"/users/{lin['id']}/sessions", headers=front.who(who))
        assert answer.status_code == status
    assert "ended" in await refused(elsewhere, token)
    ada = front.seed.people["ada"]
    await front.http.delete(f"/users/{ada.id}/sessions", headers=front.who("root"))
    assert (await elsewhere.http.get("/users/me", headers=ada.headers)).status_code == 401
    nobody = await front.http.delete("/users/nobody/sessions", headers=front.who("root"))
    assert nobody.status_code == 404


async def test_a_log_in_dated_by_a_fast_clock_is_ended_too(front: Front, pool: Pool, clock: Clock):
    token = pool.token("lin", auth_time=seconds(clock) + 20, iat=seconds(clock) + 20)
    lin = await known(front, token)
    await front.http.delete(f"/users/{lin['id']}/sessions", headers=front.who("root"))
    assert "ended" in await refused(front, token)


async def test_ones_log_ins_are_listed_and_can_be_ended_one_by_one(front: Front, pool: Pool):
    phone, laptop = pool.token("lin", origin_jti="phone"), pool.token("lin", origin_jti="laptop")
    await known(front, phone)
    listed = await front.http.get("/users/me/sessions", headers=bearer(laptop))
    other = [one for one in listed.json()["items"] if not one["current"]]
    assert (len(listed.json()["items"]), len(other)) == (2, 1)
    assert other[0]["client"] == "Cognito"
    path = f"/users/me/sessions/{other[0]['id']}"
    assert (await front.http.delete(path, headers=front.who("ada"))).status_code == 404
    assert (await front.http.delete(path, headers=bearer(laptop))).status_code == 204
    assert (await front.http.delete(path, headers=bearer(laptop))).status_code == 404
    assert "ended" in await refused(front, phone)
    listed = await front.http.get("/users/me/sessions", headers=bearer(laptop))
    assert [one["current"] for one in listed.json()["items"]] == [True]


async def test_only_so_many_log_ins_are_kept_and_the_forgotten_ones_are_over(
    front: Front, pool: Pool, clock: Clock
):
    now = seconds(clock)
    first = pool.token("lin", origin_jti="first", auth_time=now - 1_000)
    lin = await known(front, first)
    for number in range(MOST_SESSIONS):
        await known(front, pool.token("lin", origin_jti=str(number), auth_time=now - 900 + number))
    kept = await front.shop.store.find(Session, "account_id", lin["id"], limit=200)
    assert len(kept.items) == MOST_SESSIONS
    assert "ended" in await refused(front, first)
    await known(front, pool.token("lin", origin_jti="0", auth_time=now - 900))


async def test_a_token_is_taken_no_longer_than_it_lasts(front: Front, pool: Pool, clock: Clock):
    token = pool.token("lin", exp=seconds(clock) + 300)
    await known(front, token)
    clock.advance(seconds=329)
    await known(front, token)
    clock.advance(seconds=1)
    assert "expired" in await refused(front, token)


async def test_a_change_while_somebody_is_being_met_is_not_overlooked(front: Front, pool: Pool):
    """A log-out everywhere between two readings must not leave one token good."""
    header = f"Bearer {pool.token('lin')}"
    principal = await front.shop.authenticator.principal_of(header)
    real = front.shop.outside_accounts.meet

    async def meanwhile(outsider: Any) -> None:
        await front.shop.sessions.end_all(BY_SYSTEM, str(principal.account_id))
        await real(outsider)

    front.shop.outside_accounts.meet = meanwhile  # type: ignore[method-assign]
    answer = await me(front, pool.token("lin", origin_jti="another"))
    assert answer.status_code == 401


async def test_an_id_token_opens_nothing_and_the_answer_says_what_to_send(front: Front, pool: Pool):
    assert "access token" in await refused(front, pool.id_token("lin"))


async def test_without_the_pools_keys_its_people_wait_and_all_others_do_not(
    front: Front, pool: Pool
):
    pool.is_down()
    answer = await me(front, pool.token("lin"))
    assert (answer.status_code, answer.json()["code"]) == (503, "provider_unavailable")
    assert answer.headers["retry-after"] == "10"
    assert (await front.http.get("/users/me", headers=front.who("ada"))).status_code == 200
    assert (await front.http.get("/products")).status_code == 200
    # Logging in here needs no credentials, whatever the client still sends.
    login = await front.http.post(
        "/auth/login",
        json={"email": "ada@example.com", "password": PASSWORD},
        headers=bearer(pool.token("lin")),
    )
    assert login.status_code == 200


async def test_a_token_of_the_shop_is_not_held_against_the_pool_nor_the_other_way(
    front: Front, pool: Pool
):
    assert (await front.http.get("/users/me", headers=front.who("ada"))).status_code == 200
    assert pool.asked == 0
    for token in (pool.token("lin", iss="storekeeper"), pool.token("lin", iss="https://x.example")):
        assert "this shop's" in await refused(front, token)
    assert pool.asked == 0


async def test_in_a_shop_without_a_pool_its_tokens_are_nothing(pool: Pool, seed, tmp_path):
    from tests.api.shopfront import front_at, in_one_task

    async with in_one_task(front_at(tmp_path / "other", seed)) as front:
        assert "this shop's" in await refused(front, pool.token("lin"))
        answer = await front.http.put("/users/me/identity", json={}, headers=front.who("ada"))
        assert answer.status_code == 404
        assert "cognito" not in front.contract.document["components"]["securitySchemes"]
    assert pool.asked == 0


async def test_the_document_says_how_people_of_the_pool_log_in(front: Front, pool: Pool):
    from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

    document = front.contract.document
    OPENAPI_31_VALIDATOR.validate(document)
    scheme = document["components"]["securitySchemes"]["cognito"]
    assert scheme["openIdConnectUrl"] == f"{pool.issuer}/.well-known/openid-configuration"
    security = document["paths"]["/stock/low"]["get"]["security"]
    assert security == [{"bearer": ["stock:read"]}, {"cognito": ["stock:read"]}]
    page = await front.http.get("/docs")
    assert "/users/me/identity" in page.text


async def test_mail_to_admins_leaves_out_who_has_no_address(front: Front, pool: Pool):
    lin = await known(front, pool.token("lin", "admins"))
    account = await front.shop.store.get(Account, lin["id"])
    assert account is not None
    assert account.email == ""
    assert account.updated_at - front.clock() == timedelta(0)
