"""The cache that nodes share: a server that speaks the Valkey protocol, such as ElastiCache.

No request waits for a server that doesn't answer: an answer has `ANSWER_S`, and after a few that
came too late none is asked for until a task of its own has heard from the server again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, TypeVar

import msgspec
import structlog
from valkey.asyncio import BlockingConnectionPool, Valkey
from valkey.asyncio.retry import Retry
from valkey.backoff import NoBackoff
from valkey.exceptions import AuthenticationError, ReadOnlyError, ResponseError, ValkeyError
from valkey.exceptions import TimeoutError as SlowServer

from storekeeper.cache.port import LARGEST_VALUE, Lease

R = TypeVar("R")
Trouble = Literal["unreachable", "refused", "garbage", "too_large"]
ANSWER_S: Final = 0.05
# So many late answers in a row; one may be the fault of this process, which was busy.
MOST_LATE: Final = 3
# Connecting takes longer, with TLS and a password, and no request waits for it.
PROBE_S: Final = 1.0
REST_S: Final = 1.0
# An outage is told once; it is over when the server has answered for so long.
STEADY_S: Final = 10.0
CONNECTIONS: Final = 16
_SEAL_BYTES: Final = 32
logger = structlog.get_logger(__name__)


class Away(Exception):
    """The server isn't asked now, or didn't answer."""


class Link:
    """Connections to one server, and what is known of its health.

    `url` as `valkey://user:password@host:6379/0`, `valkeys://` for TLS. `count` gets each trouble.
    """

    def __init__(
        self,
        url: str,
        *,
        count: Callable[[Trouble], None] = lambda trouble: None,
        monotonic: Callable[[], float] = time.monotonic,
        rest_seconds: float = REST_S,
    ) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=PROBE_S,  # `ANSWER_S` ends first
            socket_connect_timeout=PROBE_S,
            retry=Retry(NoBackoff(), 0),
            client_name="storekeeper",
        )
        self.client: Valkey = Valkey.from_pool(pool)
        self.count = count
        self._now = monotonic
        self._rest_seconds = rest_seconds
        # Not asked before the first probe has come back.
        self._why_not = "not reached yet"
        self._late = 0
        self._is_told = False
        self._up_since = 0.0
        self._no_writes_until = 0.0
        self._no_writes_why = ""
        self._is_full_told = False
        self._is_closing = False
        self._wake = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    @property
    def is_up(self) -> bool:
        return not self._why_not

    @property
    def takes_writes(self) -> bool:
        return not self._why_not and self._now() >= self._no_writes_until

    @property
    def trouble(self) -> str:
        """What is wrong, for people; empty: nothing."""
        return self._why_not or ("" if self.takes_writes else self._no_writes_why)

    async def start(self) -> None:
        """Tries the server once, and then again whenever it was lost, until `close`."""
        await self._probe()
        self._keeping = asyncio.create_task(self._keep(), name="cache link")

    async def close(self) -> None:
        self._is_closing = True
        if self._keeping is not None:
            # The client loses a cancellation that comes while it gives a connection up.
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        self._why_not = "closed"
        with contextlib.suppress(ValkeyError, OSError):
            async with asyncio.timeout(PROBE_S):
                await self.client.aclose()

    async def ask(self, command: Callable[[Valkey], Awaitable[R]], *, writes: bool = False) -> R:
        """The server's answer to one command; raises `Away`."""
        if self._why_not or (writes and not self.takes_writes):
            raise Away
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await command(self.client)
        except ReadOnlyError as error:
            # What was the primary is a replica now: the name leads to another server.
            self._lost(error)
            raise Away from error
        except ResponseError as error:
            # It answers, but not this: it is full, or the user may not.
            self.count("refused")
            if writes:
                self._refused(error)
            raise Away from error
        except (TimeoutError, SlowServer) as error:
            self._late += 1
            if self._late < MOST_LATE:
                self.count("unreachable")
            else:
                self._lost(error)
            raise Away from error
        except Exception as error:  # what a broken server makes of the parser is an outage too
            self._lost(error)
            raise Away from error
        self._late = 0
        if self._is_told and self._now() - self._up_since >= STEADY_S:
            logger.info("the cache is back")
            self._is_told = False
        if writes and self._is_full_told and self._now() - self._no_writes_until >= STEADY_S:
            logger.info("the cache takes writes again")
            self._is_full_told = False
        return answer

    async def _keep(self) -> None:
        while not self._is_closing:
            await self._wake.wait()
            await asyncio.sleep(self._rest_seconds)
            await self._probe()

    async def _probe(self) -> None:
        try:
            async with asyncio.timeout(PROBE_S):
                # Anew, by name: old connections may lead to a server that has been replaced.
                await self.client.connection_pool.disconnect(inuse_connections=False)
                await self.client.ping()
        except Exception as error:  # as in `ask`; this task must not end
            self._lost(error)
        else:
            self._wake.clear()
            self._why_not = ""
            self._late = 0
            self._up_since = self._now()

    def _lost(self, error: Exception) -> None:
        self.count("unreachable")
        self._why_not = _told(error)
        self._wake.set()
        if not self._is_told:
            self._is_told = True
            logger.warning("the cache is away; the shop goes on without", reason=self._why_not)

    def _refused(self, error: ResponseError) -> None:
        self._no_writes_until = self._now() + self._rest_seconds
        self._no_writes_why = f"takes no writes: {error}"
        if not self._is_full_told:
            self._is_full_told = True
            logger.warning("the cache takes no writes; the shop goes on", reason=str(error))


class ValkeyCache:
    """Values sealed with a key that only the shop's nodes have.

    What somebody else wrote there, what was damaged, or moved from another key is a miss.
    """

    def __init__(self, link: Link, *, namespace: str, secret: bytes) -> None:
        self._link = link
        self._namespace = namespace
        self._secret = hmac.digest(secret, b"storekeeper cache", "sha256")

    async def get(self, key: str) -> bytes | None:
        name = self._name(key)
        try:
            sealed: Any = await self._link.ask(lambda client: client.get(name))
        except Away:
            return None
        if sealed is None:
            return None
        if isinstance(sealed, bytes) and len(sealed) <= _SEAL_BYTES + LARGEST_VALUE:
            seal, value = sealed[:_SEAL_BYTES], sealed[_SEAL_BYTES:]
            if hmac.compare_digest(self._seal(name, value), seal):
                return value
        self._link.count("garbage")
        return None

    async def put(self, key: str, value: bytes, seconds: float) -> None:
        if len(value) > LARGEST_VALUE:
            self._link.count("too_large")
            return
        name = self._name(key)
        sealed = self._seal(name, value) + value
        with contextlib.suppress(Away):
            await self._link.ask(
                lambda client: client.set(name, sealed, px=max(1, int(1_000 * seconds))),
                writes=True,
            )

    def _name(self, key: str) -> str:
        return f"{self._namespace}{key}"

    def _seal(self, name: str, value: bytes) -> bytes:
        return hmac.new(self._secret, name.encode() + b"\0" + value, hashlib.sha256).digest()


class ValkeyBudgets:
    """One budget of requests per client for all nodes, kept by a script that runs undivided.

    Keys end by themselves after the time in which a budget is full again.
    """

    def __init__(self, link: Link, *, namespace: str, per_minute: int) -> None:
        self._link = link
        self._namespace = namespace
        self._limit = per_minute
        self._script = link.client.register_script(_TAKE)

    @property
    def is_up(self) -> bool:
        return self._link.takes_writes

    async def lease(self, who: str, wanted: int) -> Lease | None:
        hashed = hashlib.sha256(who.encode("utf-8", "replace")).hexdigest()[:32]
        try:
            answer: Any = await self._link.ask(
                lambda client: self._script(
                    keys=[f"{self._namespace}rate:{hashed}"],
                    args=[self._limit, wanted],
                    client=client,
                ),
                writes=True,
            )
        except Away:
            return None
        try:
            granted, left, wait_ms = msgspec.convert(answer, tuple[int, int, int])
            is_sound = 0 <= granted <= wanted and 0 <= left <= self._limit
            if is_sound and 0 <= wait_ms <= 60_000 and (granted or (wait_ms and not left)):
                return Lease(granted, left, wait_ms / 1_000)
        except msgspec.ValidationError:
            pass
        self._link.count("garbage")
        return None


# A token bucket by the server's own clock. What it can't read it begins anew: a lie forgives one
# client what it had used, and no more.
_TAKE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local limit, wanted = tonumber(ARGV[1]), tonumber(ARGV[2])
local tokens = limit
local kept = redis.pcall('HMGET', KEYS[1], 'tokens', 'at')
if kept.err then
  redis.call('DEL', KEYS[1])
elseif kept[1] and kept[2] then
  local had, at = tonumber(kept[1]), tonumber(kept[2])
  if had and at and had >= 0 and had <= limit and at <= now then
    tokens = math.min(limit, had + (now - at) * limit / 60000000)
  end
end
local granted = math.min(wanted, math.floor(tokens))
tokens = tokens - granted
redis.call('HSET', KEYS[1], 'tokens', tokens, 'at', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], 61000)
local wait = 0
if tokens < 1 then wait = math.ceil((1 - tokens) * 60000 / limit) end
return {granted, math.floor(tokens), wait}
"""


def _told(error: Exception) -> str:
    """Without the address, which may hold a password."""
    if isinstance(error, (TimeoutError, SlowServer)):
        return "it doesn't answer in time"
    if isinstance(error, AuthenticationError):
        return "it refuses the user or the password of cache_url"
    return f"{type(error).__name__}: {error}"
