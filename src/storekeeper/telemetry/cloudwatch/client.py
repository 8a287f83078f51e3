"""PutMetricData: one client per process, on a thread and an event loop of its own.

Failures become `NotTaken` with one sentence that says what to change.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import wait
from contextlib import AsyncExitStack
from datetime import datetime
from typing import TYPE_CHECKING

import botocore.exceptions as failures
from aiobotocore.config import AioConfig

from storekeeper.aws import open_session
from storekeeper.telemetry.cloudwatch.figures import Figure, Figures, Key, Totals
from storekeeper.telemetry.cloudwatch.reading import unit_of

if TYPE_CHECKING:
    from types_aiobotocore_cloudwatch import CloudWatchClient
    from types_aiobotocore_cloudwatch.type_defs import MetricDatumTypeDef

CONNECT_S = 2.0
READ_S = 5.0
ATTEMPTS = 2
STOP_S = 5.0
# CloudWatch's own limits are 1,000 metrics and 1 MB before compression (PutMetricData).
MOST_METRICS = 1_000
MOST_BYTES = 900_000
COMPRESSED_FROM_BYTES = 1_024
_FINAL = frozenset(
    {
        "InvalidParameterCombination",
        "InvalidParameterCombinationException",
        "InvalidParameterValue",
        "InvalidParameterValueException",
        "MissingParameter",
        "MissingRequiredParameterException",
        "ValidationError",
    }
)
_UNKNOWN = "doesn't know these credentials; check AWS_PROFILE or the role"
_UNSIGNED = (
    "doesn't accept the signature; check the secret key, and the machine's clock, which may be off "
    "by five minutes at most"
)
_EXPIRED = "says that the credentials have run out; renew them, or use a role"
_FORBIDDEN = "doesn't allow it; give the role cloudwatch:PutMetricData"
_REMEDIES = {
    "AccessDenied": _FORBIDDEN,
    "AccessDeniedException": _FORBIDDEN,
    "InvalidClientTokenId": _UNKNOWN,
    "UnrecognizedClientException": _UNKNOWN,
    "SignatureDoesNotMatch": _UNSIGNED,
    "InvalidSignatureException": _UNSIGNED,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
}


class NotTaken(Exception):
    """CloudWatch took nothing; says why. `is_final`: it never will take these figures."""

    def __init__(self, why: str, *, is_final: bool = False) -> None:
        super().__init__(why)
        self.is_final = is_final


class Client:
    """Sends to one namespace. Nothing is opened before the first figures are sent."""

    def __init__(
        self, namespace: str, *, region: str = "", endpoint: str = "", profile: str = ""
    ) -> None:
        self._namespace = namespace
        self._region = region or None
        self._endpoint = endpoint or None
        self._profile = profile or None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stack = AsyncExitStack()
        self._client: CloudWatchClient | None = None

    async def put(self, at: datetime, figures: Figures) -> None:
        """One request, at most as large as `batches` makes them. Raises `NotTaken`."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._loop.run_forever, name="storekeeper-cloudwatch", daemon=True
            )
            self._thread.start()
        await asyncio.wrap_future(
            asyncio.run_coroutine_threadsafe(self._put(at, figures), self._loop)
        )

    def close(self) -> None:
        """Ends the client and its thread; blocks."""
        if self._loop is None or self._thread is None:
            return
        wait([asyncio.run_coroutine_threadsafe(self._stack.aclose(), self._loop)], STOP_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_S)
        self._loop.close()
        self._loop = None

    async def _put(self, at: datetime, figures: Figures) -> None:
        data = [datum(key, figure, at) for key, figure in figures.items()]
        try:
            if self._client is None:
                self._client = await self._open()
            await self._client.put_metric_data(Namespace=self._namespace, MetricData=data)
        except (failures.ClientError, failures.BotoCoreError, OSError, ValueError) as error:
            # A ValueError is an answer that can't be read, of a proxy in between.
            # The next one reads credentials and settings anew, which may be mended by then.
            self._client = None
            await self._stack.aclose()
            raise told(error) from error

    async def _open(self) -> CloudWatchClient:
        session = open_session(self._profile)
        client: CloudWatchClient = await self._stack.enter_async_context(
            session.create_client(
                "cloudwatch",
                region_name=self._region,
                endpoint_url=self._endpoint,
                config=AioConfig(
                    connect_timeout=CONNECT_S,
                    read_timeout=READ_S,
                    max_pool_connections=1,
                    retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                    request_min_compression_size_bytes=COMPRESSED_FROM_BYTES,
                ),
            )
        )
        return client


def batches(
    figures: Figures, *, metrics: int = MOST_METRICS, size: int = MOST_BYTES
) -> Iterator[Figures]:
    """The figures in parts that one request takes, however they are written down."""
    part: Figures = {}
    weight = 0
    for key, figure in figures.items():
        more = _weight(key, figure)
        if part and (len(part) == metrics or weight + more > size):
            yield part
            part, weight = {}, 0
        part[key] = figure
        weight += more
    if part:
        yield part


def datum(key: Key, figure: Figure, at: datetime) -> MetricDatumTypeDef:
    """The figure in CloudWatch's words."""
    base: MetricDatumTypeDef = {
        "MetricName": key.name,
        "Dimensions": [{"Name": name, "Value": value} for name, value in key.dimensions],
        "Timestamp": at,
        "Unit": "Count",
    }
    base["Unit"] = unit_of(key.name)  # type: ignore[typeddict-item]
    if isinstance(figure, Totals):
        base["StatisticValues"] = {
            "SampleCount": figure.samples,
            "Sum": figure.total,
            "Minimum": figure.least,
            "Maximum": figure.most,
        }
    else:
        values = figure.values()
        base["Values"], base["Counts"] = list(values), list(values.values())
    return base


def told(error: Exception) -> NotTaken:
    """What an operator should know about a failure of CloudWatch or of the way to it."""
    if isinstance(error, failures.ClientError):
        given = error.response.get("Error", {})
        code, message = str(given.get("Code", "")), str(given.get("Message", ""))
        if code in _REMEDIES:
            return NotTaken(f"CloudWatch {_REMEDIES[code]} ({message or code})")
        return NotTaken(f"CloudWatch failed: {code}: {message}", is_final=code in _FINAL)
    if isinstance(error, failures.NoRegionError):
        return NotTaken("no AWS region is set; set STOREKEEPER_AWS_REGION or AWS_DEFAULT_REGION")
    if isinstance(error, failures.ProfileNotFound):
        return NotTaken(
            f"{error}; check STOREKEEPER_AWS_PROFILE or AWS_PROFILE, and AWS's own files"
        )
    if isinstance(error, failures.NoCredentialsError):
        return NotTaken(
            f"no AWS credentials are found ({error}); give the machine a role, or set AWS_PROFILE"
        )
    if isinstance(error, failures.ParamValidationError):
        return NotTaken(f"CloudWatch doesn't take such figures: {error}", is_final=True)
    return NotTaken(f"CloudWatch can't be reached: {error}; check the network and the region")


def _weight(key: Key, figure: Figure) -> int:
    """No fewer bytes than one figure takes in any of CloudWatch's protocols."""
    names = sum(len(name) + len(value) + 120 for name, value in key.dimensions)
    numbers: Sequence[float] = figure.counts if not isinstance(figure, Totals) else (0.0,) * 4
    return 400 + len(key.name) + names + 120 * len(numbers)
