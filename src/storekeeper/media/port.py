"""Where pictures are kept. They never change: under one name there is one picture or none."""

from __future__ import annotations

from typing import Protocol


class Pictures(Protocol):
    """Files by name. Names are ours alone: letters and digits with one dot."""

    async def keep(self, name: str, data: bytes) -> None:
        """Durable when it returns; once more changes nothing. Raises `StoreUnavailable`."""

    async def read(self, name: str) -> bytes | None:
        """None where there is no such picture. Raises `StoreUnavailable`."""

    async def remove(self, name: str) -> None:
        """Nothing where there is no such picture. Raises `StoreUnavailable`."""

    async def close(self) -> None:
        """Lets go of what is open."""
