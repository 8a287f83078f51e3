"""Access tokens can't be forged, bent or used past their time."""

from __future__ import annotations

import warnings
from datetime import timedelta

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storekeeper.domain.errors import Unauthenticated
from storekeeper.domain.types import AccountId
from storekeeper.identity.tokens import (
    AccessTokens,
    Keys,
    ResetSecrets,
    hashed,
    is_hash_of,
    joined,
    new_secret,
    split,
)
from tests.support.clock import START

OLD, NEW = b"the old secret", b"the new secret"
ADA = AccountId("ada")
QUARTER = timedelta(minutes=15)


def tokens(*secrets: bytes) -> AccessTokens:
    return AccessTokens(secrets or (NEW,), lifetime=QUARTER)


def test_a_token_says_whose_it_is_until_its_time_is_over():
    token = tokens().issue(ADA, "session", START)
    claims = tokens().read(token, START + QUARTER - timedelta(seconds=1))
    assert (claims.sub, claims.sid) == ("ada", "session")
    with pytest.raises(Unauthenticated, match="expired"):
        tokens().read(token, START + QUARTER)


def test_a_token_says_nothing_of_roles():
    body = jwt.decode(tokens().issue(ADA, "session", START), options={"verify_signature": False})
    assert set(body) == {"iss", "typ", "sub", "sid", "iat", "exp"}


def test_tokens_of_the_old_secret_are_good_while_it_is_kept():
    token = tokens(OLD).issue(ADA, "session", START)
    assert tokens(NEW, OLD).read(token, START).sub == "ada"
    with pytest.raises(Unauthenticated):
        tokens(NEW).read(token, START)


def signed(claims: dict[str, object], *, algorithm: str = "HS256", key: bytes | None = None) -> str:
    ours = Keys([NEW], "access-token").newest
    with warnings.catch_warnings(action="ignore"):  # a key too short for HS512 is still a key
        return jwt.encode(claims, key or ours.value, algorithm, headers={"kid": ours.id})


GOOD = {
    "iss": "storekeeper",
    "typ": "access",
    "sub": "ada",
    "sid": "session",
    "iat": int(START.timestamp()),
    "exp": int(START.timestamp()) + 60,
}


@pytest.mark.parametrize(
    "token",
    [
        signed(GOOD, algorithm="HS512"),
        signed(GOOD, key=b"another key" * 8),
        jwt.encode(GOOD, "", "none", headers={"kid": Keys([NEW], "access-token").newest.id}),
        jwt.encode(GOOD, Keys([NEW], "access-token").newest.value, "HS256"),
        jwt.encode(GOOD, Keys([NEW], "reset-link").newest.value, "HS256", headers={"kid": "x"}),
        signed({**GOOD, "iss": "somebody else"}),
        signed({**GOOD, "typ": "refresh"}),
        signed({**GOOD, "sid": 1}),
        signed({**GOOD, "exp": 10**30}),
        signed({name: value for name, value in GOOD.items() if name != "sid"}),
        signed({name: value for name, value in GOOD.items() if name != "exp"}),
        "",
        "a.b.c",
        "é" * 50,
        "x" * 100_000,
    ],
)
def test_a_token_that_is_not_exactly_ours_is_refused(token):
    assert tokens().read(signed(GOOD), START).sub == "ada"
    with pytest.raises(Unauthenticated):
        tokens().read(token, START)


@given(st.text())
def test_any_text_is_refused_without_a_fault(text):
    with pytest.raises(Unauthenticated):
        tokens().read(text, START)


@given(st.text(), st.integers(min_value=0, max_value=400), st.characters())
def test_no_letter_of_a_token_can_be_changed(text, place, letter):
    """Somebody who bends a token would be somebody else, or never log out."""
    good = tokens().issue(ADA, "session", START)
    place %= len(good)
    bent = good[:place] + letter + good[place + 1 :]
    try:
        claims = tokens().read(bent, START)
    except Unauthenticated:
        return
    # Base64 has spare bits at the end: another text of the same bytes is the same token.
    assert (claims.sub, claims.sid) == ("ada", "session")


def test_a_refresh_token_is_kept_only_as_a_hash():
    secret = new_secret()
    assert len(secret) >= 43
    assert split(joined("session", secret)) == ("session", secret)
    assert is_hash_of(hashed(secret), secret)
    assert not is_hash_of(hashed(secret), new_secret())


@pytest.mark.parametrize("text", ["", ".", "session", "session.", ".secret", "x." + "y" * 5_000])
def test_a_text_that_is_no_refresh_token_names_no_session(text):
    assert split(text) == ("", "")


def test_a_links_secret_comes_out_the_same_after_the_shops_secret_was_exchanged():
    before = ResetSecrets([OLD])
    nonce = before.new_nonce()
    assert ResetSecrets([NEW, OLD]).secret(nonce) == before.secret(nonce)
    assert ResetSecrets([NEW]).secret(nonce) != before.secret(nonce)
    assert before.secret(nonce) not in nonce
