"""A thread that takes whatever waits and answers it together; waiting is bounded.

This is the shape behind group commit: while one batch is being written the next one gathers, so
that one flush to disk, and one wake-up of the event loop, pays for many callers.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from storekeeper.domain.errors import Overloaded, StoreUnavailable

Answer = Any
Work = Callable[[Sequence[Any]], Sequence[Answer]]


class Lane:
    """`work` gets at most `batch` items and answers one result or exception for each, in order.

    `ask` raises `Overloaded` when `capacity` items wait already. Items that are handed in during
    one turn of the event loop travel together, whatever the thread is doing meanwhile.
    """

    def __init__(
        self, name: str, work: Work, *, batch: int, capacity: int, on_start: Callable[[], None]
    ) -> None:
        self._work = work
        self._batch = batch
        self._capacity = capacity
        self._queue: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[Any], Any]] = deque()
        self._gathering: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[Any], Any]] = []
        self._ready = threading.Condition()
        self._closing = False
        self._ended = False
        self._started: threading.Event = threading.Event()
        self._start_error: BaseException | None = None
        self._thread = threading.Thread(
            target=self._run, args=(on_start,), name=f"storekeeper-{name}", daemon=True
        )
        self._thread.start()
        self._started.wait()
        if self._start_error is not None:
            raise self._start_error

    def __len__(self) -> int:
        """How many items wait."""
        return len(self._queue) + len(self._gathering)

    async def ask(self, item: Any) -> Any:
        if self._closing:
            raise StoreUnavailable("the shop is shutting down")
        if len(self) >= self._capacity:
            raise Overloaded("too many requests wait already; try again shortly", retry_after=1)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if not self._gathering:
            # A few turns later, so that requests that were read together are written together.
            loop.call_soon(loop.call_soon, loop.call_soon, self._hand_over)
        self._gathering.append((loop, future, item))
        return await future

    def stop_taking(self) -> None:
        """Refuses what comes from now on. On the event loop, where nothing is just being asked:
        from another thread an item could slip in behind the last batch and wait for ever."""
        self._hand_over()
        with self._ready:
            self._closing = True
            self._ready.notify()

    def close(self) -> None:
        """Answers what waits, then ends the thread. Blocks; call it off the event loop, after
        `stop_taking`."""
        self.stop_taking()
        self._thread.join()

    def _hand_over(self) -> None:
        gathered, self._gathering = self._gathering, []
        if gathered:
            with self._ready:
                self._queue.extend(gathered)
                self._ready.notify()

    def _run(self, on_start: Callable[[], None]) -> None:
        try:
            on_start()
        except BaseException as error:  # handed to the constructor, which raises it
            self._start_error = error
            return
        finally:
            self._started.set()
        while True:
            with self._ready:
                while not self._queue and not self._closing:
                    self._ready.wait()
                if not self._queue:
                    self._ended = True
                    return
                count = min(self._batch, len(self._queue))
                taken = [self._queue.popleft() for _ in range(count)]
            self._answer(taken)

    def _answer(
        self, taken: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[Any], Any]]
    ) -> None:
        try:
            answers = self._work([item for _, _, item in taken])
        except Exception as error:  # a fault of the work itself goes to every caller
            answers = [error] * len(taken)
        loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
        for (loop, future, _), answer in zip(taken, answers, strict=True):
            loops.setdefault(loop, []).append((future, answer))
        for loop, pairs in loops.items():
            # A loop that has closed has nobody left to tell.
            if not loop.is_closed():
                loop.call_soon_threadsafe(_settle, pairs)


def _settle(pairs: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, answer in pairs:
        if future.done():
            continue
        if isinstance(answer, BaseException):
            future.set_exception(answer)
        else:
            future.set_result(answer)
