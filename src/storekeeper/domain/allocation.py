"""Strategies that say which locations provide an order's units."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from storekeeper.domain.ordering import WantedLine
from storekeeper.domain.orders import Allocation
from storekeeper.domain.types import LocationId, ProductId

# Units that can still be ordered: product -> location -> units.
Available = Mapping[ProductId, Mapping[LocationId, int]]
Strategy = Callable[
    [Sequence[WantedLine], Sequence[LocationId], Available], dict[int, tuple[Allocation, ...]]
]


def one_if_possible(
    lines: Sequence[WantedLine], locations: Sequence[LocationId], available: Available
) -> dict[int, tuple[Allocation, ...]]:
    """The first location that can serve the whole order; otherwise by priority."""
    wanted: dict[ProductId, int] = {}
    for line in lines:
        if line.product.track_stock:
            wanted[line.product.id] = wanted.get(line.product.id, 0) + line.quantity
    for location in locations:
        if all(
            available.get(product, {}).get(location, 0) >= units
            for product, units in wanted.items()
        ):
            return from_one(lines, location)
    return by_priority(lines, locations, available)


def by_priority(
    lines: Sequence[WantedLine], locations: Sequence[LocationId], available: Available
) -> dict[int, tuple[Allocation, ...]]:
    """Each line from the locations in their order, as far as each one's units go.

    What no location has is put on the first one, whose guard then names the shortage.
    """
    left = {product: dict(levels) for product, levels in available.items()}
    result: dict[int, tuple[Allocation, ...]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.product.track_stock:
            continue
        need = line.quantity
        taken: dict[LocationId, int] = {}
        levels = left.setdefault(line.product.id, {})
        for location in locations:
            units = max(0, min(need, levels.get(location, 0)))
            if units:
                taken[location] = units
                levels[location] -= units
                need -= units
        if need:
            taken[locations[0]] = taken.get(locations[0], 0) + need
        result[number] = tuple(
            Allocation(location_id=location, quantity=units) for location, units in taken.items()
        )
    return result


def from_one(
    lines: Sequence[WantedLine], location: LocationId
) -> dict[int, tuple[Allocation, ...]]:
    """Every line from one location: what a shop with one location needs, without any reading."""
    return {
        number: (Allocation(location_id=location, quantity=line.quantity),)
        for number, line in enumerate(lines, start=1)
        if line.product.track_stock
    }


STRATEGIES: dict[str, Strategy] = {"one_if_possible": one_if_possible, "priority": by_priority}
