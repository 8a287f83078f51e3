"""The picking list: what the orders that wait to be shipped need from each location."""

from __future__ import annotations

from storekeeper.domain.orders import Order, OrderState
from storekeeper.domain.picking import Pick, picks
from storekeeper.domain.types import LocationId, Struct
from storekeeper.services.base import Call, Tools, require
from storekeeper.services.catalog_cache import CatalogCache
from storekeeper.store.port import OrderQuery

WAITING: tuple[OrderState, ...] = ("confirmed", "partially_shipped")
# More than one person carries in a day; the newest of them come first.
MOST_ORDERS = 1_000
_PAGE = 200


class PickingList(Struct, frozen=True, kw_only=True):
    """What to pick for so many orders; `is_all` is false where more of them wait."""

    picks: tuple[Pick, ...]
    orders: int
    is_all: bool

    @property
    def units(self) -> int:
        return sum(pick.units for pick in self.picks)


class Picking:
    """Reads orders only; picking changes nothing until the order is shipped."""

    def __init__(self, tools: Tools, catalog: CatalogCache) -> None:
        self._store = tools.store
        self._catalog = catalog

    async def list(self, call: Call, location_id: LocationId | None = None) -> PickingList:
        """For all orders that are confirmed and not all shipped, or the share of one location."""
        require(call, "orders:read")
        # By id, as one that is shipped in part right now may be met in both states.
        orders: dict[str, Order] = {}
        is_all = True
        for state in WAITING:
            cursor: str | None = None
            while True:
                left = MOST_ORDERS - len(orders)
                page = await self._store.orders(
                    OrderQuery(state=state, limit=min(_PAGE, left + 1), cursor=cursor)
                )
                orders.update({order.id: order for order in page.items[:left]})
                is_all = is_all and len(page.items) <= left
                cursor = page.next
                if cursor is None or not is_all:
                    break
        places = await self._catalog.locations()
        found = picks(orders.values(), lambda place: place if place in places else places[0])
        if location_id is not None:
            found = tuple(pick for pick in found if pick.location_id == location_id)
        return PickingList(picks=found, orders=len(orders), is_all=is_all)
