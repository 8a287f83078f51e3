"""The shop's locations, as several pages of the back office name and offer them."""

from __future__ import annotations

from typing import Any

from storekeeper.domain.stock import Location
from storekeeper.services.locations import Locations
from storekeeper.web.visit import Visit


async def locations_of(visit: Visit) -> tuple[Location, ...]:
    """By priority, closed ones last."""
    service: Locations = visit.pages.shop.locations
    return await service.all()


async def places_of(visit: Visit) -> dict[str, Any]:
    """What templates need to offer locations and to name them: `places` and `names`."""
    places = await locations_of(visit)
    return {"places": places, "names": {place.id: place.name for place in places}}


async def location_names(visit: Visit) -> dict[str, str]:
    return {place.id: place.name for place in await locations_of(visit)}
