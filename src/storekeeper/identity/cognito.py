"""Tokens of one Amazon Cognito user pool, verified offline by the pool's public keys.

The algorithm is RS256 whatever a token says of itself, the keys are the pool's own, and nothing is
fetched from an address that a token names. The claims are Cognito's (Amazon Cognito developer
guide, "Understanding user pool JSON web tokens"); times are held against the shop's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import jwt
import msgspec
import structlog

from storekeeper.domain.accounts import Role
from storekeeper.domain.errors import Unauthenticated
from storekeeper.domain.types import Struct
from storekeeper.identity.jwks import ALGORITHM, Jwks, JwksRefused
from storekeeper.identity.outside import OutsideProfile, Outsider, identity_id

if TYPE_CHECKING:
    from jwt.types import Options

log = structlog.get_logger(__name__)
# Between the pool's clock and ours.
LEEWAY = timedelta(seconds=30)
LONGEST_TOKEN = 4_096
LONGEST_KID = 128
_RANKS: Mapping[Role, int] = {"customer": 0, "staff": 1, "admin": 2}
_NONE_OF_OURS = "this token isn't one of this shop's user pool"
_IS_ID = "this is an ID token; send the access token that came with it"
_IS_ACCESS = "this is an access token; send the ID token that came with it"
# What `_checked` looks at itself, by the shop's clock.
_BY_US: Options = {
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_aud": False,
    "verify_iss": False,
}
T = TypeVar("T", bound="_Claims")


class _Claims(Struct, frozen=True, kw_only=True):
    """What every token of a pool says. Times: seconds since 1970."""

    iss: str
    sub: str
    token_use: str
    iat: int
    exp: int
    nbf: int = 0
    aud: str | list[str] | None = None


class _AccessClaims(_Claims, frozen=True, kw_only=True):
    """`auth_time`: the log-in, in all its tokens; so is `origin_jti`, unless the app client has
    token revocation switched off. A token of a machine (client credentials) has no `username`."""

    client_id: str
    auth_time: int
    username: str
    origin_jti: str = ""
    groups: list[str] = msgspec.field(default_factory=list, name="cognito:groups")
    name: str = ""
    email: str = ""
    email_verified: bool | str = False


class _IdClaims(_Claims, frozen=True, kw_only=True):
    """Pools with outside providers of their own say `email_verified` in words."""

    name: str = ""
    email: str = ""
    email_verified: bool | str = False


def issuer_of(pool_id: str) -> str:
    """A pool's name in its tokens; its region is in its id."""
    region = pool_id.partition("_")[0]
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://cognito-idp.{region}.{domain}/{pool_id}"


def jwks_url_of(issuer: str) -> str:
    return f"{issuer}/.well-known/jwks.json"


class CognitoTokens:
    """Reads the tokens that the pool gave to one of `client_ids`.

    `roles` says what a group makes of its members; of several groups the highest role counts, and
    who is in none is a customer. `audience` is what this shop is called where an access token
    names whom it is for.
    """

    def __init__(
        self,
        pool_id: str,
        *,
        client_ids: Collection[str],
        roles: Mapping[str, Role],
        clock: Callable[[], datetime],
        jwks_url: str = "",
        audience: str = "",
    ) -> None:
        self.issuer = issuer_of(pool_id)
        self._client_ids = frozenset(client_ids)
        self._audience = self._client_ids | ({audience} if audience else set())
        self._roles = dict(roles)
        self.keys = Jwks(jwks_url or jwks_url_of(self.issuer), clock=clock)

    def claims(self, token: str) -> bool:
        """Whether a text says that it is the pool's. Proves nothing."""
        try:
            body = jwt.decode(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, RecursionError):
            return False
        return bool(body.get("iss") == self.issuer)

    async def read(self, token: str, now: datetime) -> Outsider:
        """Who a good access token speaks for; no other kind of token opens anything.

        Raises `Unauthenticated`, `ProviderUnavailable`.
        """
        body = await self._verified(token)
        if body.get("token_use") == "id":
            raise Unauthenticated(_IS_ID)
        if "username" not in body:
            raise Unauthenticated(
                "this token is a machine's; integrations use an API key of this shop"
            )
        said = self._checked(body, _AccessClaims, "access", now)
        if said.client_id not in self._client_ids:
            raise Unauthenticated("this token was given to another application")
        named = _listed(said.aud)
        if named and self._audience.isdisjoint(named):
            raise Unauthenticated("this token is for another service")
        if said.auth_time > said.iat + LEEWAY.total_seconds():
            raise Unauthenticated(_NONE_OF_OURS)
        return Outsider(
            provider="cognito",
            issuer=self.issuer,
            subject=said.sub,
            login=said.origin_jti or f"at {said.auth_time}",
            logged_in_at=_time(said.auth_time),
            issued_at=_time(said.iat),
            expires_at=_time(said.exp) + LEEWAY,
            role=self._role_of(said.groups),
            name=said.name or said.username,
            email=said.email if _is_true(said.email_verified) else "",
        )

    async def read_profile(self, token: str, now: datetime) -> OutsideProfile:
        """What a good ID token says of somebody. It opens nothing.

        Raises `Unauthenticated`, `ProviderUnavailable`.
        """
        body = await self._verified(token)
        if body.get("token_use") == "access":
            raise Unauthenticated(_IS_ACCESS)
        said = self._checked(body, _IdClaims, "id", now)
        if self._client_ids.isdisjoint(_listed(said.aud)):
            raise Unauthenticated("this token was given to another application")
        return OutsideProfile(
            identity_id=identity_id(self.issuer, said.sub),
            name=said.name,
            email=said.email if _is_true(said.email_verified) else "",
        )

    async def close(self) -> None:
        await self.keys.close()

    async def _verified(self, token: str) -> dict[str, Any]:
        """The claims of a token that one of the pool's keys signed."""
        if len(token) > LONGEST_TOKEN:
            raise Unauthenticated(_NONE_OF_OURS)
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise Unauthenticated(_NONE_OF_OURS) from None
        kid = header.get("kid")
        # Before any key is looked for. An extension that must be understood isn't (RFC 7515, 4.1.11).
        if header.get("alg") != ALGORITHM or "crit" in header:
            raise Unauthenticated(_NONE_OF_OURS)
        if not isinstance(kid, str) or not 0 < len(kid) <= LONGEST_KID:
            raise Unauthenticated(_NONE_OF_OURS)
        key = await self.keys.key(kid)
        try:
            body: dict[str, Any] = jwt.decode(token, key, algorithms=[ALGORITHM], options=_BY_US)
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise Unauthenticated(_NONE_OF_OURS) from None
        return body

    def _checked(self, body: dict[str, Any], kind: type[T], use: str, now: datetime) -> T:
        try:
            said = msgspec.convert(body, kind)
            times = [_time(said.exp), _time(said.iat), _time(said.nbf)]
            times.append(_time(getattr(said, "auth_time", 0)))
        except (msgspec.ValidationError, ValueError, OverflowError, OSError):
            raise Unauthenticated(_NONE_OF_OURS) from None
        if said.iss != self.issuer or said.token_use != use or not said.sub:
            raise Unauthenticated(_NONE_OF_OURS)
        expires_at, *begun = times
        if expires_at + LEEWAY <= now:
            raise Unauthenticated("the token has expired; get another from the user pool")
        if max(begun) > now + LEEWAY:
            raise Unauthenticated("the token isn't good yet; is the shop's clock right?")
        return said

    def _role_of(self, groups: Collection[str]) -> Role:
        roles: list[Role] = [self._roles[group] for group in groups if group in self._roles]
        return max(roles, key=_RANKS.__getitem__, default="customer")


async def check_pool(pool_id: str, jwks_url: str, *, clock: Callable[[], datetime]) -> str:
    """Why there can't be such a pool; '' where there is one, or where it can't be told now."""
    url = jwks_url or jwks_url_of(issuer_of(pool_id))
    keys = Jwks(url, clock=clock)
    try:
        await keys.fetch()
    except JwksRefused as error:
        return str(error)
    except (httpx.HTTPError, TimeoutError) as error:
        reason = str(error) or type(error).__name__
        log.warning("the user pool can't be reached now", url=url, reason=reason)
    finally:
        await keys.close()
    return ""


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _listed(aud: str | list[str] | None) -> list[str]:
    return [aud] if isinstance(aud, str) else aud or []


def _is_true(said: bool | str) -> bool:
    return said is True or said == "true"
