"""A Valkey server for one test, a line to it that can be cut, and patience without guessing."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Literal

from valkey import Valkey

from tests.support import local_engines
from tools.engines.launch import Running, running

PATIENCE_S = 20.0
Mode = Literal["pass", "hang", "slow", "nonsense", "numbers"]


@contextlib.contextmanager
def a_server(port: int | None = None) -> Iterator[Running]:
    """A server of its own, gone at the end; on a port to come back to."""
    local_engines.engine("valkey")  # skips, with a line that says so, where there is none
    with running("valkey", port=port) as started:
        yield started


def url_of(server: Running | Line) -> str:
    return f"valkey://127.0.0.1:{server.port}/0"


def told(server: Running) -> Any:
    """A plain client, to look into the server and to lie to it."""
    return Valkey(port=server.port, socket_timeout=PATIENCE_S)


async def eventually(condition: Callable[[], object]) -> None:
    """Returns when it holds; fails when it doesn't in time."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it didn't happen in time"
        await asyncio.sleep(0.005)


class Line:
    """Between the shop and a server: passes on, hangs, answers late, talks nonsense, or
    answers everything with a number.

    `asked` counts what came through, in pieces as they were sent.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self.mode: Mode = "pass"
        self.asked = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        answers = asyncio.create_task(self._pass_back(there, writer))
        with contextlib.suppress(OSError):
            while piece := await reader.read(65_536):
                self.asked += 1
                if self.mode == "nonsense":
                    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                elif self.mode == "numbers":
                    writer.write(b":7\r\n" * piece.count(b"*"))
                elif self.mode != "hang":
                    back.write(piece)
        answers.cancel()
        back.close()
        writer.close()

    async def _pass_back(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await there.read(65_536):
            if self.mode == "slow":
                await asyncio.sleep(0.01)
            if self.mode != "hang":
                writer.write(piece)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Line]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(server.sockets[0].getsockname()[1])
        try:
            yield self
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)
