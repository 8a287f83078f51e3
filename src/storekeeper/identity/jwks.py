"""The public keys of a token issuer (JWKS, RFC 7517): fetched apart from requests, and kept.

A key that is kept costs no waiting, however the provider is. Whoever sends made-up key ids makes
us ask at most once in `RETRY_S`; nothing in a token says where keys are fetched from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import httpx
import jwt
import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from storekeeper import __version__
from storekeeper.domain.errors import ProviderUnavailable, Unauthenticated
from storekeeper.domain.types import Struct

log = structlog.get_logger(__name__)
ALGORITHM: Final = "RS256"
# Asked again after this long, so that a key that was withdrawn is soon believed no more.
FRESH_FOR = timedelta(hours=1)
# A provider that can't be reached for so long may have changed all its keys.
KEPT_FOR = timedelta(days=1)
RETRY_S: Final = 10
CONNECT_S: Final = 2.0
FETCH_S: Final = 5.0
# Cognito's document has 1 kB.
MOST_BYTES: Final = 65_536
MOST_KEYS: Final = 32
# RFC 7518, section 3.3.
LEAST_BITS: Final = 2_048
# What a server answers to a right request that it can't serve at the moment.
_PASSING: Final = frozenset({408, 425, 429})


class JwksRefused(Exception):
    """There is nothing at this address that could be a provider's keys."""


class _Key(Struct, frozen=True, kw_only=True):
    """A member of the document; what isn't an RSA key for signatures is left aside."""

    kty: str
    kid: str = ""
    use: str = "sig"
    alg: str = ALGORITHM
    n: str = ""
    e: str = ""


class _Document(Struct, frozen=True, kw_only=True):
    keys: list[_Key]


class Jwks:
    """The keys at `url`, by id; `clock` answers UTC. Closed by `close`."""

    def __init__(self, url: str, *, clock: Callable[[], datetime]) -> None:
        self._url = url
        self._clock = clock
        self._keys: dict[str, RSAPublicKey] = {}
        self._fetched_at: datetime | None = None
        self._tried_at: datetime | None = None
        self._has_failed = False
        self._fetching: asyncio.Task[None] | None = None
        self._client: httpx.AsyncClient | None = None

    async def key(self, kid: str) -> RSAPublicKey:
        """The key of that id. Waits only where there is none: once for all who ask at the time.

        Raises `Unauthenticated` for an id that the provider doesn't have, `ProviderUnavailable`
        where it can't be asked.
        """
        now = self._clock()
        if self._fetched_at is None or now - self._fetched_at > KEPT_FOR:
            self._keys = {}
        elif now - self._fetched_at > FRESH_FOR:
            self._begin(now)
        key = self._keys.get(kid)
        if key is not None:
            return key
        fetching = self._begin(now)
        if fetching is not None:
            await asyncio.wait([fetching], timeout=FETCH_S)
            key = self._keys.get(kid)
            if key is not None:
                return key
        if self._has_failed or self._fetched_at is None:
            raise ProviderUnavailable(
                "the keys that this token can be checked with can't be fetched now",
                retry_after=RETRY_S,
            )
        raise Unauthenticated("this token is signed with a key that its issuer doesn't have")

    async def fetch(self) -> None:
        """Fetches the keys now. Raises `JwksRefused` where the address is wrong, `httpx.HTTPError`
        or `TimeoutError` where it can't be reached; what is kept stays."""
        async with asyncio.timeout(FETCH_S):
            body = await self._get()
        self._keys = _keys_of(body)
        self._fetched_at = self._clock()

    async def close(self) -> None:
        if self._fetching is not None and not self._fetching.done():
            self._fetching.cancel()
            await asyncio.wait([self._fetching])
        if self._client is not None:
            await self._client.aclose()

    def _begin(self, now: datetime) -> asyncio.Task[None] | None:
        """The fetch under way, or a new one if the last is long enough ago."""
        if self._fetching is not None and not self._fetching.done():
            return self._fetching
        # Either way: a clock that was set back must not stop us from asking.
        if self._tried_at is not None and abs(now - self._tried_at) < timedelta(seconds=RETRY_S):
            return None
        self._tried_at = now
        self._fetching = asyncio.create_task(self._fetch_and_tell(), name="fetching keys")
        return self._fetching

    async def _fetch_and_tell(self) -> None:
        try:
            await self.fetch()
        except (JwksRefused, httpx.HTTPError, TimeoutError) as error:
            self._has_failed = True
            log.warning(
                "the identity provider's keys can't be fetched",
                url=self._url,
                reason=str(error) or type(error).__name__,
                kept=len(self._keys),
            )
        else:
            self._has_failed = False

    async def _get(self) -> bytes:
        if self._client is None:
            # Reading the system's certificates takes a while.
            self._client = await asyncio.to_thread(_new_client)
        async with self._client.stream("GET", self._url) as answer:
            if answer.status_code != 200:
                text = f"{self._url} answers {answer.status_code}"
                is_definite = 300 <= answer.status_code < 500
                if is_definite and answer.status_code not in _PASSING:
                    raise JwksRefused(text)
                raise httpx.HTTPError(text)
            body = bytearray()
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > MOST_BYTES:
                    raise JwksRefused(f"{self._url} answers more than {MOST_BYTES} bytes")
            return bytes(body)


def _new_client() -> httpx.AsyncClient:
    return httpx.AsyncClient(
        follow_redirects=False,
        timeout=httpx.Timeout(FETCH_S, connect=CONNECT_S),
        limits=httpx.Limits(max_connections=1, max_keepalive_connections=0),
        headers={"User-Agent": f"Storekeeper/{__version__}", "Accept": "application/json"},
    )


def _keys_of(body: bytes) -> dict[str, RSAPublicKey]:
    """Raises `JwksRefused` for a document without any key that could be used."""
    try:
        document = msgspec.json.decode(body, type=_Document)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise JwksRefused(f"what it answers isn't a set of keys: {error}") from None
    found: dict[str, RSAPublicKey] = {}
    for one in document.keys[:MOST_KEYS]:
        if one.kid and (one.kty, one.use, one.alg) == ("RSA", "sig", ALGORITHM):
            key = _key_of(one)
            if key is not None:
                found[one.kid] = key
    if not found:
        raise JwksRefused("what it answers has no RSA key for signatures (RS256)")
    return found


def _key_of(one: _Key) -> RSAPublicKey | None:
    """None for a key that is broken or too short to be believed."""
    try:
        key = jwt.PyJWK(msgspec.structs.asdict(one), algorithm=ALGORITHM).key
    except (jwt.PyJWTError, ValueError):
        return None
    return key if isinstance(key, RSAPublicKey) and key.key_size >= LEAST_BITS else None
