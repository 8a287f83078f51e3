"""A webhook receiver on this machine that remembers which events it was told of, and how often."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from types import TracebackType
from typing import Any

_ANSWER = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"


class Receiver:
    """Runs in a thread of its own for the length of a block. `told` counts by event id."""

    def __init__(self) -> None:
        self.told: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/hooks"

    def __enter__(self) -> Receiver:
        self._thread.start()
        opening = self._loop.create_server(lambda: _Call(self.told), "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(opening, self._loop).result(10)
        self._port: int = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Call(asyncio.Protocol):
    """One delivery: told of only when it has arrived whole."""

    def __init__(self, told: Counter[str]) -> None:
        self._told = told
        self._data = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        if not end:
            return
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
        }
        if len(body) < int(headers.get(b"content-length", b"0")):
            return
        self._told[headers[b"webhook-id"].decode()] += 1
        self._transport.write(_ANSWER)
        self._transport.close()
