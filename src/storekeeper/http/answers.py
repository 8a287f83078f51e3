"""Answers of the API: encoded once, sent in two messages.

Litestar's own response builds cookies, background tasks and header lists that a JSON API has no
use for; leaving them out makes an order's answer three times as cheap (benchmarks/http_orders.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from litestar import Response
from litestar.response import Stream
from litestar.types import ASGIApp, Receive, Scope, Send

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode
_JSON = b"application/json"
CSV = "text/csv"


def csv_stream(text: AsyncIterator[str], name: str) -> Stream:
    """A file to keep under that name, sent as it is made."""
    return Stream(
        text,
        media_type=f"{CSV}; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{name}.csv"',
            "Cache-Control": "no-store",
        },
    )


class Answer(Response[T]):
    """A JSON body with a status and headers; documented in OpenAPI like any `Response[T]`.

    `raw_headers` go out as they are; their names are in small letters.
    """

    def __init__(  # the base class' attributes are what is left out here
        self,
        content: T,
        *,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        raw_headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        self.content = content
        self.status_code = status_code
        self._sent_headers = headers
        self._raw_headers = raw_headers
        self._media_type = media_type.encode() if media_type else _JSON

    def to_asgi_response(self, *args: Any, **kwargs: Any) -> ASGIApp:  # type: ignore[override]
        content = self.content
        body = content if isinstance(content, bytes) else _encode(content)
        headers = [
            (b"content-type", self._media_type),
            (b"content-length", b"%d" % len(body)),
            *self._raw_headers,
        ]
        if self._sent_headers:
            for name, value in self._sent_headers.items():
                headers.append((name.lower().encode("latin-1"), value.encode("latin-1")))
        return _Sent(self.status_code or 200, headers, body)


class _Sent:
    __slots__ = ("_body", "_start")

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self._start = {"type": "http.response.start", "status": status, "headers": headers}
        self._body = {"type": "http.response.body", "body": body, "more_body": False}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(self._start)  # type: ignore[arg-type]
        await send(self._body)  # type: ignore[arg-type]
