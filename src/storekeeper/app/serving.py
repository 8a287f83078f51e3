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
from storekeeper.http.api_keys import ApiKeysController
from storekeeper.http.app import make_app
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


def make_asgi(shop: Shop) -> Litestar:
    """The application that a server runs; it starts and ends the shop's background work."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        try:
            await shop.start()
            tune_collector()
            yield
        finally:
            await shop.stop()
            await shop.close()

    settings = shop.settings
    outside = () if shop.outside is None else (OutsideProfiles,)
    return make_app(
        shop,
        (*HANDLERS, *outside, *PAGES),
        lifespan=lifespan,
        max_body_bytes=settings.max_body_bytes,
        public_url=settings.public_url,
        pages=Pages(shop, public_url=settings.public_url),
        recent=shop.recent_errors,
    )
