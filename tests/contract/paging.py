"""Walking through a list page by page, as a client does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from storekeeper.store.port import Page

Turn = Callable[[int, str | None], Awaitable[Page[Any]]]


async def pages(turn: Turn, limit: int) -> list[tuple[Any, ...]]:
    """Every page of a list, turned with the cursor that the one before gave."""
    found = []
    cursor = None
    while True:
        page = await turn(limit, cursor)
        found.append(page.items)
        if page.next is None:
            return found
        cursor = page.next


async def all_items(turn: Turn, limit: int = 3) -> list[Any]:
    return [item for page in await pages(turn, limit) for item in page]
