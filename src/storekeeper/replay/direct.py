"""Plays through the shop's own services, as the API does, with the clock set to the file's times."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Protocol

from storekeeper.domain.accounts import SYSTEM
from storekeeper.domain.catalog import ProductDetails
from storekeeper.domain.changes import ChangeSet, Put, Stale
from storekeeper.domain.errors import Conflict, InUse
from storekeeper.domain.orders import Order
from storekeeper.domain.types import AccountId, OrderId, ProductId, fold_sku
from storekeeper.domain.work import Position
from storekeeper.replay import requests
from storekeeper.replay.comparison import ShopFigures
from storekeeper.replay.driver import together
from storekeeper.replay.happenings import Adjustment, Return, Sale
from storekeeper.replay.script import CURRENCY, Person, Script, Stage
from storekeeper.services.accounts import Accounts, NewAccount
from storekeeper.services.base import BY_SYSTEM, Call, fingerprint
from storekeeper.services.catalog import Catalog
from storekeeper.services.checkout import Checkout
from storekeeper.services.inventory import Inventory
from storekeeper.services.order_changes import OrderChanges
from storekeeper.store.port import Store

AT_ONCE = 64
CHUNK = 500


class Clock:
    """What time it is for the happening that a task plays; the present for everybody else."""

    def __init__(self) -> None:
        self._at: ContextVar[datetime | None] = ContextVar("storekeeper-replay-time", default=None)
        # The store's own thread asks too (for the events of low stock) and belongs to no task.
        self.latest: datetime | None = None

    def __call__(self) -> datetime:
        return self._at.get() or self.latest or datetime.now(UTC)

    def set(self, at: datetime) -> None:
        """Sets the time of the task that calls."""
        self._at.set(at)
        self.latest = at


class ReplayShop(Protocol):
    """What of a shop a replay needs."""

    @property
    def store(self) -> Store: ...
    @property
    def catalog(self) -> Catalog: ...
    @property
    def inventory(self) -> Inventory: ...
    @property
    def accounts(self) -> Accounts: ...
    @property
    def checkout(self) -> Checkout: ...
    @property
    def order_changes(self) -> OrderChanges: ...


OpenShop = Callable[[Clock], AbstractAsyncContextManager[ReplayShop]]


class DirectClient:
    """`shop` must have been built with `clock`.

    Raises `InUse` for a shop that has orders or products of its own: the figures in the end are
    the whole shop's.
    """

    at_once = AT_ONCE

    def __init__(self, shop: ReplayShop, clock: Clock) -> None:
        self._shop = shop
        self._clock = clock
        self._accounts: dict[str, AccountId] = {}
        self._position = Position(id="", version=0, at=-1)

    async def begin(self, script: Script) -> int:
        # Products, people and opening stock are from just before the first happening.
        self._clock.set(script.begins_at)
        id = position_id(script.id)
        found = await self._shop.store.get(Position, id)
        if found is None:
            await self._require_empty()
            found = Position(id=id, version=0, at=-1)
            self._position = found
            # Kept before anything is made, so that a kill during the preparation can be resumed.
            await self.reached(-1)
            return -1
        self._position = found
        return found.at

    async def reached(self, count: int) -> None:
        before = self._position
        self._position = Position(id=before.id, version=before.version + 1, at=count)
        try:
            await self._shop.store.commit(ChangeSet(puts=(Put(self._position),)))
        except Stale:
            raise Conflict("another replay of this file is running in this shop") from None

    async def add_products(self, products: Sequence[ProductDetails]) -> None:
        there = await self._shop.store.products_by_sku([fold_sku(one.sku) for one in products])

        async def add(details: ProductDetails) -> None:
            await self._shop.catalog.create(
                _call(requests.product_key(details.sku), details), details
            )

        await together(add(one) for one in products if fold_sku(one.sku) not in there)

    async def add_stock(self, units: Mapping[str, int]) -> None:
        async def add(sku: str, quantity: int) -> None:
            request = requests.receipt(sku, quantity)
            await self._shop.inventory.receive(_call(requests.opening_key(sku), request), request)

        await together(add(sku, quantity) for sku, quantity in units.items())

    async def add_people(self, people: Mapping[str, Person]) -> None:
        accounts = await self._shop.accounts.create_many(
            BY_SYSTEM, [NewAccount(email=one.email, name=one.name) for one in people.values()]
        )
        for customer_id, account in zip(people, accounts, strict=True):
            self._accounts[customer_id] = account.id

    async def sell(self, sale: Sale, stage: Stage) -> None:
        self._clock.set(sale.at)
        order = await self._place(sale, stage)
        if stage == "shipped":
            call = _call(requests.shipping_key(sale), order.id)
            await self._shop.order_changes.ship(call, order.id, lines=None)

    async def order_id(self, sale: Sale) -> str:
        return (await self._place(sale, "shipped")).id

    async def take_back(
        self, returned: Return, sale: Sale, order_id: str, units: Mapping[int, int]
    ) -> None:
        self._clock.set(returned.at)
        lines = requests.returned_lines(units)
        await self._shop.order_changes.take_back(
            _call(requests.return_key(returned, sale), lines),
            OrderId(order_id),
            lines=lines,
            reason=requests.reason(returned),
        )

    async def adjust(self, by: Return | Adjustment, sku: str, units: int, note: str) -> None:
        self._clock.set(by.at)
        request = requests.adjustment(by, sku, units, note)
        await self._shop.inventory.adjust(_call(requests.adjustment_key(by, sku), request), request)

    async def figures(self, script: Script) -> ShopFigures:
        store = self._shop.store
        summary = await store.summary()
        return ShopFigures(
            orders=summary.sold_orders,
            units=summary.sold_units,
            revenue=summary.revenue.get(CURRENCY, 0),
            returned_units=summary.returned_units,
            on_hand=await on_hand_by_sku(store, script),
        )

    async def _place(self, sale: Sale, stage: Stage) -> Order:
        customer = sale.customer_id
        account_id = self._accounts[customer] if customer is not None else None
        request = requests.order(sale, account_id, stage)
        placed = await self._shop.checkout.place(_call(requests.order_key(sale), request), request)
        return placed.order

    async def _require_empty(self) -> None:
        summary = await self._shop.store.summary()
        if summary.products or summary.orders:
            raise InUse(
                "a replay needs a shop without products and orders, as its figures are the whole "
                "shop's; name a new file with --database"
            )


def position_id(script_id: str) -> str:
    """Under which record a shop keeps how far a script has been played in it."""
    return f"replay:{script_id}"


async def on_hand_by_sku(store: Store, script: Script) -> dict[str, int]:
    """Units on hand of the script's products that have stock."""
    skus = {fold_sku(one.sku): one.sku for one in script.products if one.track_stock}
    folded = list(skus)
    found: dict[str, int] = {}
    for start in range(0, len(folded), CHUNK):
        products = await store.products_by_sku(folded[start : start + CHUNK])
        listed = await store.listed([product.id for product in products.values()])
        for sku, product in products.items():
            found[skus[sku]] = listed[ProductId(product.id)].stock.on_hand
    return found


def _call(key: str, what: object) -> Call:
    """The system's call under a key of the replay's own."""
    return Call(principal=SYSTEM, key=key, fingerprint=fingerprint("replay", what))
