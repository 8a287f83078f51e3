"""A real HTTP server on this machine that takes webhooks and answers as a test says."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Hook:
    """One request as it came over the wire."""

    line: str
    headers: dict[str, str]
    body: bytes


Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Receiver:
    port: int = 0
    hooks: list[Hook] = field(default_factory=list)
    connections: int = 0
    answer: Callable[[Hook], Answer] = lambda hook: (204, {}, b"")
    silence: asyncio.Event | None = None

    def url(self, path: str = "/hooks", host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *rest = head.split("\r\n")
            headers = {
                name.strip().lower(): value.strip()
                for name, _, value in (row.partition(":") for row in rest if row)
            }
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            hook = Hook(line, headers, body)
            self.hooks.append(hook)
            if self.silence is not None:
                await self.silence.wait()
            status, extra, text = self.answer(hook)
            rows = [f"HTTP/1.1 {status} X", f"content-length: {len(text)}"]
            rows += [f"{name}: {value}" for name, value in extra.items()]
            writer.write("\r\n".join([*rows, "", ""]).encode() + text)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def a_receiver(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        if receiver.silence is not None:
            receiver.silence.set()
        server.close()
        await server.wait_closed()
