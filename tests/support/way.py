"""The way to an engine that speaks AWS's query protocol, which a test blocks, loses, or changes.

Every call goes through to the real engine unless the test says otherwise, and is remembered.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl, urlencode

import httpx

Params = dict[str, str]
# What the engine needs of a call's headers.
KEPT = frozenset({"authorization", "content-type", "x-amz-date"})
ENTRY = "PublishBatchRequestEntries.member."


def refusal(code: str, message: str = "no") -> bytes:
    """A call that is refused as a whole, in the words of SNS."""
    return (
        '<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type>'
        f"<Code>{code}</Code><Message>{message}</Message></Error><RequestId>1</RequestId>"
        "</ErrorResponse>"
    ).encode()


class Way:
    """`url` is where clients go. `before(params, headers)` may answer (status, body) itself."""

    def __init__(self, engine: str, client: httpx.AsyncClient) -> None:
        self._engine = engine
        self._client = client
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.calls: list[Params] = []
        self.headers: list[dict[str, str]] = []
        self.before: Callable[[Params], tuple[int, bytes] | None] = lambda params: None
        # Messages with such a text are kept from the engine and refused by this code.
        self.refused: dict[str, str] = {}
        self.loses_answers = False
        self.is_silent = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def batches(self) -> list[list[str]]:
        """The bodies of the messages in each call that published some."""
        return [
            [value for name, value in call.items() if _is_body(name)]
            for call in self.calls
            if call.get("Action") == "PublishBatch"
        ]

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Connections are refused from now on, and those that are open end."""
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    await self._one(reader, writer)
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        rows = (row.partition(":") for row in head.split("\r\n")[1:] if row)
        headers = {name.strip().lower(): value.strip() for name, _, value in rows}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        params = dict(parse_qsl(body.decode(), keep_blank_values=True))
        self.calls.append(params)
        self.headers.append(headers)
        if self.is_silent:
            await asyncio.Event().wait()
        status, answer = self.before(params) or await self._pass_on(params, headers)
        if self.loses_answers:
            raise ConnectionResetError
        writer.write(
            f"HTTP/1.1 {status} X\r\nContent-Type: text/xml\r\n"
            f"Content-Length: {len(answer)}\r\n\r\n".encode()
            + answer
        )
        await writer.drain()

    async def _pass_on(self, params: Params, headers: dict[str, str]) -> tuple[int, bytes]:
        kept, failed = self._without_refused(params)
        if failed and not any(name.startswith(ENTRY) for name in kept):
            return 200, _batch_answer(failed)
        answer = await self._client.post(
            self._engine,
            content=urlencode(kept),
            headers={name: headers[name] for name in headers if name in KEPT},
        )
        text = answer.text
        if failed:
            text = re.sub(r"<Failed\s*/>|<Failed></Failed>", "", text)
            end = "</PublishBatchResult>"
            text = text.replace(end, f"<Failed>{failed}</Failed>{end}")
        return answer.status_code, text.encode()

    def _without_refused(self, params: Params) -> tuple[Params, str]:
        """The call without the messages that are refused, and their refusals."""
        kept = {name: value for name, value in params.items() if not name.startswith(ENTRY)}
        failed, place = "", 0
        for number in range(1, 11):
            own = f"{ENTRY}{number}."
            entry = {
                name.removeprefix(own): value
                for name, value in params.items()
                if name.startswith(own)
            }
            code = next(
                (self.refused[text] for text in self.refused if text in entry.get("Message", "")),
                "",
            )
            if code:
                failed += (
                    f"<member><Id>{entry['Id']}</Id><Code>{code}</Code><Message>not this one"
                    "</Message><SenderFault>true</SenderFault></member>"
                )
            elif entry:
                place += 1
                kept |= {f"{ENTRY}{place}.{name}": value for name, value in entry.items()}
        return kept, failed


@asynccontextmanager
async def a_way_to(engine: str) -> AsyncIterator[Way]:
    async with httpx.AsyncClient(timeout=30) as client:
        way = Way(engine, client)
        await way.open()
        try:
            yield way
        finally:
            await way.close()


def _is_body(name: str) -> bool:
    return name.startswith(ENTRY) and name.endswith(".Message")


def _batch_answer(failed: str) -> bytes:
    return (
        '<PublishBatchResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">'
        f"<PublishBatchResult><Successful></Successful><Failed>{failed}</Failed>"
        "</PublishBatchResult></PublishBatchResponse>"
    ).encode()
