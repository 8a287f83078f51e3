"""The places that hold stock."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from storekeeper.domain.changes import ChangeSet, Check, Put, Stale
from storekeeper.domain.errors import AlreadyExists, InUse, Invalid, NotFound, PreconditionFailed
from storekeeper.domain.stock import MAIN, Location
from storekeeper.domain.types import LocationId, ShortText, Struct
from storekeeper.services.base import (
    Call,
    Tools,
    commit_once,
    made_before,
    require,
    with_fresh_reads,
)

MAX_LOCATIONS = 1_000
Code = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=64,
        pattern=r"^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$(?!\n)",
        examples=["shop-2"],
        extra={"form": "small letters, digits and dashes, such as shop-2"},
    ),
]
Priority = Annotated[
    int, msgspec.Meta(ge=0, le=1_000_000, description="Lowest first when orders are allocated.")
]


class LocationInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new place; `id` is its code in the ledger and can't be changed."""

    id: Code
    name: ShortText
    priority: Priority = 0


class LocationPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change; what is left out stays."""

    name: ShortText | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    active: bool | UnsetType = UNSET


class Locations:
    """The use cases of locations. There is always an active one."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store

    async def ensure_defaults(self) -> bool:
        """Makes `main` in a shop that has no location, and answers whether it did."""
        if (await self._store.list_all(Location, limit=1)).items:
            return False
        try:
            main = Location(id=MAIN, version=1, name="Main location")
            await self._store.commit(ChangeSet(puts=(Put(main),)))
        except Stale:
            return False  # another process was faster
        return True

    async def all(self) -> tuple[Location, ...]:
        """All locations by priority, inactive ones last."""
        page = await self._store.list_all(Location, limit=MAX_LOCATIONS)
        return tuple(sorted(page.items, key=lambda x: (not x.active, x.priority, x.id)))

    async def location(self, location_id: str) -> Location:
        found = await self._store.get(Location, location_id)
        if found is None:
            raise NotFound(f"there is no location {location_id}")
        return found

    async def create(self, call: Call, data: LocationInput) -> Location:
        """Raises `AlreadyExists` for a code that is in use."""
        require(call, "stock:write")
        made = await made_before(self._store, call)
        if made is not None:
            return await self.location(made)
        if len(await self.all()) >= MAX_LOCATIONS:
            raise Invalid(f"a shop has at most {MAX_LOCATIONS} locations", field="id")
        location = Location(
            id=LocationId(data.id), version=1, name=data.name, priority=data.priority
        )
        try:
            entry = self._tools.audited(
                call.principal,
                "location.created",
                f"location:{location.id}",
                after=_told(location),
                label=location.name,
            )
            change = ChangeSet(puts=(Put(location), *entry))
            owner = await commit_once(self._store, call, location.id, change)
        except Stale:
            if await made_before(self._store, call) == location.id:
                return await self.location(location.id)
            raise AlreadyExists(f"there is a location {location.id}", field="id") from None
        return await self.location(owner)

    async def change(
        self, call: Call, location_id: str, patch: LocationPatch, if_match: int | None = None
    ) -> Location:
        """Raises `InUse` when it is to close while it holds stock, or as the last one."""
        require(call, "stock:write")

        async def attempt() -> tuple[Location, Location]:
            before = await self.location(location_id)
            if if_match is not None and before.version != if_match:
                raise PreconditionFailed(
                    f"the location is at version {before.version}; read it again",
                    current=before.version,
                )
            after = msgspec.structs.replace(before, **_given(patch))
            if after == before:
                return before, before
            after = msgspec.structs.replace(after, version=before.version + 1)
            closes = before.active and not after.active
            checks = await self._checks_on_closing(before) if closes else ()
            entry = self._audited(call, before, after)
            await self._store.commit(ChangeSet(puts=(Put(after), *entry), checks=checks))
            return before, after

        before, after = await with_fresh_reads(attempt)
        if before.active and not after.active:
            await self._open_again_if_stocked(call, before, after)
        return after

    async def _checks_on_closing(self, location: Location) -> tuple[Check, ...]:
        others = [other for other in await self.all() if other.active and other.id != location.id]
        if not others:
            raise InUse("the last location can't be closed", field="active")
        if await self._store.holds_stock(location.id):
            raise _holds_stock(location)
        # Guards against two admins who close the last two locations at the same time.
        return (Check("Location", others[0].id, others[0].version),)

    async def _open_again_if_stocked(self, call: Call, before: Location, closed: Location) -> None:
        """Stock may have come in between the question and the commit; from then on none can."""
        if await self._store.holds_stock(closed.id):
            again = msgspec.structs.replace(before, version=closed.version + 1)
            await self._store.commit(
                ChangeSet(puts=(Put(again), *self._audited(call, closed, again)))
            )
            raise _holds_stock(closed)

    def _audited(self, call: Call, before: Location, after: Location) -> tuple[Put, ...]:
        return self._tools.audited(
            call.principal,
            "location.changed",
            f"location:{after.id}",
            before=_told(before),
            after=_told(after),
            label=after.name,
        )


def _told(location: Location) -> dict[str, object]:
    return {
        "name": location.name,
        "priority": location.priority,
        "active": location.active,
    }


def _given(patch: LocationPatch) -> dict[str, object]:
    found: dict[str, object] = msgspec.to_builtins(patch)
    return found


def _holds_stock(location: Location) -> InUse:
    return InUse(
        f"{location.name} still holds stock; transfer or count it to zero first", field="active"
    )
