"""Clients of DynamoDB, on a thread and an event loop of their own: one that reads, one that writes.

The writer's thread waits for its answers, and so does the event loop of requests, which is never
blocked by it. Failures become `StoreUnavailable` or `Overloaded` in one sentence that says what
to change.
"""

from __future__ import annotations

import asyncio
import math
import random
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import AsyncExitStack
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import botocore.exceptions as failures
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession

from storekeeper.aws import open_session
from storekeeper.domain.errors import Overloaded, StoreUnavailable
from storekeeper.store.bucket import code_of

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

T = TypeVar("T")
# DynamoDB answers in some milliseconds; what takes so long is lost, and asked for once more.
CONNECT_S = 1.0
READ_S = 1.5
# The longest that a call waits for DynamoDB, all tries together.
PATIENCE_S = 4.0
# Who waits for a call often waited for the one before it as well. So, in bad times, one that follows
# within `SHORT_S` gets only what the other has left of the patience: after a failure this little.
SHORT_PATIENCE_S = 1.0
SHORT_S = 3.0
# The client holds requests back for some seconds after DynamoDB has asked for fewer (the adaptive
# mode of botocore), so a call that runs out of time until then has waited for itself.
HELD_BACK_S = 10.0
# What no request waits for, or is large, may take longer.
LONG_PATIENCE_S = 6.0
# Many calls in one, behind which nobody waits but a command or the work of a node.
BULK_PATIENCE_S = 15.0
# Rests between tries grow from the first to the longest, and are shorter at random.
TRIES = 6
FIRST_REST_S = 0.03
LONGEST_REST_S = 0.5
# One call of the writer and one of the follower at a time, and the parts of a large entry.
CONNECTIONS = 32
STOP_S = 5.0
_THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingException",
        "Throttling",
        "SlowDown",
    }
)
_SIGNATURE = (
    "doesn't accept the signature; check the secret key, and the machine's clock, which may be off "
    "by five minutes at most"
)
_UNKNOWN = "doesn't know these credentials; check AWS_PROFILE or the role"
_RUN_OUT = "says that the credentials have run out; renew them, or use a role"
DENIED = "AccessDeniedException"
_REMEDIES = {
    "UnrecognizedClientException": _UNKNOWN,
    "InvalidClientTokenId": _UNKNOWN,
    "MissingAuthenticationTokenException": _UNKNOWN,
    "InvalidSignatureException": _SIGNATURE,
    "SignatureDoesNotMatch": _SIGNATURE,
    "RequestTimeTooSkewed": "says that the machine's clock is wrong; set it by NTP",
    "RequestExpired": "says that the machine's clock is wrong; set it by NTP",
    "ExpiredTokenException": _RUN_OUT,
    "ExpiredToken": _RUN_OUT,
    "ResourceNotFoundException": "has no such table in this region; run `storekeeper init --store "
    "dynamodb`, or check the region and the prefix",
}
_NO_CREDENTIALS = (
    failures.CredentialRetrievalError,
    failures.NoCredentialsError,
    failures.PartialCredentialsError,
    failures.SSOError,
    failures.TokenRetrievalError,
)


class _Way:
    """A client and how it fares. DynamoDB asks for fewer reads or for fewer writes, and a client
    that slows down for the one mustn't hold up the other, nor hide how long the other has failed."""

    def __init__(self) -> None:
        self.client: DynamoDBClient | None = None
        self.opening = asyncio.Lock()
        self._throttled_at = self._troubled_at = self._ended_at = -math.inf
        self._spent_s = 0.0

    def patience(self, now: float) -> float:
        if now - self._ended_at > SHORT_S:
            return PATIENCE_S
        return max(SHORT_PATIENCE_S, PATIENCE_S - self._spent_s)

    def note(self, response: Any, **_: Any) -> None:
        """Hears of each answer or loss, also of those that are tried again."""
        now = time.monotonic()
        status, answer = (500, {}) if response is None else (response[0].status_code, response[1])
        if answer.get("Error", {}).get("Code") in _THROTTLED:
            self._throttled_at = self._troubled_at = now
        elif status >= 500:
            self._troubled_at = now

    def ended(self, began: float, *, failed: bool = False) -> None:
        """A call that began then has ended now; what is slow in good times is only large."""
        self._ended_at = now = time.monotonic()
        troubled = self._troubled_at >= began - SHORT_S
        self._spent_s = PATIENCE_S if failed else now - began if troubled else 0.0

    def is_throttled(self, began: float) -> bool:
        """Whether DynamoDB asked for fewer requests since then, or shortly before."""
        return self._throttled_at >= began - HELD_BACK_S


@dataclass
class Tries:
    """Those to write one item; `open` are those that may have written it."""

    open: int = 0


# Who wants to know whether a PutItem of this task went out.
SENDING: ContextVar[Tries | None] = ContextVar("SENDING", default=None)


class Remote:
    """Runs calls on clients that it opens when they are needed and closes at the end."""

    def __init__(
        self, *, region: str | None = None, endpoint: str | None = None, profile: str | None = None
    ) -> None:
        self._region = region or None
        self._endpoint = endpoint or None
        self._profile = profile or None
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self._session: AioSession | None = None
        self._reading, self._writing = _Way(), _Way()
        self._thread = threading.Thread(target=self._run, name="storekeeper-dynamodb", daemon=True)
        self._thread.start()

    def sibling(self) -> Remote:
        """Another client of the same place: what it is made to wait holds up nobody else."""
        return Remote(region=self._region, endpoint=self._endpoint, profile=self._profile)

    def is_throttled(self, since: float) -> bool:
        """Whether DynamoDB asked for fewer reads since then (`time.monotonic`), or shortly before."""
        return self._reading.is_throttled(since)

    def call(
        self,
        work: Callable[[DynamoDBClient], Awaitable[T]],
        *,
        writes: bool = False,
        patience_s: float | None = None,
    ) -> T:
        """Blocks for the answer; from any thread but an event loop's. `work` may be done again
        when an answer is lost; `writes`: whether writing is what it is about. Raises
        `StoreUnavailable` or `Overloaded`, after `patience_s` or `PATIENCE_S` at the latest, sooner
        where the call before it failed or took long."""
        return self._submit(work, writes, patience_s).result()

    async def ask(
        self,
        work: Callable[[DynamoDBClient], Awaitable[T]],
        *,
        writes: bool = False,
        patience_s: float | None = None,
    ) -> T:
        """The same for an event loop, which goes on meanwhile."""
        return await asyncio.wrap_future(self._submit(work, writes, patience_s))

    def close(self) -> None:
        """Ends the clients and their thread; blocks. Whoever still waits for an answer is told."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(STOP_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(STOP_S)
            self._loop.close()

    async def _end(self) -> None:
        """Nothing may be left behind on a loop that stops: its callers would wait for ever."""
        left = asyncio.all_tasks(self._loop) - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._stack.aclose()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _submit(
        self,
        work: Callable[[DynamoDBClient], Awaitable[T]],
        writes: bool,
        patience_s: float | None,
    ) -> Future[T]:
        way = self._writing if writes else self._reading
        return asyncio.run_coroutine_threadsafe(self._do(way, work, patience_s), self._loop)

    async def _do(
        self, way: _Way, work: Callable[[DynamoDBClient], Awaitable[T]], patience_s: float | None
    ) -> T:
        asked_at = time.monotonic()
        patience_s = patience_s or way.patience(asked_at)
        try:
            async with way.opening:
                client = way.client = way.client or await self._open(way)
            async with asyncio.timeout(patience_s):
                found = await _try(client, work)
            way.ended(asked_at)
            return found
        except TimeoutError as error:
            way.ended(asked_at, failed=True)
            if way.is_throttled(asked_at):
                raise too_fast() from error
            raise StoreUnavailable(
                f"DynamoDB didn't answer in {patience_s:g} s; check the network, "
                "STOREKEEPER_AWS_REGION and STOREKEEPER_AWS_ENDPOINT_URL"
            ) from error
        except (failures.ClientError, failures.BotoCoreError, OSError) as error:
            if _may_pass(error):
                way.ended(asked_at, failed=True)
            raise told(error) from error

    async def _open(self, way: _Way) -> DynamoDBClient:
        if self._session is None:
            self._session = open_session(self._profile)
        try:
            context = self._session.create_client(
                "dynamodb",
                region_name=self._region,
                endpoint_url=self._endpoint,
                config=AioConfig(
                    connect_timeout=CONNECT_S,
                    read_timeout=READ_S,
                    max_pool_connections=CONNECTIONS,
                    # Its limiter slows down by itself when DynamoDB asks for it; it is we who try
                    # again, as its own first rest is half a second, also for a lost connection.
                    retries={"mode": "adaptive", "total_max_attempts": 1},
                    tcp_keepalive=True,
                ),
            )
            client: DynamoDBClient = await self._stack.enter_async_context(context)
        except ValueError as error:
            if isinstance(error, failures.BotoCoreError):
                raise
            raise StoreUnavailable(f"{error}; check STOREKEEPER_AWS_ENDPOINT_URL") from error
        client.meta.events.register("needs-retry.dynamodb", way.note)
        client.meta.events.register("provide-client-params.dynamodb", _remember_table)
        client.meta.events.register("after-call.dynamodb", _name_table)
        # After the limiter's own, which may hold a request back until its caller has gone.
        client.meta.events.register_last("before-send", _count_sent)
        return client


def _count_sent(event_name: str, **_: Any) -> None:
    if event_name.endswith(".PutItem") and (tries := SENDING.get()) is not None:
        tries.open += 1


async def _try(client: DynamoDBClient, work: Callable[[DynamoDBClient], Awaitable[T]]) -> T:
    rest = FIRST_REST_S
    for _ in range(TRIES - 1):
        try:
            return await work(client)
        except (failures.ClientError, failures.BotoCoreError, OSError) as error:
            if not _may_pass(error):
                raise
        await asyncio.sleep(random.uniform(rest / 2, rest))  # noqa: S311 - only spreads
        rest = min(LONGEST_REST_S, rest * 2)
    return await work(client)


def _remember_table(params: Any, context: Any, **_: Any) -> None:
    context["storekeeper_table"] = params.get("TableName", "")


def _name_table(parsed: Any, context: Any, **_: Any) -> None:
    """Puts into a refusal of which table it is, so that an operator can be told."""
    if "Error" in parsed:
        parsed["Error"]["Table"] = context.get("storekeeper_table", "")


def is_refusal(error: failures.ClientError) -> bool:
    """Whether DynamoDB says by it that it did nothing."""
    return bool(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) < 500)


def _may_pass(error: Exception) -> bool:
    """Whether the same request may succeed in a moment: it is safe to send again in any case."""
    if isinstance(error, failures.ClientError):
        return not is_refusal(error) or code_of(error) in _THROTTLED
    return isinstance(error, failures.HTTPClientError | failures.ConnectionError | OSError)


def too_fast() -> Overloaded:
    return Overloaded("DynamoDB asks for fewer requests; try again shortly", retry_after=1)


def told(error: Exception) -> StoreUnavailable | Overloaded:
    """What an operator should know about a failure of DynamoDB or of the way to it."""
    code = code_of(error)
    if code in _THROTTLED:
        return too_fast()
    if code == DENIED and isinstance(error, failures.ClientError):
        answer: Any = error.response
        table = answer["Error"].get("Table", "the tables")
        return StoreUnavailable(
            f"the role may not do dynamodb:{error.operation_name} on {table}; allow it in the role's "
            f"permissions, all of which docs/dynamodb.md lists ({_message(error)})"
        )
    if code in _REMEDIES:
        return StoreUnavailable(f"DynamoDB {_REMEDIES[code]} ({_message(error)})")
    if isinstance(error, failures.NoRegionError):
        return StoreUnavailable("no AWS region is set; set STOREKEEPER_AWS_REGION or AWS_REGION")
    if isinstance(error, failures.InvalidRegionError):
        return StoreUnavailable(f"{error}; check STOREKEEPER_AWS_REGION")
    if isinstance(error, failures.ProfileNotFound):
        return StoreUnavailable(
            f"{error}; check STOREKEEPER_AWS_PROFILE or AWS_PROFILE, and AWS's own files"
        )
    if isinstance(error, _NO_CREDENTIALS):
        return StoreUnavailable(
            f"no AWS credentials can be had ({error}); give the machine a role, or set AWS_PROFILE"
        )
    if isinstance(error, failures.ClientError):
        return StoreUnavailable(f"DynamoDB failed: {code}: {_message(error)}")
    return StoreUnavailable(
        f"DynamoDB can't be reached: {error}; check the network, STOREKEEPER_AWS_REGION and "
        "STOREKEEPER_AWS_ENDPOINT_URL"
    )


def _message(error: Exception) -> str:
    if isinstance(error, failures.ClientError):
        return str(error.response.get("Error", {}).get("Message", error))
    return str(error)
