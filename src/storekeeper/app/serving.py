"""The application that a server runs: the API and the pages over one shop.

Apart from `app.shop`, so that commands that serve nothing don't load a web framework.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import AsyncIterator, Sequence
from typing import Any

from litestar import Litestar

from storekeeper.app.shop import Shop
from storekeeper.domain.errors import ShopError
from storekeeper.http.api_keys import ApiKeysController
from storekeeper.http.app import make_routes, put_over
from storekeeper.http.audit import AuditController
from storekeeper.http.auth import Auth
from storekeeper.http.health import Operation
from storekeeper.http.imports import Imports, JobsController
from storekeeper.http.locations import LocationsController
from storekeeper.http.order_notes import OrderNotesController
from storekeeper.http.orders import Orders
from storekeeper.http.outside import OutsideProfiles
from storekeeper.http.products import Products, list_categories
from storekeeper.http.reports import ReportsController
from storekeeper.http.settings import SettingsController
from storekeeper.http.stock import Stock
from storekeeper.http.users import Users
from storekeeper.http.webhooks import DeliveriesController, WebhooksController
from storekeeper.web import PAGES
from storekeeper.web.pages import Pages

HANDLERS: Sequence[Any] = (
    Auth,
    Users,
    ApiKeysController,
    Products,
    list_categories,
    Imports,
    JobsController,
    Stock,
    LocationsController,
    Orders,
    OrderNotesController,
    ReportsController,
    WebhooksController,
    DeliveriesController,
    AuditController,
    SettingsController,
    Operation,
)


def tune_collector() -> None:
    """Keeps the garbage collector from walking the whole application again and again.

    What exists after the start stays; requests make short-lived values that are freed without it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@contextlib.asynccontextmanager
async def work_of_shop(app: Litestar) -> AsyncIterator[None]:
    """Starts the shop's background work, and ends it and the shop."""
    shop: Shop = app.state.shop
    try:
        try:
            await shop.start()
        except ShopError as error:
            # For whoever started the server: uvicorn tells its log alone.
            app.state.not_opened = error
            raise
        tune_collector()
        yield
    finally:
        await shop.stop()
        await shop.close()


def make_asgi(shop: Shop, routes: Litestar | None = None) -> Litestar:
    """The application that a server runs; it starts and ends the shop's background work.

    `routes` of an application whose shop is closed may serve the next one: `routes_for` its
    settings, which are the same then.
    """
    settings = shop.settings
    app = routes or routes_for(shop)
    put_over(
        app,
        shop,
        max_body_bytes=settings.max_body_bytes,
        public_url=settings.public_url,
        pages=Pages(shop, public_url=settings.public_url),
        recent=shop.recent_errors,
    )
    return app


def routes_for(shop: Shop) -> Litestar:
    """All routes, those of an identity provider only where the shop has one."""
    outside = () if shop.outside is None else (OutsideProfiles,)
    return make_routes(
        (*HANDLERS, *outside, *PAGES),
        lifespan=work_of_shop,
        max_body_bytes=shop.settings.max_body_bytes,
    )
