"""Files that people download from pages, written while they are sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from litestar.response import Stream
from litestar.types import Message, Receive, Scope, Send

from storekeeper.http.answers import CSV
from storekeeper.web.visit import Visit


class Download(Stream):
    """A CSV file, with the cookies of a session that went on in the same request: a browser that
    lost them would have to log in again."""

    def __init__(self, visit: Visit, text: AsyncIterator[str], name: str) -> None:
        super().__init__(
            text,
            media_type=f"{CSV}; charset=utf-8",
            headers={
                "Content-Disposition": f'attachment; filename="{name}.csv"',
                "Cache-Control": "no-store",
            },
        )
        self._cookies = visit.jar.headers()

    def to_asgi_response(self, app: Any, request: Any, **more: Any) -> Any:
        plain = super().to_asgi_response(app, request, **more)

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            async def with_cookies(message: Message) -> None:
                if message["type"] == "http.response.start":
                    message["headers"] = [*message["headers"], *self._cookies]
                await send(message)

            await plain(scope, receive, with_cookies)

        return answer
