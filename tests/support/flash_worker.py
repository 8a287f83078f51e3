"""A process that buys one unit an order in a flash sale, beside others on other machines.

    python -m tests.support.flash_worker ENGINE PLACE NAME COUNT

Prints `ready` when its shop is open, waits for a line on stdin, then orders; prints as
`order_worker` does.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from storekeeper.domain.errors import InsufficientStock
from storekeeper.services.checkout import Placed
from tests.contract.engines import ENGINES
from tests.support.builders import a_call, a_request
from tests.support.order_worker import CLIENTS, say
from tests.support.shop import Shop, shop_at

SKU = "MUG"


async def place(shop: Shop, key: str) -> Placed:
    """The one request that belongs to a key."""
    return await shop.checkout.place(a_call(key, "hash"), a_request((SKU, 1)))


async def client(shop: Shop, name: str, numbers: range) -> None:
    for number in numbers:
        key = f"{name}-{number}"
        try:
            placed = await place(shop, key)
        except InsufficientStock:
            say(f"{key} -")
        else:
            say(f"{key} {placed.order.id}")


async def run(engine: str, folder: Path, name: str, count: int) -> None:
    async with shop_at(ENGINES[engine], folder, node=os.getpid() % 4_000) as shop:
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        await asyncio.gather(
            *(client(shop, name, range(first, count, CLIENTS)) for first in range(CLIENTS))
        )
    say("done")


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
