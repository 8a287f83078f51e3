"""A running shop with products and people, and a client that believes nothing undocumented."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
import msgspec
from litestar import Litestar

from storekeeper.app import Shop, build_shop, create_tables
from storekeeper.app.serving import make_asgi
from storekeeper.config import Settings
from storekeeper.domain.accounts import Role
from storekeeper.services.base import BY_SYSTEM
from storekeeper.services.catalog import ProductInput
from storekeeper.services.inventory import ReceiveRequest
from tests.api.contract import Contract
from tests.support import tables
from tests.support.builders import pounds
from tests.support.clock import Clock
from tests.support.ids import Ids

PASSWORD = "correct horse battery"
PEOPLE: dict[str, Role] = {"ada": "customer", "bob": "customer", "sam": "staff", "root": "admin"}
# SKU: price, units at `main`, reorder point.
PRODUCTS: dict[str, tuple[int, int, int | None]] = {
    "MUG": (999, 100, None),
    "LAMP": (2_499, 10, 3),
    "CHAIR": (7_900, 1, None),
}


# What the routes and their document depend on: an identity provider, and the longest body.
Kind = tuple[bool, int]
_contracts: dict[Kind, Contract] = {}
_spare: dict[Kind, list[Litestar]] = {}


class Person(msgspec.Struct, frozen=True):
    """An account that is logged in."""

    id: str
    email: str
    access_token: str
    refresh_token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access_token}"}


class Seed(msgspec.Struct, frozen=True):
    """What a folder with a seeded shop holds; on DynamoDB the tables named after it."""

    folder: str
    people: dict[str, Person]
    products: dict[str, str]
    store: Literal["sqlite", "dynamodb"] = "sqlite"


@dataclass
class Front:
    """The shop, its application and a client, in one event loop with a clock to move."""

    shop: Shop
    app: Litestar
    http: httpx.AsyncClient
    clock: Clock
    seed: Seed
    contract: Contract

    def who(self, name: str) -> dict[str, str]:
        """The headers with which a person is known; none for a guest."""
        return self.seed.people[name].headers if name in self.seed.people else {}

    async def place(
        self, name: str = "ada", *lines: tuple[str, int], key: str | None = None, **fields: Any
    ) -> httpx.Response:
        body = {
            "lines": [
                {"sku": sku, "quantity": quantity} for sku, quantity in lines or (("MUG", 1),)
            ],
            **fields,
        }
        headers = self.who(name) | ({"Idempotency-Key": key} if key else {})
        return await self.http.post("/orders", json=body, headers=headers)

    async def placed(self, name: str = "ada", *lines: tuple[str, int], **fields: Any) -> Any:
        """The order that was placed, as it was answered."""
        answer = await self.place(name, *lines, **fields)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def available(self, sku: str) -> int:
        listed = await self.shop.store.listed([self.seed.products[sku]])  # type: ignore[list-item]
        return next(iter(listed.values())).stock.available


def settings_at(folder: Path, **settings: Any) -> Settings:
    return Settings(
        database=str(folder / "shop.db"),
        **{
            "notify_console": False,
            "requests_per_minute": 0,
            "access_token_seconds": 86_400,
            **settings,
        },
    )


def seed_shop(folder: Path, store: Literal["sqlite", "dynamodb"] = "sqlite") -> Seed:
    """Makes a shop with the people and products above; the tests copy it."""
    settings = settings_at(folder, **(tables.settings_of(folder) if store == "dynamodb" else {}))
    create_tables(settings)

    async def made() -> Seed:
        shop = build_shop(settings, clock=Clock(), new_id=Ids(node=1))
        try:
            await shop.prepare()
            people = {name: await _person(shop, name, role) for name, role in PEOPLE.items()}
            products = {sku: await _product(shop, sku) for sku in PRODUCTS}
        finally:
            await shop.close()
        return Seed(str(folder), people, products, store)

    return asyncio.run(made())


async def _person(shop: Shop, name: str, role: Role) -> Person:
    email = f"{name}@example.com"
    account = await shop.accounts.create(
        BY_SYSTEM, email=email, name=name.title(), role=role, password=PASSWORD
    )
    tokens = await shop.sessions.log_in(email, PASSWORD, client_address="192.0.2.1", client="tests")
    return Person(account.id, email, tokens.access_token, tokens.refresh_token)


async def _product(shop: Shop, sku: str) -> str:
    price, units, threshold = PRODUCTS[sku]
    listed = await shop.catalog.create(
        BY_SYSTEM,
        ProductInput(
            sku=sku,
            name=f"The {sku.lower()}",
            price=pounds(price),
            category="Home",
            tags=("gift",),
            low_stock_threshold=threshold,
        ),
    )
    id = listed.product.id
    await shop.inventory.receive(BY_SYSTEM, ReceiveRequest(product_id=id, quantity=units))
    return id


def _contract_of(app: Litestar, kind: Kind) -> Contract:
    if kind not in _contracts:
        _contracts[kind] = Contract(app.state.documentation.document)
    return _contracts[kind]


@contextmanager
def _app_over(shop: Shop) -> Iterator[tuple[Litestar, Kind]]:
    """Routes that served other tests are taken again: to make them takes longer than most tests."""
    kind = (shop.outside is not None, shop.settings.max_body_bytes)
    spare = _spare.setdefault(kind, [])
    app = make_asgi(shop, spare.pop() if spare else None)
    yield app, kind
    # After a failure they are let go.
    spare.append(app)


@asynccontextmanager
async def front_at(
    folder: Path,
    seed: Seed,
    contract: Contract | None = None,
    *,
    clock: Clock | None = None,
    node: int = 2,
    **settings: Any,
) -> AsyncIterator[Front]:
    """Opens the shop in `folder`, putting a seeded one there first if there is none."""
    if seed.store == "dynamodb":
        await asyncio.to_thread(tables.copy_shop, Path(seed.folder), folder)
        settings = tables.settings_of(folder) | settings
    elif not (folder / "shop.db").exists():
        shutil.copytree(seed.folder, folder, dirs_exist_ok=True)
    clock = clock or Clock()
    shop = build_shop(settings_at(folder, **settings), clock=clock, new_id=Ids(node))
    with _app_over(shop) as (app, kind):
        contract = contract or _contract_of(app, kind)

        async def believe(answer: httpx.Response) -> None:
            await answer.aread()
            contract.check(answer.request, answer)

        transport = httpx.ASGITransport(app=app, client=("192.0.2.7", 5_000))  # type: ignore[arg-type]
        async with (
            app.lifespan(),
            httpx.AsyncClient(
                transport=transport,
                base_url="http://shop.example",
                event_hooks={"response": [believe]},
            ) as http,
        ):
            yield Front(shop, app, http, clock, seed, contract)


@asynccontextmanager
async def in_one_task(context: AbstractAsyncContextManager[Front]) -> AsyncIterator[Front]:
    """Enters and leaves the context in one task; a fixture's two halves run in different ones."""
    ready: asyncio.Future[Front] = asyncio.get_running_loop().create_future()
    end = asyncio.Event()

    async def hold() -> None:
        try:
            async with context as front:
                ready.set_result(front)
                await end.wait()
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    holding = asyncio.create_task(hold())
    try:
        yield await ready
    finally:
        end.set()
        await holding
