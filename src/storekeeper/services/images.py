"""Pictures of products: taken from staff, made safe, kept under a name that says what they hold."""

from __future__ import annotations

import asyncio
import hashlib
import re

from storekeeper.domain.errors import Overloaded
from storekeeper.media.port import Pictures
from storekeeper.services.base import Call, require

MOST_BYTES = 10_000_000
ADDRESS = "/images/"
MEDIA_TYPE = "image/webp"
# Each that waits is in memory as it came.
MOST_WAITING = 8
_DIGITS = 32
_NAME = re.compile(r"[0-9a-f]{32}\.webp")


class Images:
    """One picture is decoded at a time, on a thread: decoding is what takes memory."""

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures
        self._turn = asyncio.Semaphore(1)
        self._waiting = 0

    async def keep(self, call: Call, data: bytes) -> str:
        """The path under which the picture is served from now on.

        Raises `Invalid` for what is no picture, `Overloaded` while too many are being made.
        """
        require(call, "products:write")
        if self._waiting >= MOST_WAITING:
            raise Overloaded("many pictures are being made; try again shortly", retry_after=10)
        self._waiting += 1
        try:
            async with self._turn:
                made = await asyncio.to_thread(_recoded, data)
        finally:
            self._waiting -= 1
        name = f"{hashlib.sha256(made).hexdigest()[:_DIGITS]}.webp"
        await self._pictures.keep(name, made)
        return f"{ADDRESS}{name}"

    async def close(self) -> None:
        await self._pictures.close()

    async def read(self, name: str) -> bytes | None:
        """None for a name that none of ours has."""
        return await self._pictures.read(name) if _NAME.fullmatch(name) else None


def _recoded(data: bytes) -> bytes:
    # The library is loaded with the first picture: most commands never see one.
    from storekeeper.media.recode import recoded

    return recoded(data)
