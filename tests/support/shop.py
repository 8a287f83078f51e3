"""A shop in one object: a store with what services need around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import ChangeSet
from storekeeper.domain.stock import MAIN, Level
from storekeeper.services.base import Tools
from storekeeper.services.catalog_cache import CatalogCache
from storekeeper.services.checkout import Checkout
from storekeeper.services.order_changes import OrderChanges
from storekeeper.store.port import Store
from tests.support.builders import a_product, creating, moving
from tests.support.clock import Clock
from tests.support.ids import Ids

T = TypeVar("T")
SECRETS = (b"a secret for guests' links",)


class Engine(Protocol):
    """Opens the shop that is kept at `place`, making it where there is none.

    Opened twice at one place, both see the same shop.
    """

    def __call__(
        self, place: Path, *, clock: Clock, new_id: Ids, **limits: int
    ) -> Awaitable[Store]: ...


@dataclass
class Shop:
    """A store, the tools to change it, and the checkout in front of it."""

    store: Store
    clock: Clock
    new_id: Ids
    checkout: Checkout = field(init=False)
    order_changes: OrderChanges = field(init=False)
    catalog: CatalogCache = field(init=False)
    tools: Tools = field(init=False)

    def __post_init__(self) -> None:
        self.tools = Tools(store=self.store, clock=self.clock, new_id=self.new_id)
        self.catalog = CatalogCache(self.store)
        self.checkout = Checkout(self.tools, self.catalog, secrets=SECRETS)
        self.order_changes = OrderChanges(self.tools, self.catalog)

    async def sell(self, sku: str = "MUG", stock: int = 0, **fields: Any) -> Product:
        """A new product with that many units at `main`."""
        product = a_product(sku, **fields)
        change = creating(product)
        await self.store.commit(change + moving(product, stock) if stock else change)
        return product

    async def on_hand(self, product: Product, location: str = MAIN) -> int:
        return (await self.level(product, location)).on_hand

    async def level(self, product: Product, location: str = MAIN) -> Level:
        for level in await self.store.levels([product.id]):
            if level.location_id == location:
                return level
        return Level(product_id=product.id, location_id=location, on_hand=0, reserved=0)  # type: ignore[arg-type]


@asynccontextmanager
async def shop_at(
    engine: Engine, place: Path, *, clock: Clock | None = None, node: int = 0, **limits: int
) -> AsyncIterator[Shop]:
    """The shop kept at `place`, closed at the end."""
    clock, new_id = clock or Clock(), Ids(node)
    store = await engine(place, clock=clock, new_id=new_id, **limits)
    try:
        yield Shop(store=store, clock=clock, new_id=new_id)
    finally:
        await store.close()


async def outcomes(store: Store, changes: Iterable[ChangeSet]) -> list[BaseException | None]:
    """Commits all at the same time; None or the refusal for each, in the order of arrival."""
    return await asyncio.gather(
        *(store.commit(change) for change in changes), return_exceptions=True
    )
