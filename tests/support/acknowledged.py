"""Proof against loss: what was acknowledged is there, once, and the books agree.

Whoever places the orders (a service in a process, clients over HTTP) notes each acknowledged key
with the order's id; after the crash `examine` asks the reopened store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from storekeeper.domain import events
from storekeeper.domain.orders import Order
from storekeeper.store.port import Difference, Store


@dataclass(frozen=True)
class Findings:
    """What is wrong; nothing, if all is empty. Keys are idempotency keys."""

    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    unannounced: tuple[str, ...]
    differences: tuple[Difference, ...]


CLEAN = Findings(lost=(), doubled=(), unannounced=(), differences=())


async def examine(
    store: Store,
    acknowledged: Mapping[str, str],
    place_again: Callable[[str], Awaitable[str]],
) -> Findings:
    """`acknowledged`: order id by key. `place_again` sends a key's request once more and answers
    the id of the order that it got."""
    kept: dict[str, Order] = {}
    ids = list(acknowledged.values())
    for start in range(0, len(ids), 500):
        kept.update(await store.get_many(Order, ids[start : start + 500]))
    count = await _count(store)
    again = {key: await place_again(key) for key in acknowledged}
    doubled = [key for key, id in again.items() if id != acknowledged[key]]
    if await _count(store) != count:
        doubled.append("(retrying made new orders)")
    told = await _announcements(store)
    return Findings(
        lost=tuple(key for key, id in acknowledged.items() if id not in kept),
        doubled=tuple(doubled),
        unannounced=tuple(key for key, id in acknowledged.items() if told[id] != 1),
        differences=tuple(await store.verify()),
    )


async def _count(store: Store) -> int:
    return sum((await store.summary()).orders.values())


async def _announcements(store: Store) -> Counter[str]:
    """How often each order was announced as placed."""
    told: Counter[str] = Counter()
    at = 0
    while batch := await store.events_after(at, 1_000):
        at = batch[-1].seq
        told.update(
            stored.event.data["order_id"]
            for stored in batch
            if stored.event.kind == events.ORDER_PLACED
        )
    return told
