"""A lean HTTP/1.1 load generator: raw bytes out, status and time in, nothing else on its core.

Each client keeps one connection and one request under way. What is sent is built beforehand, so
that the generator doesn't become what is measured; `busy` says how near to that it came.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import uvloop

CLIENTS = 64
WARM_SECONDS = 0.25
# Answers that come after a slice has ended are waited for this long.
DRAIN_SECONDS = 10.0
T = TypeVar("T")

# Answers the next request and a tag that comes back with its answer; None: nothing left to send.
Source = Callable[[], tuple[bytes, Any] | None]
# Gets the tag, the status (0: the connection broke before the answer) and the body.
Answered = Callable[[Any, int, bytes], None]


class Slice(NamedTuple):
    """What one slice of load saw. Latencies in milliseconds; `busy` is the generator's CPU share."""

    rate: float
    p50: float
    p99: float
    answers: int
    statuses: dict[int, int]
    seconds: float
    busy: float
    latencies: list[float]

    def only(self, *statuses: int) -> Slice:
        """Itself; raises where anything else was answered, for then it measured something else."""
        others = {status: n for status, n in self.statuses.items() if status not in statuses}
        if others or not self.answers:
            raise RuntimeError(f"expected answers {statuses}, got {self.statuses}")
        return self


def measure(
    port: int, source: Source, seconds: float, *, clients: int = CLIENTS, warm: float = WARM_SECONDS
) -> Slice:
    """Keeps `clients` requests under way for so long and answers what came back meanwhile."""
    return run(_measure(port, source, seconds, clients, warm))


def send_all(
    port: int,
    source: Source,
    *,
    clients: int = CLIENTS,
    answered: Answered = lambda tag, status, body: None,
) -> Slice:
    """Sends until the source is empty; every answer is passed on."""
    return run(send_all_from(port, source, clients=clients, answered=answered))


def run(work: Awaitable[T]) -> T:
    """Runs on a fresh uvloop, without pauses for the collection of garbage."""

    async def main() -> T:
        return await work

    gc.collect()
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main())
    finally:
        gc.enable()


async def _measure(port: int, source: Source, seconds: float, clients: int, warm: float) -> Slice:
    tally = Tally()
    opened = await connect(port, source, clients, tally.add)
    for client in opened:
        client.send_next()
    await asyncio.sleep(warm)
    tally.clear()
    await asyncio.sleep(seconds)
    found = tally.slice()
    for client in opened:
        client.stop()
    async with asyncio.timeout(DRAIN_SECONDS):
        await asyncio.gather(*(client.closed for client in opened))
    return found


async def send_all_from(
    port: int, source: Source, *, clients: int = CLIENTS, answered: Answered
) -> Slice:
    """As `send_all`, for an event loop that sends to several servers."""
    tally = Tally()

    def add(tag: Any, status: int, body: bytes, seconds: float) -> None:
        tally.add(tag, status, body, seconds)
        answered(tag, status, body)

    opened = await connect(port, source, clients, add)
    for client in opened:
        client.send_next()
    await asyncio.gather(*(client.closed for client in opened))
    return tally.slice()


class Tally:
    """Counts answers as they come."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.latencies: list[float] = []
        self.clear()

    def add(self, tag: Any, status: int, body: bytes, seconds: float) -> None:
        self.statuses[status] += 1
        self.latencies.append(seconds)

    def clear(self) -> None:
        self.statuses.clear()
        self.latencies.clear()
        self._started = time.perf_counter()
        self._cpu = time.process_time()

    def slice(self) -> Slice:
        seconds = time.perf_counter() - self._started
        latencies = sorted(1_000 * latency for latency in self.latencies)
        return Slice(
            rate=len(latencies) / seconds,
            p50=percentile(latencies, 50),
            p99=percentile(latencies, 99),
            answers=len(latencies),
            statuses=dict(self.statuses),
            seconds=seconds,
            busy=(time.process_time() - self._cpu) / seconds,
            latencies=latencies,
        )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest rank of values in ascending order; 0 where there is none."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


async def connect(
    port: int, source: Source, clients: int, add: Callable[[Any, int, bytes, float], None]
) -> list[Client]:
    """Opens so many connections; none has sent anything yet."""
    loop = asyncio.get_running_loop()
    pairs = await asyncio.gather(
        *(
            loop.create_connection(lambda: Client(source, add, loop), "127.0.0.1", port)
            for _ in range(clients)
        )
    )
    return [client for _, client in pairs]


class Client(asyncio.Protocol):
    """One connection that sends the next request when it has the answer to the last."""

    def __init__(
        self,
        source: Source,
        add: Callable[[Any, int, bytes, float], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._source = source
        self._add = add
        self._is_waiting = False
        self._is_stopping = False
        self._buffer = b""
        self._tag: Any = None
        self._sent = 0.0
        self.closed: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def send_next(self) -> None:
        request = None if self._is_stopping else self._source()
        if request is None:
            self._transport.close()
            return
        message, self._tag = request
        self._is_waiting = True
        self._sent = time.perf_counter()
        self._transport.write(message)

    def stop(self) -> None:
        """Ends after the answer that is under way."""
        self._is_stopping = True
        if not self._is_waiting:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        end = data.find(b"\r\n\r\n")
        total = end + 4 + _content_length(data, end) if end >= 0 else len(data) + 1
        if len(data) < total:
            self._buffer = data
            return
        if len(data) > total:
            raise RuntimeError(f"more than one answer at once: {data[:200]!r}")
        self._buffer = b""
        self._is_waiting = False
        self._add(self._tag, int(data[9:12]), data[end + 4 :], time.perf_counter() - self._sent)
        self.send_next()

    def connection_lost(self, error: Exception | None) -> None:
        if self._is_waiting:
            self._is_waiting = False
            self._add(self._tag, 0, b"", time.perf_counter() - self._sent)
        if not self.closed.done():
            self.closed.set_result(None)


def _content_length(data: bytes, end: int) -> int:
    """What the header says; no header means no body, as in an answer 204."""
    start = data.find(b"content-length:", 0, end)
    if start < 0:
        head = data[:end].lower()
        start = head.find(b"content-length:")
        if start < 0:
            if b"transfer-encoding" in head:
                raise RuntimeError("an answer in chunks, which this generator doesn't read")
            return 0
    stop = data.find(b"\r\n", start)
    return int(data[start + 15 : stop])


def request(
    method: str, path: str, *, token: str = "", body: bytes | None = None, key: bytes | None = None
) -> bytes:
    """A request as it goes over the wire."""
    head, tail = pieces(method, path, token=token, body=body)
    return head + tail if key is None else head + b"idempotency-key: " + key + b"\r\n" + tail


def pieces(
    method: str, path: str, *, token: str = "", body: bytes | None = None
) -> tuple[bytes, bytes]:
    """A request cut where further headers may go."""
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1"]
    if token:
        lines.append(f"authorization: Bearer {token}")
    if body is not None:
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n", b"\r\n" + (body or b"")


def again(message: bytes) -> Source:
    """The same request for ever."""
    answer = (message, None)
    return lambda: answer
