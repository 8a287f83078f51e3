"""A node that is killed at a step of its commit that no proxy can see.

    python -m tests.support.interrupted_node FOLDER NUMBER ENDPOINT STEP

Places the large order and kills itself `before the replica`, when the log has the entry and the
replica's file doesn't, or `before the answer`, when both have it; at another STEP it goes on until
somebody else kills it, and prints `placed` if nobody does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from storekeeper.store.dynamodb import parts
from storekeeper.store.dynamodb.follower import Follower
from tests.support.builders import a_call, a_request
from tests.support.nodes import node
from tests.support.order_worker import say
from tests.support.shop import Shop

LINES = 1_114
# So that the order lies in several parts, as one of tens of thousands of lines does.
PART_BYTES = 20_000


def sku(number: int) -> str:
    return f"SKU-{number:04}"


async def place(shop: Shop, key: str) -> str:
    """The large order that belongs to a key: one unit of everything."""
    lines = [(sku(number), 1) for number in range(LINES)]
    placed = await shop.checkout.place(a_call(key, "hash"), a_request(*lines))
    return placed.order.id


def killing_after(method: Callable[..., Any]) -> Callable[..., Any]:
    def done(*arguments: Any) -> Any:
        method(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    return done


async def run(folder: Path, number: int, endpoint: str, step: str) -> None:
    parts.PART_BYTES = PART_BYTES
    async with node(folder, number, endpoint) as shop:
        await shop.store.catch_up()
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        if step == "before the replica":
            Follower._seal = killing_after(Follower._seal)  # type: ignore[method-assign]
        if step == "before the answer":
            Follower.commit = killing_after(Follower.commit)  # type: ignore[method-assign]
        say(f"placed {await place(shop, step)}")


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]))
