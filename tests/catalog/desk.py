"""A shop's back office in one object: its services over a real file, and its API."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx

from storekeeper.cache.rates import MemoryRates
from storekeeper.domain.accounts import GUEST, ROLE_SCOPES, Principal
from storekeeper.domain.catalog import Product
from storekeeper.domain.errors import Unauthenticated
from storekeeper.domain.types import AccountId
from storekeeper.http.app import make_app
from storekeeper.http.imports import Imports, JobsController
from storekeeper.http.locations import LocationsController
from storekeeper.http.products import Products, list_categories
from storekeeper.http.stock import Stock
from storekeeper.services.base import Call, Tools
from storekeeper.services.catalog import Catalog
from storekeeper.services.catalog_cache import CatalogCache
from storekeeper.services.checkout import Checkout, LineRequest, PlaceOrder
from storekeeper.services.csv_export import Exporter
from storekeeper.services.csv_import import Importer
from storekeeper.services.inventory import CountRequest, Inventory
from storekeeper.services.jobs import Jobs
from storekeeper.services.locations import Locations
from storekeeper.services.order_changes import OrderChanges
from storekeeper.store.port import Store
from storekeeper.store.sqlite.store import SqliteStore
from storekeeper.telemetry.metrics import Metrics
from tests.support.builders import details
from tests.support.clock import Clock
from tests.support.ids import Ids

HANDLERS = (Products, list_categories, Stock, LocationsController, Imports, JobsController)
ADMIN = Principal(account_id=AccountId("ada"), role="admin", scopes=ROLE_SCOPES["admin"])
STAFF = Principal(account_id=AccountId("sam"), role="staff", scopes=ROLE_SCOPES["staff"])
CUSTOMER = Principal(account_id=AccountId("cy"), role="customer")
BY_ADMIN = Call(principal=ADMIN)
PEOPLE = {"admin": ADMIN, "staff": STAFF, "customer": CUSTOMER}


class Badges:
    """Believes who a request says it is from: `Bearer admin`."""

    def remembered(self, authorization: str) -> Principal | None:
        return PEOPLE.get(authorization.removeprefix("Bearer "))

    async def principal_of(self, authorization: str) -> Principal:
        raise Unauthenticated(f"nobody is {authorization}")


@dataclass
class Desk:
    """The services that admins use; `at` opens one."""

    store: Store
    clock: Clock
    new_id: Ids
    folder: Path
    max_upload_bytes: int = 10_000_000
    tools: Tools = field(init=False)

    def __post_init__(self) -> None:
        self.tools = Tools(store=self.store, clock=self.clock, new_id=self.new_id)
        self.catalog = Catalog(self.tools)
        self.inventory = Inventory(self.tools)
        self.locations = Locations(self.tools)
        self.importer = Importer(self.tools, currency="GBP")
        self.exporter = Exporter(self.tools)
        cache = CatalogCache(self.store)
        self.checkout = Checkout(self.tools, cache, secrets=(b"secret",))
        self.order_changes = OrderChanges(self.tools, cache)
        self.jobs = self.another_runner("this process")

    def another_runner(self, holder: str, **options: Any) -> Jobs:
        return Jobs(
            self.tools,
            self.importer,
            folder=self.folder,
            max_upload_bytes=self.max_upload_bytes,
            holder=holder,
            **options,
        )

    async def create(self, sku: str = "MUG", *, stock: int = 0, **fields: Any) -> Product:
        listed = await self.catalog.create(BY_ADMIN, details(sku, **fields))
        if stock:
            await self.count(sku, stock)
        return listed.product

    async def count(self, sku: str, on_hand: int, location: str = "main") -> None:
        request = CountRequest(sku=sku, on_hand=on_hand, location_id=location)  # type: ignore[arg-type]
        await self.inventory.count(BY_ADMIN, request)

    async def order(self, sku: str, quantity: int = 1) -> str:
        """A guest's pending order, which reserves the units."""
        line = LineRequest(sku=sku, quantity=quantity)
        request = PlaceOrder(lines=(line,), email="guest@example.com")
        return (await self.checkout.place(Call(principal=GUEST), request)).order.id

    async def events(self) -> list[str]:
        return [stored.event.kind for stored in await self.store.events_after(0, 1_000)]

    @contextlib.asynccontextmanager
    async def client(self, who: str = "admin") -> AsyncIterator[httpx.AsyncClient]:
        """Speaks to the API as somebody; as nobody with an empty name."""
        shop = SimpleNamespace(
            tools=self.tools,
            authenticator=Badges(),
            limiter=MemoryRates(0),
            metrics=Metrics(),
            client_of=lambda scope: "test",
            log_request=None,
            catalog=self.catalog,
            inventory=self.inventory,
            locations=self.locations,
            exporter=self.exporter,
            jobs=self.jobs,
            checkout=self.checkout,
            order_changes=self.order_changes,
        )

        @contextlib.asynccontextmanager
        async def lifespan(app: Any) -> AsyncIterator[None]:
            yield

        app = make_app(shop, HANDLERS, lifespan=lifespan, max_body_bytes=100_000)
        headers = {"Authorization": f"Bearer {who}"} if who else {}
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]
        async with httpx.AsyncClient(
            transport=transport, base_url="http://shop", headers=headers
        ) as client:
            yield client


@contextlib.asynccontextmanager
async def desk_at(place: Path, *, node: int = 0, clock: Clock | None = None) -> AsyncIterator[Desk]:
    """The back office of the shop that is kept in the folder `place`."""
    clock, new_id = clock or Clock(), Ids(node)
    store = SqliteStore(place / "shop.db", clock=clock, new_id=new_id)
    try:
        desk = Desk(store=store, clock=clock, new_id=new_id, folder=place / "jobs")
        await desk.locations.ensure_defaults()
        yield desk
    finally:
        await store.close()
