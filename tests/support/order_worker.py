"""A process that places orders as fast as it can and says which were acknowledged.

    python -m tests.support.order_worker ENGINE PLACE NAME COUNT

Prints `ready`, then `KEY ORDER_ID` for each acknowledged order and `KEY -` for each refused one,
then `done`. Made to be killed at any moment.
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
from tests.support.shop import Shop, shop_at

SKUS = ("MUG", "TEA")
CLIENTS = 16


def say(text: str) -> None:
    """One write to the system, so that a kill can't tear it."""
    os.write(1, f"{text}\n".encode())


async def place(shop: Shop, key: str) -> Placed:
    """The one request that belongs to a key; every third is confirmed at once."""
    number = int(key.rsplit("-", 1)[1])
    lines = ((SKUS[0], 1), (SKUS[number % 2], 1 + number % 2))
    request = a_request(*lines, confirm=number % 3 == 0)
    return await shop.checkout.place(a_call(key, "hash"), request)


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
    node = os.getpid() % 4_000
    async with shop_at(ENGINES[engine], folder, node=node) as shop:
        say("ready")
        await asyncio.gather(
            *(client(shop, name, range(first, count, CLIENTS)) for first in range(CLIENTS))
        )
    say("done")


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
