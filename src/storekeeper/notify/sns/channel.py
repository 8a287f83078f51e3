"""A topic as a channel of the relay: events become messages, and those of a moment share a call.

The relay gives each subject's events one by one, so a call holds at most one message of a subject,
and a message is published only after the one before it was taken.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from storekeeper.domain.catalog import Product
from storekeeper.domain.events import STOCK_LOW, Event
from storekeeper.notify.port import Outcome, failed
from storekeeper.notify.sns.client import MOST_BYTES, MOST_ENTRIES, SnsClient, fits
from storekeeper.notify.sns.messages import (
    ORDER_KINDS,
    STOCK_KINDS,
    Message,
    order_message,
    stock_message,
)
from storekeeper.store.port import Store

ORDERS = "sns-orders"
STOCK = "sns-stock"
KINDS = {ORDERS: ORDER_KINDS, STOCK: STOCK_KINDS}
CALLS = 4
# Waits so long for others to share a call with.
GATHER_S = 0.005

Waiting = tuple[Message, "asyncio.Future[Outcome]"]


class SnsTopic:
    """One topic; `name` is `ORDERS` or `STOCK`, and says which events go there."""

    batch = 100
    parallel = CALLS * MOST_ENTRIES
    # SNS keeps its own account of what it took.
    keeps_record = False

    def __init__(self, name: str, topic: str, *, client: SnsClient, store: Store) -> None:
        self.name = name
        self._kinds = frozenset(KINDS[name])
        self._store = store
        self._calls = Calls(lambda messages: client.publish(topic, messages))

    def wants(self, event: Event) -> bool:
        return event.kind in self._kinds

    async def deliver(self, event: Event) -> Outcome:
        try:
            message = await self._message(event)
        except msgspec.ValidationError as error:
            return failed(f"the event doesn't fit the schema: {error}", is_final=True)
        return fits(message) or await self._calls.send(message)

    async def close(self) -> None:
        await self._calls.close()

    async def _message(self, event: Event) -> Message:
        if event.kind != STOCK_LOW:
            return order_message(event)
        return stock_message(event, await self._store.get(Product, event.data["product_id"]))


class Calls:
    """Puts what waits into calls of at most `MOST_ENTRIES` messages and `MOST_BYTES`.

    At most `CALLS` are under way. What waits is what the relay has under way, `parallel` messages.
    """

    def __init__(self, publish: Callable[[Sequence[Message]], Awaitable[list[Outcome]]]) -> None:
        self._publish = publish
        self._waiting: deque[Waiting] = deque()
        self._workers: set[asyncio.Task[None]] = set()

    async def send(self, message: Message) -> Outcome:
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((message, future))
        if len(self._workers) < CALLS:
            worker = asyncio.create_task(self._work(), name="sns calls")
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        return await future

    async def close(self) -> None:
        workers = list(self._workers)
        for worker in workers:
            worker.cancel()
        if workers:
            await asyncio.wait(workers)

    async def _work(self) -> None:
        await asyncio.sleep(GATHER_S)
        while taken := self._take():
            await self._call(taken)
            # Those whose turn it is now come along.
            await asyncio.sleep(GATHER_S)

    def _take(self) -> list[Waiting]:
        taken: list[Waiting] = []
        size = 0
        while self._waiting and len(taken) < MOST_ENTRIES:
            size += self._waiting[0][0].size
            if taken and size > MOST_BYTES:
                break
            message, future = self._waiting.popleft()
            if not future.done():  # whoever waited for it may be gone
                taken.append((message, future))
        return taken

    async def _call(self, taken: Sequence[Waiting]) -> None:
        try:
            outcomes = await self._publish([message for message, _ in taken])
        except asyncio.CancelledError:
            for _, future in taken:
                future.cancel()
            raise
        except Exception as error:
            for _, future in taken:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), outcome in zip(taken, outcomes, strict=True):
            if not future.done():
                future.set_result(outcome)
