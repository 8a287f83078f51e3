"""Files that people download from pages, written while they are sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from litestar.response import Stream

from storekeeper.http.imports import CSV
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
        more["encoded_headers"] = [*(more.get("encoded_headers") or ()), *self._cookies]
        return super().to_asgi_response(app, request, **more)
