"""`/settings`: what a shop's owners change while it is open."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, get, put
from litestar.params import JSONBody

from storekeeper.domain import errors
from storekeeper.domain.shop_settings import InForce, ShopSettings, ShopValues
from storekeeper.domain.types import Struct
from storekeeper.http.answers import Answer
from storekeeper.http.openapi import BEARER, needs_login
from storekeeper.http.parameters import IfMatch
from storekeeper.http.security import call_of, version_of
from storekeeper.services.live_settings import SCOPE, LiveSettings

ApiRequest = Request[Any, Any, Any]


class SettingsInput(ShopValues, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings anew; what is left out or null is again as the operator set it.

    `reservation_minutes` counts for orders that are placed from then on. `low_stock_threshold`
    stands in the form of a new product.
    """


class SettingsView(Struct, frozen=True, kw_only=True):
    """`values` were set here; null: not. `in_force` is what holds, with what the operator set."""

    version: int
    values: ShopValues
    in_force: InForce


class SettingsController(Controller):
    path = "/settings"
    tags = ["settings"]
    security = BEARER

    @get("/", access=SCOPE, summary="Read the shop's settings", responses=needs_login())
    async def read(self, request: ApiRequest) -> Answer[SettingsView]:
        """Version 0: nothing was set yet."""
        return await answer(settings_of(request))

    @put(
        "/",
        access=SCOPE,
        summary="Change the shop's settings",
        responses=needs_login(errors.Invalid, errors.PreconditionFailed, errors.Conflict),
    )
    async def change(
        self, request: ApiRequest, data: JSONBody[SettingsInput], if_match: IfMatch = None
    ) -> Answer[SettingsView]:
        """In force at once on this machine, and within seconds on every other."""
        live = settings_of(request)
        await live.change(call_of(request, "", None, None), data, version_of(if_match))
        return await answer(live)


async def answer(live: LiveSettings) -> Answer[SettingsView]:
    kept = await live.kept()
    view = SettingsView(
        version=0 if kept is None else kept.version,
        values=values_of(kept),
        in_force=live.with_defaults(kept),
    )
    return Answer(view, headers={"ETag": f'"{view.version}"'})


def values_of(kept: ShopSettings | None) -> ShopValues:
    """What was set, without the record around it."""
    if kept is None:
        return ShopValues()
    return ShopValues(**{name: getattr(kept, name) for name in ShopValues.__struct_fields__})


def settings_of(request: ApiRequest) -> LiveSettings:
    found: LiveSettings = request.app.state.shop.live_settings
    return found
