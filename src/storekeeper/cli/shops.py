"""Opens the shop for a command that changes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from storekeeper.config import Settings

if TYPE_CHECKING:
    from storekeeper.app import Shop


@asynccontextmanager
async def opened(
    settings: Settings, clock: Callable[[], datetime] | None = None
) -> AsyncIterator[Shop]:
    """The shop with what every shop has, made where it is missing; no background work."""
    from storekeeper.app import open_shop, utc_now

    async with open_shop(settings, clock=clock or utc_now) as shop:
        await shop.prepare()
        yield shop
