"""Access tokens, refresh tokens and API keys as text; only hashes of lasting ones are kept."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets as randomness
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import jwt
import msgspec

from storekeeper.domain.errors import Unauthenticated
from storekeeper.domain.types import AccountId, Struct

ALGORITHM = "HS256"
ISSUER = "storekeeper"
ACCESS = "access"
API_KEY_PREFIX = "sk_"
SECRET_BYTES = 32
LONGEST_TOKEN = 2_048


class AccessClaims(Struct, frozen=True, kw_only=True):
    """What an access token says: whose session it is, and for how long.

    A role isn't in it: what somebody may do is read, not told. Ending the session ends it.
    """

    iss: str
    typ: str
    sub: AccountId
    sid: str
    iat: int
    exp: int

    @property
    def expires_at(self) -> datetime:
        return datetime.fromtimestamp(self.exp, UTC)


class Key(Struct, frozen=True, kw_only=True):
    """A secret and the short name under which tokens refer to it."""

    id: str
    value: bytes


class Keys:
    """The shop's secrets, newest first, each turned into one key per purpose.

    What is signed with an old one is still good; new signatures take the newest.
    """

    def __init__(self, secrets: Sequence[bytes], purpose: str) -> None:
        if not secrets:
            raise ValueError("there must be a secret to sign with")
        values = [hmac.digest(secret, purpose.encode(), "sha256") for secret in secrets]
        self._all = [Key(id=hashlib.sha256(v).hexdigest()[:8], value=v) for v in values]
        self._by_id = {key.id: key for key in reversed(self._all)}

    @property
    def newest(self) -> Key:
        return self._all[0]

    def get(self, id: str) -> Key | None:
        return self._by_id.get(id)


class AccessTokens:
    """Signs and reads access tokens (JWT, HS256). Time is always the caller's."""

    def __init__(self, secrets: Sequence[bytes], *, lifetime: timedelta) -> None:
        self._keys = Keys(secrets, "access-token")
        self.lifetime = lifetime

    def issue(self, account_id: AccountId, session_id: str, now: datetime) -> str:
        issued = int(now.timestamp())
        claims = AccessClaims(
            iss=ISSUER,
            typ=ACCESS,
            sub=account_id,
            sid=session_id,
            iat=issued,
            exp=issued + int(self.lifetime.total_seconds()),
        )
        key = self._keys.newest
        return jwt.encode(
            msgspec.structs.asdict(claims), key.value, ALGORITHM, headers={"kid": key.id}
        )

    def read(self, token: str, now: datetime) -> AccessClaims:
        """Raises `Unauthenticated` for a token that isn't ours or isn't good any more."""
        try:
            if len(token) > LONGEST_TOKEN:
                raise jwt.InvalidTokenError
            key = self._keys.get(str(jwt.get_unverified_header(token).get("kid")))
            if key is None:
                raise jwt.InvalidTokenError
            body = jwt.decode(
                token,
                key.value,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                # Times are held against the shop's clock below.
                options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
            claims = msgspec.convert(body, AccessClaims)
            expired = claims.expires_at <= now
        except (jwt.InvalidTokenError, msgspec.ValidationError, ValueError, OverflowError):
            raise Unauthenticated("this access token isn't one of this shop's") from None
        if claims.typ != ACCESS:
            raise Unauthenticated("this access token isn't one of this shop's")
        if expired:
            raise Unauthenticated("the access token has expired; refresh it")
        return claims


class ResetSecrets:
    """The secret in a link to set a new password, made anew from the link's name when needed.

    So the mail channel can write it from an event that doesn't hold it, and no copy is kept.
    """

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._keys = Keys(secrets, "reset-link")

    def new_nonce(self) -> str:
        return f"{self._keys.newest.id}.{randomness.token_urlsafe(16)}"

    def secret(self, nonce: str) -> str:
        """The same for the same nonce, also after the shop's secret was exchanged."""
        key = self._keys.get(nonce.partition(".")[0]) or self._keys.newest
        return hmac.new(key.value, nonce.encode(), hashlib.sha256).hexdigest()


class RefreshSecrets:
    """The secrets of refresh tokens: random, and signed with the session that they are for.

    The signature tells a token that this shop once gave out from a text that somebody made up,
    without keeping any of the old ones. Which of them is good now, only the kept hash says.
    """

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._keys = Keys(secrets, "refresh-token")

    def new(self, session_id: str) -> str:
        key = self._keys.newest
        nonce = f"{key.id}.{new_secret()}"
        return f"{nonce}.{_signature(key, session_id, nonce)}"

    def after(self, session_id: str, secret: str) -> str:
        """The secret that takes another's place: the same however often it is asked for, so that
        an answer that was lost on its way can be given once more."""
        key = self._keys.newest
        text = f"after\n{session_id}\n{secret}".encode("utf-8", "replace")
        drawn = base64.urlsafe_b64encode(hmac.digest(key.value, text, "sha256")).rstrip(b"=")
        nonce = f"{key.id}.{drawn.decode()}"
        return f"{nonce}.{_signature(key, session_id, nonce)}"

    def is_ours(self, session_id: str, secret: str) -> bool:
        """Whether it was made here for this session, at any time."""
        nonce, _, signature = secret.rpartition(".")
        key = self._keys.get(nonce.partition(".")[0])
        return key is not None and hmac.compare_digest(
            _signature(key, session_id, nonce).encode(), signature.encode("utf-8", "replace")
        )


def _signature(key: Key, session_id: str, nonce: str) -> str:
    text = f"{session_id}\n{nonce}".encode("utf-8", "replace")
    return hmac.new(key.value, text, hashlib.sha256).hexdigest()


def new_secret() -> str:
    return randomness.token_urlsafe(SECRET_BYTES)


def hashed(secret: str) -> str:
    """What is kept of a random secret. A plain hash is enough: there is nothing to guess."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def is_hash_of(kept: str, secret: str) -> bool:
    return hmac.compare_digest(kept, hashed(secret))


def joined(id: str, secret: str) -> str:
    """A refresh token: whose it is, and the proof."""
    return f"{id}.{secret}"


def split(token: str) -> tuple[str, str]:
    """Id and secret of a refresh token; ('', '') for a text that is none."""
    id, dot, secret = token.partition(".")
    return (id, secret) if dot and id and secret and len(token) <= LONGEST_TOKEN else ("", "")


def api_key_text(id: str, secret: str) -> str:
    return f"{API_KEY_PREFIX}{joined(id, secret)}"
