"""What is to be taken off the shelves for the orders that wait to be shipped."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from storekeeper.domain.fulfilment import unshipped_at
from storekeeper.domain.orders import Order
from storekeeper.domain.types import LocationId, ProductId, Struct


class Pick(Struct, frozen=True, kw_only=True):
    """Units of a product to take from a location, for so many orders."""

    location_id: LocationId
    product_id: ProductId
    sku: str
    name: str
    units: int
    orders: int


def picks(
    orders: Iterable[Order], restock_to: Callable[[LocationId], LocationId]
) -> tuple[Pick, ...]:
    """The unshipped units of all orders, summed by location and product, in the order of
    locations and SKUs.

    `restock_to` says where the units of a closed location are. What has no stock is on no shelf
    and isn't told.
    """
    units: dict[tuple[LocationId, ProductId], int] = {}
    wanted_by: dict[tuple[LocationId, ProductId], set[str]] = {}
    named: dict[ProductId, tuple[str, str]] = {}
    for order in orders:
        for line in order.lines:
            if not line.tracked:
                continue
            named[line.product_id] = (line.sku, line.name)
            for origin, count in unshipped_at(line).items():
                key = (restock_to(origin), line.product_id)
                units[key] = units.get(key, 0) + count
                wanted_by.setdefault(key, set()).add(order.id)
    found = [
        Pick(
            location_id=place,
            product_id=product,
            sku=named[product][0],
            name=named[product][1],
            units=count,
            orders=len(wanted_by[place, product]),
        )
        for (place, product), count in units.items()
    ]
    return tuple(sorted(found, key=lambda pick: (pick.location_id, pick.sku)))
