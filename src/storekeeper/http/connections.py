"""Connections as the server keeps them: nobody may hold one without sending, and they are bounded.

uvicorn waits for ever for the rest of a request. Here one sweep a second looks at all connections;
a request pays for none of it but the counting of its body's bytes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, ClassVar

import msgspec
import structlog
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from storekeeper.domain.errors import (
    HeadTooLarge,
    Malformed,
    Overloaded,
    RequestTimeout,
    ShopError,
    StoreUnavailable,
)
from storekeeper.http import lingering
from storekeeper.http.gate import GUARDS
from storekeeper.http.lingering import LastTransport, Lingering
from storekeeper.http.problems import MEDIA_TYPE, body_of
from storekeeper.telemetry.metrics import PROBES

# Half of a modem's rate; a body that comes slower than this over a whole window is given up.
BYTES_PER_S = 240
# Of an address and headers that come in more than one piece (a piece is a quarter of a megabyte at
# most). The parser keeps them, and takes longer for each piece of a header than for the last.
MOST_HEAD_BYTES = 65_536
# Connections past the bound: they are told to come back, and probes among them are answered.
EXTRA = 32
SWEEP_S = 1.0
ENDING_SWEEP_S = 0.1
# For the rest of requests that are on their way when the server ends.
LAST_CHANCE_S = 1.0
RETRY_S = 2
log = structlog.get_logger("storekeeper.connections")


class Connections:
    """All connections of this process. `header_seconds` for a request's head, `body_seconds` for
    each `BYTES_PER_S * body_seconds` of a body and for a client that doesn't read its answer."""

    def __init__(self, *, header_seconds: int, body_seconds: int, maximum: int) -> None:
        self.header_seconds = header_seconds
        self.body_seconds = body_seconds
        self.maximum = maximum
        self._all: dict[Connection, None] = {}
        self._extra: dict[Connection, None] = {}
        # Those that are answered and still send, longest first.
        self._lingering: dict[Connection, None] = {}
        # Those that have sent no head yet, longest first; who did since, or left, is passed over.
        self._silent: deque[Connection] = deque()
        # As of the last sweep: those that wait for their client's next request.
        self._idle: deque[Connection] = deque()
        self._refused = 0
        self._ends_at: float | None = None
        self._interval = min(SWEEP_S, header_seconds / 4, body_seconds / 4)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begins to sweep, on the running event loop."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._interval, self.start)
        self._sweep(loop.time())

    def end(self) -> None:
        """Lets go of every connection whose request isn't whole, as they come to light; those that
        may bring one just now after a moment."""
        self._ends_at = asyncio.get_running_loop().time() + LAST_CHANCE_S
        self._interval = ENDING_SWEEP_S
        self.stop()
        self.start()

    def may_bring_more(self) -> bool:
        """Whether the end isn't so near yet that requests under way are cut off."""
        return self._ends_at is None or asyncio.get_running_loop().time() < self._ends_at

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def add(self, connection: Connection) -> bool:
        """Whether there is room; where there is none, who has sent nothing goes before others, and
        then who is answered and asks nothing more."""
        if (
            len(self._all) < self.maximum
            or self._drop_silent()
            or self._drop_lingering()
            or self._drop_idle()
        ):
            self._all[connection] = None
            self._silent.append(connection)
            return True
        self._refused += 1
        self._extra[connection] = None
        if len(self._extra) > EXTRA:
            first = next((one for one in self._extra if one.is_silent), connection)
            del self._extra[first]
            first.drop()
        return False

    def remove(self, connection: Connection) -> None:
        self._all.pop(connection, None)
        self._extra.pop(connection, None)
        self._lingering.pop(connection, None)

    def linger(self, connection: Connection) -> bool:
        """Whether it may be listened to for a moment after its answer; none past the bound may."""
        if connection not in self._all:
            return False
        if len(self._lingering) >= lingering.MOST:
            self._drop_lingering()
        self._lingering[connection] = None
        return True

    def _drop_silent(self) -> bool:
        while self._silent:
            connection = self._silent.popleft()
            if connection in self._all and connection.is_silent:
                connection.drop()
                del self._all[connection]
                return True
        return False

    def _drop_lingering(self) -> bool:
        for connection in self._lingering:
            connection.drop()
            self.remove(connection)
            return True
        return False

    def _drop_idle(self) -> bool:
        while self._idle:
            connection = self._idle.popleft()
            if connection in self._all and connection.is_idle:
                connection.transport.close()
                del self._all[connection]
                return True
        return False

    def _sweep(self, now: float) -> None:
        everyone = [*self._all, *self._extra]
        if self._ends_at is not None:
            for connection in everyone:
                connection.shutdown()
            return
        dropped = sum(connection.is_dropped_at(now) for connection in everyone)
        self._silent = deque(one for one in self._all if one.is_silent)
        self._idle = deque(one for one in self._all if one.is_idle)
        if dropped:
            log.info("slow connections closed", count=dropped, open=len(everyone) - dropped)
        if self._refused:
            log.warning("too many connections", refused=self._refused, allowed=self.maximum)
            self._refused = 0


class Connection(HttpToolsProtocol):
    """One client's connection. What a wait began with is remembered from one sweep to the next:
    the request that was last begun, and the bytes of its body."""

    watch: ClassVar[Connections]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport = self._last = LastTransport(transport, self._begins_to_linger)
        self._lingering: Lingering | None = None
        self.received = 0
        self._head_bytes = 0
        self._is_refused = False
        self._working: RequestResponseCycle | None = None
        self._paused_at: float | None = None
        self._since = self.loop.time()
        self._cycle_seen: Any = None
        self._begun_after: Any = self
        self._received_then = 0
        if not self.watch.add(self):
            self.app = only_probes(self.app)

    def connection_lost(self, exc: Exception | None) -> None:
        self.watch.remove(self)
        # uvicorn tells only the request that came last; of several, an earlier one is at work.
        if self._working is not None and not self._working.response_complete:
            self._working.disconnected = True
            self._working.message_event.set()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._working = cycle
        HttpToolsProtocol._start_asgi_task(self, cycle, app)

    def data_received(self, data: bytes) -> None:
        if self._lingering is None:
            begun = self._begun_after
            was_open = begun is self.cycle
            super().data_received(data)
            if was_open:
                self._count_head(len(data), is_same=begun is self.cycle is self._begun_after)
        elif not self._lingering.takes(len(data), self.loop.time()):
            self.flow.pause_reading()

    def _count_head(self, size: int, *, is_same: bool) -> None:
        """Of a head that was open before this piece, and still is where `is_same`."""
        self._head_bytes = self._head_bytes + size if is_same else 0
        if self._head_bytes <= MOST_HEAD_BYTES or self.transport.is_closing():
            return
        if (before := self.request) is not None and not before.response_complete:
            self.drop()  # an answer to what was asked before is on its way; none can follow it
            return
        log.info("too large a head refused", bytes=self._head_bytes)
        self._refuse(
            HeadTooLarge(f"a request's address and headers have at most {MOST_HEAD_BYTES} bytes")
        )

    def send_400_response(self, msg: str) -> None:
        """What the parser can't make anything of."""
        self._refuse(Malformed("this is no HTTP/1.1 request that can be read"))

    def _refuse(self, error: ShopError) -> None:
        """A head that no application sees."""
        self._is_refused = True
        self.transport.write(_written(error, None))
        self.transport.close()

    def _begins_to_linger(self) -> bool:
        """Whether the client may still be sending what its answer didn't wait for."""
        cycle = self.request
        may_send = self._is_refused or (cycle is not None and cycle.more_body)
        if not may_send or not self.watch.linger(self):
            return False
        self._lingering = Lingering(self.loop.time())
        self.flow.resume_reading()
        return True

    def _end_lingering(self, now: float) -> bool:
        """Whether it lingers, if not for too long; closed where it is."""
        if self._lingering is None or self._last.real.is_closing():
            return False
        if self._lingering.is_over_at(now):
            self._last.real.close()
        return True

    def on_message_begin(self) -> None:
        self._begun_after = self.cycle
        HttpToolsProtocol.on_message_begin(self)

    def on_body(self, body: bytes) -> None:
        self.received += len(body)
        HttpToolsProtocol.on_body(self, body)

    def pause_writing(self) -> None:
        self._paused_at = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._paused_at = None
        super().resume_writing()

    @property
    def request(self) -> RequestResponseCycle | None:
        """The request whose head came last, whatever became of it."""
        return self.cycle

    @property
    def is_silent(self) -> bool:
        """Whether it has never sent the whole head of a request."""
        return self.request is None

    @property
    def is_idle(self) -> bool:
        """Whether it is answered, and uvicorn's own timer waits for the next request."""
        cycle = self.request
        return (
            cycle is not None
            and cycle.response_complete
            and self._waits_for_next()
            and not self.transport.is_closing()
        )

    def drop(self) -> None:
        self.transport.abort()

    def is_dropped_at(self, now: float) -> bool:
        """Ends the connection if it has waited too long for its client, and says so."""
        cycle, watch = self.request, self.watch
        if self._paused_at is None and self._last.real.is_closing():
            self._paused_at = now  # what was written last still has to be read
        if self._paused_at is not None and now - self._paused_at >= watch.body_seconds:
            self.drop()
            return True
        if self._end_lingering(now) or self.transport.is_closing() or self._is_at_work():
            self._begin_wait(now)
            return False
        if cycle is not self._cycle_seen:
            self._begin_wait(now)
        if cycle is not None and not cycle.response_complete:
            return self._is_body_given_up(now)
        if now - self._since < watch.header_seconds:
            return False
        self.transport.close()
        return True

    def _is_body_given_up(self, now: float) -> bool:
        seconds = self.watch.body_seconds
        if now - self._since < seconds:
            return False
        if self.received - self._received_then >= BYTES_PER_S * seconds:
            self._begin_wait(now)
            return False
        self._cut_off(
            RequestTimeout(f"less than {BYTES_PER_S} bytes a second came of the request's body")
        )
        return True

    def _is_at_work(self) -> bool:
        """Whether it is our turn, not the client's: a request is whole, its body isn't asked for
        yet, or there is none and uvicorn's own timer waits for the next."""
        cycle = self.request
        if cycle is None:
            return False
        if cycle.response_complete:
            return self._waits_for_next()
        return not cycle.more_body or self.flow.read_paused or cycle.waiting_for_100_continue

    def _waits_for_next(self) -> bool:
        """uvicorn's timer runs also where the next head began to come together with the last."""
        return self.timeout_keep_alive_task is not None and self._begun_after is not self.cycle

    def _begin_wait(self, now: float) -> None:
        self._since, self._cycle_seen, self._received_then = now, self.cycle, self.received

    def shutdown(self) -> None:
        if self._end_lingering(self.loop.time()):
            return
        cycle = self.request
        is_whole = cycle is not None and (cycle.response_complete or not cycle.more_body)
        if not is_whole and self.watch.may_bring_more():
            if cycle is not None:
                cycle.keep_alive = False
            return
        if cycle is None or is_whole or self.pipeline:
            super().shutdown()
        elif not self.transport.is_closing():
            self._cut_off(
                StoreUnavailable("the shop is shutting down; send the request again shortly")
            )

    def _cut_off(self, error: ShopError) -> None:
        """Answers in the application's place, and tells it why its client is gone."""
        cycle = self.cycle
        scope: dict[str, Any] = cycle.scope  # type: ignore[assignment]
        scope["cut_off"] = error
        if not cycle.response_started:
            cycle.response_started = True
            self.transport.write(_written(error, scope.get("request_id")))
        cycle.disconnected = True
        cycle.message_event.set()
        self.transport.close()


def protocol_of(connections: Connections) -> type[Connection]:
    """The class that uvicorn makes of each connection."""

    class Watched(Connection):
        watch = connections

    return Watched


def only_probes(app: Any) -> Any:
    """The application for connections past the bound: all but probes are told to come back."""

    async def crowded(scope: Any, receive: Any, send: Any) -> None:
        async def send_last(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            await send(message)

        if scope["path"] not in PROBES:
            # The door of every route raises it, so that it is named, logged and counted as others.
            scope["refused"] = Overloaded(
                "too many connections are open; try again shortly", retry_after=RETRY_S
            )
        await app(scope, receive, send_last)

    return crowded


def _written(error: ShopError, request_id: str | None) -> bytes:
    """A problem as it goes over the wire, where no application answers."""
    body = msgspec.json.encode(body_of(error, request_id))
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
        *GUARDS,
    ]
    if error.status == StoreUnavailable.status:
        headers.append((b"retry-after", b"%d" % RETRY_S))
    if request_id is not None:
        headers.append((b"x-request-id", request_id.encode()))
    lines = b"".join(b"%s: %s\r\n" % pair for pair in headers)
    return STATUS_LINE[error.status] + lines + b"\r\n" + body
