"""`/locations`: the places that hold stock."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Controller, Request, get, patch, post
from litestar.params import JSONBody, PathParameter

from storekeeper.domain import errors
from storekeeper.domain.stock import Location
from storekeeper.domain.types import Struct
from storekeeper.http.answers import Answer
from storekeeper.http.openapi import BEARER, ETAG, needs_login
from storekeeper.http.paging import PageView
from storekeeper.http.parameters import IfMatch, Key
from storekeeper.http.security import call_of, principal_of, version_of
from storekeeper.services.base import Call
from storekeeper.services.locations import LocationInput, LocationPatch, Locations

ApiRequest = Request[Any, Any, Any]
LocationPath = Annotated[str, PathParameter(max_length=64, description="The location's `id`.")]
KEEPING = (errors.Invalid, errors.Conflict, errors.PayloadTooLarge)


class LocationView(Struct, frozen=True, kw_only=True):
    """Orders take stock from active locations, lowest `priority` first."""

    id: str
    version: int
    name: str
    priority: int
    active: bool


def location_view(location: Location) -> LocationView:
    return LocationView(
        id=location.id,
        version=location.version,
        name=location.name,
        priority=location.priority,
        active=location.active,
    )


def answer(location: Location, *, status: int = 200) -> Answer[LocationView]:
    headers = {"ETag": f'"{location.version}"'}
    if status == 201:
        headers["Location"] = f"/locations/{location.id}"
    return Answer(location_view(location), status_code=status, headers=headers)


def locations_of(request: ApiRequest) -> Locations:
    found: Locations = request.app.state.shop.locations
    return found


class LocationsController(Controller):
    path = "/locations"
    tags = ["stock"]
    security = BEARER

    @get("/", access="stock:read", summary="List the locations", responses=needs_login())
    async def list_locations(self, request: ApiRequest) -> Answer[PageView[LocationView]]:
        """All of them (a shop has few), by priority, inactive ones last."""
        found = await locations_of(request).all()
        return Answer(PageView(items=tuple(map(location_view, found))))

    @post(
        "/",
        access="stock:write",
        summary="Add a location",
        responses=needs_login(*KEEPING, errors.AlreadyExists, errors.KeyReused),
        response_headers=[ETAG],
    )
    async def create(
        self, request: ApiRequest, data: JSONBody[LocationInput], idempotency_key: Key = None
    ) -> Answer[LocationView]:
        """Its `id` is its code in the ledger, for ever."""
        call = call_of(request, "locations.create", data, idempotency_key)
        return answer(await locations_of(request).create(call, data), status=201)

    @get(
        "/{location_id:str}",
        access="stock:read",
        summary="Read a location",
        responses=needs_login(errors.NotFound),
        response_headers=[ETAG],
    )
    async def read(self, request: ApiRequest, location_id: LocationPath) -> Answer[LocationView]:
        """By its code."""
        return answer(await locations_of(request).location(location_id))

    @patch(
        "/{location_id:str}",
        access="stock:write",
        summary="Rename, reorder, close or open a location",
        responses=needs_login(*KEEPING, errors.NotFound, errors.InUse, errors.PreconditionFailed),
        response_headers=[ETAG],
    )
    async def change(
        self,
        request: ApiRequest,
        location_id: LocationPath,
        data: JSONBody[LocationPatch],
        if_match: IfMatch = None,
    ) -> Answer[LocationView]:
        """`active` false closes it: refused while it holds stock, or for the last one."""
        location = await locations_of(request).change(
            Call(principal=principal_of(request)), location_id, data, version_of(if_match)
        )
        return answer(location)
