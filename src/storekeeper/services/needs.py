"""What waits for somebody: counted by keys, so that it can be asked all day."""

from __future__ import annotations

import asyncio

from storekeeper.domain.orders import OrderState
from storekeeper.domain.types import Struct
from storekeeper.domain.work import Delivery
from storekeeper.services.base import Call, Tools, require
from storekeeper.services.deliveries import SCOPE
from storekeeper.store.port import ProductQuery

# Nobody needs to know how many more there are.
MOST = 10_000
# Products that are out are looked for, and not counted by a key.
MOST_OUT = 100
# They are on a lane with searches; what is known by keys needn't wait for it.
PATIENCE_S = 1.0


class Count(Struct, frozen=True, kw_only=True):
    """How many there are: at least so many with `is_more`; None: not known in time."""

    number: int | None = 0
    is_more: bool = False


class Needs:
    """Asks the store each time; keeps nothing."""

    def __init__(self, tools: Tools, *, most: int = MOST, patience: float = PATIENCE_S) -> None:
        self._store = tools.store
        self._most = most
        self._patience = patience

    async def look(self, call: Call) -> dict[str, Count]:
        """By what it is; what the caller may not see is left out. `confirmed` and
        `partially_shipped`: orders to be shipped. Raises `Forbidden` without orders:read."""
        require(call, "orders:read")
        may = call.principal.may
        asked = {
            "confirmed": self._orders("confirmed"),
            "partially_shipped": self._orders("partially_shipped"),
        }
        if may("products:read"):
            asked["out"] = self._out()
        if may("stock:read"):
            asked["low"] = self._low()
        if may(SCOPE):
            asked["dead"] = self._dead()
        return dict(zip(asked, await asyncio.gather(*asked.values()), strict=True))

    async def _orders(self, state: OrderState) -> Count:
        return self._counted(await self._store.order_count(state, at_most=self._most + 1))

    async def _low(self) -> Count:
        return Count(number=await self._store.low_count())

    async def _dead(self) -> Count:
        return self._counted(
            await self._store.count(Delivery, "state", "dead", at_most=self._most + 1)
        )

    async def _out(self) -> Count:
        try:
            async with asyncio.timeout(self._patience):
                page = await self._store.products(ProductQuery(in_stock=False, limit=MOST_OUT))
        except TimeoutError:
            return Count(number=None)
        return Count(number=len(page.items), is_more=page.next is not None)

    def _counted(self, number: int) -> Count:
        return Count(number=min(number, self._most), is_more=number > self._most)
