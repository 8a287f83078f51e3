"""Those who ask the same at the same time wait for one answer; nobody's leaving ends the work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Joined(Generic[T]):
    """Work under way, by what was asked."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Task[T]] = {}

    async def ask(
        self, key: Hashable, work: Callable[[], Awaitable[T]], patience: float | None = None
    ) -> T | None:
        """The answer of `work`; None where it isn't there after `patience` seconds: it goes on,
        for whoever asks next. Raises what the work raises."""
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(_of(work), name="joined")
            task.add_done_callback(lambda done: self._ended(key, done))
        done, _ = await asyncio.wait([task], timeout=patience)
        return task.result() if done else None

    def _ended(self, key: Hashable, task: asyncio.Task[T]) -> None:
        self._under_way.pop(key, None)
        if not task.cancelled():
            task.exception()  # whoever still waits is told; else nobody need know


async def _of(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
