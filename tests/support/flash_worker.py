"""A process that buys one unit an order in a flash sale, beside others on other machines.

    python -m tests.support.flash_worker ENGINE PLACE NAME COUNT

Prints `ready` when its shop is open, waits for a line on stdin, then orders; prints as
`order_worker` does.
"""

from __future__ import annotations

import asyncio
import sys

from storekeeper.services.checkout import Placed
from tests.support.builders import a_call, a_request
from tests.support.order_worker import run
from tests.support.shop import Shop

SKU = "MUG"


async def place(shop: Shop, key: str) -> Placed:
    """The one request that belongs to a key."""
    return await shop.checkout.place(a_call(key, "hash"), a_request((SKU, 1)))


if __name__ == "__main__":
    asyncio.run(run(place, *sys.argv[1:], waits=True))
