"""A proxy before DynamoDB Local that loses or refuses calls of a kind, and counts them.

It runs on a thread of its own, so that a test may wait for a process that uses it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from tests.support import local_engines

Moment = Literal["asked", "done"]
_TARGET = b"x-amz-target: dynamodb_20120810."
_TABLE = re.compile(rb'"TableName": ?"([^"]+)"')
_PREFIX = "com.amazonaws.dynamodb.v20120810#"


class Fault(NamedTuple):
    """What becomes of a call. `is_done`: it reaches DynamoDB first. Then comes an answer of ours
    (`status`, `code`), or none at all (`is_silent`), or the end of the connection."""

    name: str
    is_done: bool = False
    status: int = 0
    code: str = ""
    is_silent: bool = False


THROTTLED = Fault("throttled", status=400, code="ProvisionedThroughputExceededException")
SLOWED = Fault("slowed", status=400, code="ThrottlingException")
BROKEN = Fault("broken", status=500, code="InternalServerError")
SILENT = Fault("silent", is_silent=True)
SILENT_AFTER = Fault("silent after it was done", is_done=True, is_silent=True)
RESET = Fault("reset")
RESET_AFTER = Fault("reset after it was done", is_done=True)
EXPIRED = Fault("credentials expired", status=400, code="ExpiredTokenException")
DENIED = Fault("denied", status=400, code="AccessDeniedException")
SKEWED = Fault("clock skewed", status=400, code="RequestTimeTooSkewed")
UNSIGNED = Fault("signature refused", status=400, code="InvalidSignatureException")
UNKNOWN = Fault("credentials unknown", status=400, code="UnrecognizedClientException")
# All but throttling, which is no failure.
FAULTS = (BROKEN, SILENT, SILENT_AFTER, RESET, RESET_AFTER, EXPIRED, DENIED, SKEWED, UNSIGNED)


class FaultyDynamo:
    """`url` is where to find it. `calls` counts what came by operation, `failed` what it failed;
    `asked` counts by operation and by what the table's name ends with.

    `watch` is shown each request before it is passed on and after it was done, before its answer;
    when it raises a `ConnectionError`, that is as far as the request comes.
    """

    def __init__(self, engine: str = "") -> None:
        """`engine`: the address of another one than DynamoDB Local."""
        target = urlsplit(engine or local_engines.url("dynamodb"))
        self._target = (str(target.hostname), int(target.port or 0))
        self.calls: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.asked: Counter[tuple[str, str]] = Counter()
        self.watch: Callable[[bytes, Moment], None] = lambda request, moment: None
        self._faults: dict[tuple[str, str], tuple[Fault, float]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()

    def fail(
        self, operation: str, fault: Fault, times: float = float("inf"), *, table: str = ""
    ) -> None:
        """From now on the next `times` calls of that operation meet the fault, on the `table` alone
        if one is named, by what comes after the prefix."""
        self._faults[operation, table] = (fault, times)

    def heal(self) -> None:
        self._faults = {}

    def __enter__(self) -> FaultyDynamo:
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _end(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        inner = await asyncio.open_connection(*self._target)
        try:
            while request := await _message(reader):
                answer = await self._answer(request, inner)
                if answer is None:
                    _reset(writer)
                    return
                writer.write(answer)
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            return  # the client went, or the test is over
        finally:
            inner[1].close()
            writer.close()

    async def _answer(
        self, request: bytes, inner: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    ) -> bytes | None:
        operation = _operation(request)
        table = _table(request)
        self.calls[operation] += 1
        self.asked[operation, table] += 1
        self.watch(request, "asked")
        fault = self._fault_of(operation, table)
        answer: bytes | None = None
        if fault is None or fault.is_done:
            inner[1].write(request)
            answer = await _message(inner[0])
            self.watch(request, "done")
        if fault is None:
            return answer
        self.failed[operation] += 1
        if fault.is_silent:
            await asyncio.Event().wait()
        return _refusal(fault) if fault.status else None

    def _fault_of(self, operation: str, table: str) -> Fault | None:
        for place in ((operation, table), (operation, "")):
            fault, left = self._faults.get(place, (None, 0.0))
            if fault is not None and left >= 1:
                self._faults[place] = (fault, left - 1)
                return fault
        return None


async def _message(reader: asyncio.StreamReader) -> bytes:
    """A request or an answer with its body; nothing at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    if b"transfer-encoding: chunked" in head.lower():
        return head + await _chunks(reader)
    return head + await reader.readexactly(_length(head))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    """As they came, to the last one."""
    found = b""
    while True:
        size = await reader.readuntil(b"\r\n")
        chunk = await reader.readexactly(int(size, 16) + 2)
        found += size + chunk
        if int(size, 16) == 0:
            return found


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def _operation(request: bytes) -> str:
    for line in request.partition(b"\r\n\r\n")[0].split(b"\r\n"):
        if line.lower().startswith(_TARGET):
            return line[len(_TARGET) :].decode()
    return "?"


def _table(request: bytes) -> str:
    """What comes after the prefix of the table's name."""
    found = _TABLE.search(request)
    return found[1].decode().rpartition("-")[2] if found else ""


def _refusal(fault: Fault) -> bytes:
    body = json.dumps(
        {"__type": _PREFIX + fault.code, "message": f"injected: {fault.name}"}
    ).encode()
    return (
        f"HTTP/1.1 {fault.status} Injected\r\ncontent-type: application/x-amz-json-1.0\r\n"
        f"date: {time.strftime('%a, %d %b %Y %H:%M:%S GMT', time.gmtime())}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode() + body


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends the connection by RST, as a machine does that went away."""
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
