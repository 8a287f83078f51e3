"""A process that places orders as fast as it can and says which were acknowledged.

    python -m tests.support.order_worker ENGINE PLACE NAME COUNT

Prints `ready`, then `KEY ORDER_ID` for each acknowledged order and `KEY -` for each refused one,
then `done`. Made to be killed at any moment.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from storekeeper.domain.errors import InsufficientStock
from storekeeper.services.checkout import Placed
from tests.contract.engines import ENGINES
from tests.support.builders import a_call, a_request
from tests.support.shop import Shop, shop_at

SKUS = ("MUG", "TEA")
CLIENTS = 16
# Places the one order that belongs to a key.
Place = Callable[[Shop, str], Awaitable[Placed]]


def say(text: str) -> None:
    """One write to the system, so that a kill can't tear it."""
    os.write(1, f"{text}\n".encode())


async def place(shop: Shop, key: str) -> Placed:
    """The one request that belongs to a key; every third is confirmed at once."""
    number = int(key.rsplit("-", 1)[1])
    lines = ((SKUS[0], 1), (SKUS[number % 2], 1 + number % 2))
    request = a_request(*lines, confirm=number % 3 == 0)
    return await shop.checkout.place(a_call(key, "hash"), request)


async def client(shop: Shop, place: Place, name: str, numbers: range) -> None:
    for number in numbers:
        key = f"{name}-{number}"
        try:
            placed = await place(shop, key)
        except InsufficientStock:
            say(f"{key} -")
        else:
            say(f"{key} {placed.order.id}")


async def run(
    place: Place, engine: str, folder: str, name: str, count: str, *, waits: bool = False
) -> None:
    """Orders by `place` as the arguments of the process say; `waits`: after a line on stdin."""
    numbers = range(int(count))
    async with shop_at(ENGINES[engine], Path(folder), node=os.getpid() % 4_000) as shop:
        say("ready")
        if waits:
            await asyncio.to_thread(sys.stdin.readline)
        await asyncio.gather(
            *(client(shop, place, name, numbers[first::CLIENTS]) for first in range(CLIENTS))
        )
    say("done")


if __name__ == "__main__":
    asyncio.run(run(place, *sys.argv[1:]))
