"""One client of DynamoDB per process, on a thread and an event loop of its own.

The writer's thread waits for its answers, and so does the event loop of requests, which is never
blocked by it. Failures become `StoreUnavailable` or `Overloaded` in one sentence that says what
to change.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, TypeVar

import botocore.exceptions as failures
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession

from storekeeper.domain.errors import Overloaded, StoreUnavailable

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

T = TypeVar("T")
CONNECT_S = 2.0
READ_S = 5.0
ATTEMPTS = 4
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
_REMEDIES = {
    "AccessDeniedException": "is not allowed; give the role the permissions that "
    "docs/dynamodb.md lists",
    "UnrecognizedClientException": "doesn't know these credentials; check AWS_PROFILE or the role",
    "InvalidSignatureException": "doesn't accept the signature; check the secret key, and the "
    "machine's clock, which may be off by five minutes at most",
    "ExpiredTokenException": "says that the credentials have run out; renew them, or use a role",
    "ExpiredToken": "says that the credentials have run out; renew them, or use a role",
    "ResourceNotFoundException": "has no such table in this region; run `storekeeper init --store "
    "dynamodb`, or check the region and the prefix",
}


class Remote:
    """Runs calls on a client that it opens at the start and closes at the end."""

    def __init__(
        self, *, region: str | None = None, endpoint: str | None = None, profile: str | None = None
    ) -> None:
        self._region = region or None
        self._endpoint = endpoint or None
        self._profile = profile or None
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self._client: DynamoDBClient | None = None
        self._thread = threading.Thread(target=self._run, name="storekeeper-dynamodb", daemon=True)
        self._thread.start()

    def sibling(self) -> Remote:
        """Another client of the same place: what it is made to wait holds up nobody else."""
        return Remote(region=self._region, endpoint=self._endpoint, profile=self._profile)

    def call(self, work: Callable[[DynamoDBClient], Awaitable[T]]) -> T:
        """Blocks for the answer; from any thread but an event loop's."""
        return self._submit(work).result()

    async def ask(self, work: Callable[[DynamoDBClient], Awaitable[T]]) -> T:
        """The same for an event loop, which goes on meanwhile."""
        return await asyncio.wrap_future(self._submit(work))

    def close(self) -> None:
        """Ends the client and its thread; blocks."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._stack.aclose(), self._loop).result(STOP_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(STOP_S)
            self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _submit(self, work: Callable[[DynamoDBClient], Awaitable[T]]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(self._do(work), self._loop)

    async def _do(self, work: Callable[[DynamoDBClient], Awaitable[T]]) -> T:
        try:
            if self._client is None:
                self._client = await self._open()
            return await work(self._client)
        except (failures.ClientError, failures.BotoCoreError, OSError) as error:
            raise told(error) from error

    async def _open(self) -> DynamoDBClient:
        session = AioSession(profile=self._profile)
        client: DynamoDBClient = await self._stack.enter_async_context(
            session.create_client(
                "dynamodb",
                region_name=self._region,
                endpoint_url=self._endpoint,
                config=AioConfig(
                    connect_timeout=CONNECT_S,
                    read_timeout=READ_S,
                    max_pool_connections=CONNECTIONS,
                    retries={"mode": "adaptive", "total_max_attempts": ATTEMPTS},
                    tcp_keepalive=True,
                ),
            )
        )
        return client


def code_of(error: Exception) -> str:
    """The code that AWS gave, or an empty text."""
    if isinstance(error, failures.ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return ""


def told(error: Exception) -> StoreUnavailable | Overloaded:
    """What an operator should know about a failure of DynamoDB or of the way to it."""
    code = code_of(error)
    if code in _THROTTLED:
        return Overloaded("DynamoDB asks for fewer requests; try again shortly", retry_after=1)
    if code in _REMEDIES:
        return StoreUnavailable(f"DynamoDB {_REMEDIES[code]} ({_message(error)})")
    if isinstance(error, failures.NoRegionError):
        return StoreUnavailable("no AWS region is set; set STOREKEEPER_AWS_REGION or AWS_REGION")
    if isinstance(error, failures.ProfileNotFound | failures.NoCredentialsError):
        return StoreUnavailable(
            f"no AWS credentials are found ({error}); give the machine a role, or set AWS_PROFILE"
        )
    if isinstance(error, failures.ClientError):
        return StoreUnavailable(f"DynamoDB failed: {code}: {_message(error)}")
    return StoreUnavailable(f"DynamoDB can't be reached: {error}; check the network and endpoint")


def _message(error: Exception) -> str:
    if isinstance(error, failures.ClientError):
        return str(error.response.get("Error", {}).get("Message", error))
    return str(error)
