"""Only what the shop's own user pool signed, for this shop and for now, opens anything."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import jwt
import msgspec
import pytest

from storekeeper.domain.errors import ProviderUnavailable, Unauthenticated
from storekeeper.identity.cognito import CognitoTokens, issuer_of
from tests.identity.pool import CLIENT, POOL, Pool, member, private_key, public_pem
from tests.support.clock import Clock


@pytest.fixture
async def tokens(pool: Pool, clock: Clock):
    tokens = CognitoTokens(
        POOL,
        client_ids=(CLIENT, "another4client"),
        roles={"admins": "admin", "clerks": "staff", "guests": "customer"},
        clock=clock,
        jwks_url=pool.url,
        audience="https://shop.example",
    )
    yield tokens
    await tokens.close()


def bare(header: dict[str, Any], claims: dict[str, Any], sign=lambda signed: b"") -> str:
    """A token put together by hand, as no library would."""
    parts = [
        base64.urlsafe_b64encode(msgspec.json.encode(p)).rstrip(b"=") for p in (header, claims)
    ]
    signed = b".".join(parts)
    return b".".join([signed, base64.urlsafe_b64encode(sign(signed)).rstrip(b"=")]).decode()


async def test_a_good_token_says_who_logged_in_and_when(tokens, pool, clock):
    said = await tokens.read(pool.token("ada", "clerks"), clock())
    assert (said.subject, said.role, said.provider) == ("subject-of-ada", "staff", "cognito")
    assert (clock() - said.logged_in_at).total_seconds() == 60
    assert said.email == ""


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        ((), "customer"),
        (("strangers",), "customer"),
        (("clerks",), "staff"),
        (("guests", "clerks"), "staff"),
        (("clerks", "admins", "strangers"), "admin"),
        (("ADMINS", "admins "), "customer"),
    ],
)
async def test_the_highest_role_of_ones_groups_counts_and_no_group_is_a_customer(
    tokens, pool, clock, groups, role
):
    assert (await tokens.read(pool.token("ada", *groups), clock())).role == role


def forgeries(pool: Pool) -> dict[str, str]:
    """What somebody would send who isn't the pool, or isn't meant by it."""
    now = int(pool._clock().timestamp())
    header = {"alg": "RS256", "kid": "first"}
    claims = pool.claims("ada", "admins")

    def by_public_key(signed: bytes) -> bytes:
        return hmac.new(public_pem("first"), signed, hashlib.sha256).digest()

    def by_nobody(signed: bytes) -> bytes:
        return b"x" * 256

    good = pool.token("ada", "admins")
    groups_in_words: dict[str, Any] = {"cognito:groups": "admins"}
    raised = bare(header, {**claims, "cognito:groups": ["admins"]}).split(".")[1]
    return {
        "no algorithm": bare({"alg": "none", "kid": "first"}, claims),
        "no algorithm in other letters": bare({"alg": "nOnE", "kid": "first"}, claims),
        "HS256 with the public key": bare({"alg": "HS256", "kid": "first"}, claims, by_public_key),
        "HS256 signed as if RS256": bare(header, claims, by_public_key),
        "RS512": jwt.encode(claims, private_key("first"), "RS512", headers={"kid": "first"}),
        "PS256": jwt.encode(claims, private_key("first"), "PS256", headers={"kid": "first"}),
        "no signature": bare(header, claims),
        "a signature of nobody": bare(header, claims, by_nobody),
        "another's key under the pool's id": pool.token(key="stranger", headers={"kid": "first"}),
        "another key of the pool than it says": pool.token(key="second", headers={"kid": "first"}),
        "the key that it brings along": pool.token(
            key="stranger", headers={"kid": "first", "jwk": member("stranger")}
        ),
        "claims exchanged": ".".join(
            [pool.token("eve").split(".")[0], raised, pool.token("eve").split(".")[2]]
        ),
        "no kid": jwt.encode(claims, private_key("first"), "RS256"),
        "an empty kid": pool.token(headers={"kid": ""}),
        "a very long kid": pool.token(headers={"kid": "k" * 129}),
        "an extension that must be understood": pool.token(headers={"crit": ["b64"], "b64": False}),
        "another issuer": pool.token(iss="https://evil.example"),
        "another pool": pool.token(iss=issuer_of("eu-west-1_Other1")),
        "the pool's name and more": pool.token(iss=f"{pool.issuer}/"),
        "no issuer": pool.token(iss=None),
        "another application": pool.token(client_id="notours"),
        "no application": pool.token(client_id=None),
        "an application only as audience": pool.token(client_id=None, aud=CLIENT),
        "another service's audience": pool.token(aud="https://other.example"),
        "an ID token": pool.id_token(),
        "an ID token that says it has everything": pool.id_token(client_id=CLIENT, username="ada"),
        "a refresh token's use": pool.token(token_use="refresh"),
        "no use": pool.token(token_use=None),
        "a machine": pool.token(username=None),
        "no subject": pool.token(sub=None),
        "an empty subject": pool.token(sub=""),
        "expired": pool.token(exp=now - 30),
        "no expiry": pool.token(exp=None),
        "an expiry in words": pool.token(exp=str(now + 3_600)),
        "an expiry past all calendars": pool.token(exp=10**18),
        "issued in the future": pool.token(iat=now + 31),
        "not yet good": pool.token(nbf=now + 31),
        "logged in in the future": pool.token(auth_time=now + 31),
        "no log-in": pool.token(auth_time=None),
        "groups that are no list": pool.token(**groups_in_words),
        "cut short": good[:-20],
        "too long": pool.token(name="n" * 4_096),
        "no token": "nonsense",
        "three parts of nothing": "..",
        "claims that are no object": jwt.api_jws.encode(b"[]", private_key("first"), "RS256"),
    }


NAMES = (
    "no algorithm|no algorithm in other letters|HS256 with the public key|HS256 signed as if RS256|"
    "RS512|PS256|no signature|a signature of nobody|another's key under the pool's id|"
    "another key of the pool than it says|the key that it brings along|claims exchanged|no kid|"
    "an empty kid|a very long kid|an extension that must be understood|another issuer|another pool|"
    "the pool's name and more|no issuer|another application|no application|"
    "an application only as audience|another service's audience|an ID token|"
    "an ID token that says it has everything|a refresh token's use|no use|a machine|no subject|"
    "an empty subject|expired|no expiry|an expiry in words|an expiry past all calendars|"
    "issued in the future|not yet good|logged in in the future|no log-in|groups that are no list|"
    "cut short|too long|no token|three parts of nothing|claims that are no object"
).split("|")


def test_every_forgery_is_tried(pool):
    assert sorted(forgeries(pool)) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
async def test_a_forged_or_foreign_token_is_refused(tokens, pool, clock, name):
    with pytest.raises(Unauthenticated):
        await tokens.read(forgeries(pool)[name], clock())


async def test_addresses_that_a_token_names_are_never_asked(tokens, pool, clock):
    """Or whoever sends one chooses the keys that it is checked with."""
    with pool_of_evil(clock) as evil:
        headers = {"kid": "stranger", "jku": evil.url, "x5u": evil.url}
        with pytest.raises(Unauthenticated):
            await tokens.read(pool.token(key="stranger", headers=headers), clock())
        assert evil.asked == 0


def pool_of_evil(clock: Clock):
    from tests.identity.pool import pool_at

    return pool_at(clock)


async def test_clocks_may_differ_by_half_a_minute(tokens, pool, clock):
    now = int(clock().timestamp())
    said = await tokens.read(pool.token(iat=now + 29, exp=now - 29, nbf=now + 29), clock())
    assert (said.expires_at - clock()).total_seconds() == 1


async def test_a_token_for_this_very_shop_is_taken(tokens, pool, clock):
    assert await tokens.read(pool.token(aud=["https://shop.example"]), clock())


@pytest.mark.parametrize(
    ("claims", "email"),
    [
        ({"email": "ada@example.com", "email_verified": True}, "ada@example.com"),
        ({"email": "ada@example.com", "email_verified": "true"}, "ada@example.com"),
        ({"email": "ada@example.com", "email_verified": "false"}, ""),
        ({"email": "ada@example.com", "email_verified": False}, ""),
        ({"email": "ada@example.com"}, ""),
    ],
)
async def test_an_address_that_nobody_proved_is_none(tokens, pool, clock, claims, email):
    assert (await tokens.read(pool.token(**claims), clock())).email == email


async def test_the_keys_are_fetched_once_for_all_who_come_at_the_same_time(tokens, pool, clock):
    import asyncio

    said = await asyncio.gather(
        *(tokens.read(pool.token(f"person{n}"), clock()) for n in range(20))
    )
    assert (len(said), pool.asked) == (20, 1)


async def test_made_up_key_ids_make_us_ask_only_once_in_ten_seconds(tokens, pool, clock):
    """Or anybody could use the shop to flood the pool, and wait for it on our time."""
    await tokens.read(pool.token(), clock())
    for moment in range(50):
        with pytest.raises(Unauthenticated):
            await tokens.read(pool.token(headers={"kid": f"made up {moment}"}), clock())
    assert pool.asked == 1
    clock.advance(seconds=10)
    for moment in range(50):
        with pytest.raises(Unauthenticated):
            await tokens.read(pool.token(headers={"kid": f"again {moment}"}), clock())
    assert pool.asked == 2


async def test_a_new_key_is_found_when_its_first_token_comes(tokens, pool, clock):
    await tokens.read(pool.token(), clock())
    pool.signs_with("second", "third")
    clock.advance(seconds=11)
    assert await tokens.read(pool.token(key="third"), clock())


async def test_a_key_that_was_withdrawn_is_believed_for_an_hour_at_most(tokens, pool, clock):
    await tokens.read(pool.token(), clock())
    pool.signs_with("second")
    clock.advance(minutes=61)
    # The fetch that this begins isn't waited for: nobody's request depends on it.
    await tokens.read(pool.token(), clock())
    await tokens.keys._fetching
    with pytest.raises(Unauthenticated, match="key"):
        await tokens.read(pool.token(), clock())
    assert await tokens.read(pool.token(key="second"), clock())


async def test_while_the_pool_is_down_known_keys_go_on_for_a_day(tokens, pool, clock):
    await tokens.read(pool.token(), clock())
    pool.is_down()
    for _ in range(23):
        clock.advance(hours=1)
        assert await tokens.read(pool.token(), clock())
    with pytest.raises(ProviderUnavailable):
        await tokens.read(pool.token(key="third"), clock())
    clock.advance(hours=2)
    with pytest.raises(ProviderUnavailable) as refused:
        await tokens.read(pool.token(), clock())
    assert refused.value.members["retry_after"] == 10


async def test_a_pool_that_was_down_at_the_start_is_asked_again(tokens, pool, clock):
    pool.is_down()
    for _ in range(3):
        with pytest.raises(ProviderUnavailable):
            await tokens.read(pool.token(), clock())
    assert pool.asked == 1
    pool.signs_with("first")
    clock.advance(seconds=10)
    assert await tokens.read(pool.token(), clock())


async def test_a_clock_that_was_set_back_does_not_stop_the_asking(tokens, pool, clock):
    await tokens.read(pool.token(), clock())
    clock.advance(days=-1)
    pool.signs_with("third")
    assert await tokens.read(pool.token(key="third"), clock())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"keys": []}',
        b'{"keys": [{"kty": "RSA", "kid": "first", "n": "AQ", "e": "AQAB"}]}',
        b'{"keys": [{"kty": "oct", "kid": "first", "k": "c2VjcmV0"}]}',
        b'{"keys": [' + b" " * 70_000 + b"]}",
        msgspec.json.encode({"keys": [member("short", 1_024, kid="first")]}),
        msgspec.json.encode({"keys": [member("first", use="enc")]}),
        msgspec.json.encode({"keys": [member("first", alg="RS512")]}),
    ],
    ids=["empty", "page", "list", "none", "broken", "secret", "huge", "weak", "cipher", "other"],
)
async def test_a_document_without_a_usable_key_changes_nothing_that_is_kept(
    tokens, pool, clock, body
):
    pool.body, good = body, pool.body
    with pytest.raises(ProviderUnavailable):
        await tokens.read(pool.token(), clock())
    pool.body = good
    clock.advance(seconds=10)
    await tokens.read(pool.token(), clock())
    pool.body = body
    clock.advance(minutes=61)
    await tokens.read(pool.token(), clock())
    await tokens.keys._fetching
    assert await tokens.read(pool.token(), clock())


async def test_a_redirect_is_not_followed(tokens, pool, clock):
    pool.status = 302
    with pytest.raises(ProviderUnavailable):
        await tokens.read(pool.token(), clock())
    assert pool.asked == 1


def test_a_pools_name_is_that_of_its_region():
    assert issuer_of("eu-west-1_A1") == "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_A1"
    assert issuer_of("cn-north-1_A1").startswith("https://cognito-idp.cn-north-1.amazonaws.com.cn/")
