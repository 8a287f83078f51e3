"""The store as services see it: commit change sets, answer a small number of named questions.

Every method may be called from any task of the event loop. Errors: `commit` raises the
`Refusal`s of `domain.changes`, `Overloaded` when too much waits, `StoreUnavailable` when nothing
can be written; after any of these nothing of the change set was written.

What is read holds all that had been committed anywhere when it was asked for, or, within a request,
when that began (`store.asking`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, Literal, Protocol, TypeVar

from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import ChangeSet, Claim
from storekeeper.domain.events import Event
from storekeeper.domain.orders import Order, OrderState
from storekeeper.domain.stock import Level, Movement, Reason, StockTotal
from storekeeper.domain.types import AccountId, LocationId, OrderId, ProductId, Struct
from storekeeper.domain.work import Lease

R = TypeVar("R")
T = TypeVar("T")
ProductSort = Literal["name", "-name", "price", "-price", "created", "-created", "relevance"]
SalesBy = Literal["day", "week", "month", "product", "category", "customer"]
StockValueBy = Literal["category", "location"]
# Goes on until the event is set.
Loop = Callable[[asyncio.Event], Awaitable[None]]
# Of "stock", a key is a product's id, and there is no stamp for all of it.
Topic = Literal["accounts", "catalog", "stock"]
# The key of topic "catalog" that any change of any product touches.
ANY_PRODUCT = ""


class Page(Struct, Generic[T], frozen=True, kw_only=True):
    """Some items of a list in a stable order, and where the next ones start (None: no more)."""

    items: tuple[T, ...]
    next: str | None = None


class ProductQuery(Struct, frozen=True, kw_only=True):
    """Which products to list. `words` is full text over name, SKU, description, category, tags.

    Prices in minor units, inclusive. `status` None lists all. `in_stock` as `Listed.in_stock`.
    `is_low`: at or below the reorder point. `location_id`: products with a level there, also of 0.
    """

    words: str = ""
    category: str | None = None
    tag: str | None = None
    min_price: int | None = None
    max_price: int | None = None
    in_stock: bool | None = None
    is_low: bool | None = None
    location_id: LocationId | None = None
    status: Literal["active", "archived"] | None = "active"
    parent_id: str | None = None
    sort: ProductSort = "name"
    limit: int = 50
    cursor: str | None = None


class OrderQuery(Struct, frozen=True, kw_only=True):
    """Which orders to list, newest first. Times: from inclusive, before exclusive."""

    customer_id: AccountId | None = None
    state: OrderState | None = None
    placed_from: datetime | None = None
    placed_before: datetime | None = None
    sku: str | None = None
    number: str | None = None
    limit: int = 50
    cursor: str | None = None


class MovementQuery(Struct, frozen=True, kw_only=True):
    """Which ledger lines to list, newest first. `sku`, folded, names the product that has it now."""

    product_id: ProductId | None = None
    sku: str | None = None
    location_id: LocationId | None = None
    reason: Reason | None = None
    reference: str | None = None
    at_from: datetime | None = None
    at_before: datetime | None = None
    limit: int = 50
    cursor: str | None = None


class Listed(Struct, frozen=True, kw_only=True):
    """A product and its units over all locations.

    `variant_in_stock`: whether an active variant of a parent is in stock; false for all others.
    """

    product: Product
    stock: StockTotal
    variant_in_stock: bool = False

    @property
    def in_stock(self) -> bool:
        """Whether customers can order it now or, of a parent, one of its variants."""
        product = self.product
        if product.is_parent:
            return self.variant_in_stock
        return not product.track_stock or product.allow_backorder or self.stock.available > 0


class StoredEvent(Struct, frozen=True, kw_only=True):
    """An event and its place in the order of commits."""

    seq: int
    event: Event


class Summary(Struct, frozen=True, kw_only=True):
    """The shop in figures. Money in minor units by currency; sales leave out cancelled orders.

    `sold_units` and `revenue` count what was confirmed and not cancelled; returns are apart.
    """

    products: int
    accounts: int
    orders: dict[str, int]
    sold_orders: int
    sold_units: int
    revenue: dict[str, int]
    returns: int
    returned_units: int
    returned_value: dict[str, int]
    units_on_hand: int
    units_reserved: int
    low_products: int
    movements: int


class SalesQuery(Struct, frozen=True, kw_only=True):
    """Which sales to add up, by what. Times of placing: from inclusive, before exclusive.

    `best_first`, of products, categories and customers: of each currency the `limit` keys with the
    most revenue, in one page that has no next.
    """

    by: SalesBy = "day"
    best_first: bool = False
    placed_from: datetime | None = None
    placed_before: datetime | None = None
    limit: int = 50
    cursor: str | None = None


class SalesRow(Struct, frozen=True, kw_only=True):
    """The sales of one key in one currency, counted as in `Summary`; money in minor units.

    `key`: the first day of the bucket in UTC (weeks begin on Monday), the product's id, the folded
    category ("": without one), or the customer's id ("": guests). `sku` and `name` of the product
    or category as they are now. What was returned counts under the time of placing.
    """

    key: str
    sku: str | None
    name: str | None
    currency: str
    orders: int
    units: int
    revenue: int
    returned_units: int
    returned_value: int


class StockValueQuery(Struct, frozen=True, kw_only=True):
    """By what to add up the worth of stock."""

    by: StockValueBy = "category"
    limit: int = 50
    cursor: str | None = None


class StockValueRow(Struct, frozen=True, kw_only=True):
    """Units on hand of one key in one currency, at the products' prices now, in minor units.

    `key`: the folded category ("": without one) or the location's id. `products` of which units
    are on hand, or were sold before they came (`allow_backorder`), which count against it.
    """

    key: str
    name: str | None
    currency: str
    products: int
    units: int
    value: int


class Difference(Struct, frozen=True, kw_only=True):
    """A level that isn't what the ledger or the open orders say it must be."""

    product_id: ProductId
    location_id: LocationId
    what: Literal[
        "on_hand", "reserved", "ledger_reserved", "total_on_hand", "total_reserved", "low"
    ]
    kept: int
    recomputed: int


class ViewDifference(Struct, frozen=True, kw_only=True):
    """An item that other programs are shown and that isn't what the shop says."""

    table: str
    item: str
    what: Literal["missing", "different", "extra"]


class StoreFacts(Struct, frozen=True, kw_only=True):
    """An engine as it describes itself: its name, where it keeps the shop, the bytes of the file
    on this machine, and how many commits of the shop's log that holds, where there is a log."""

    kind: str
    place: str
    file_bytes: int
    entries: int | None = None


class Store(Protocol):
    """One shop's records. Obtained from the composition root, closed by it."""

    async def commit(self, change: ChangeSet) -> None:
        """Makes the whole change set durable, or raises and writes nothing of it."""

    def stamp(self, topic: Topic, key: str) -> int:
        """A number that changes whenever what a topic says of `key` may have changed. Costs no
        I/O: a cache that remembers it knows whether it may trust itself. Of changes on this
        machine at once; of those on another by the next `catch_up` of any task here, which comes
        several times a second."""

    @property
    def identity(self) -> str:
        """Which shop this is: the same on all its nodes, another for a copy of it."""

    def moment(self) -> int | None:
        """How many commits this node knows, in numbers that all nodes of the shop count alike;
        what is read after asking holds all of them. None: it may have missed some. No I/O."""

    def touched(self, topic: Topic, key: str) -> int:
        """The moment of the last change known here that may concern a key: what any node read at
        that moment or later is what this node knows, or newer. As prompt as `stamp`. No I/O."""

    async def catch_up(self) -> None:
        """Returns when this node knows all that had been committed, anywhere, when it was
        called."""

    def lag(self) -> float:
        """Seconds since this node last knew all that was committed anywhere; 0 where it always
        does."""

    async def lease(self, id: str) -> Lease | None:
        """A lease as it is kept at this moment, for all processes of the shop alike."""

    async def hold(self, lease: Lease) -> bool:
        """Keeps a lease in the place of the version before it (1: of none); answers whether it is
        what is kept now, which it is not where another was faster. Safe to do again. Leases are no
        part of what happened in the shop: an engine need not keep any but the last."""

    async def get(self, kind: type[R], id: str) -> R | None: ...

    async def get_many(self, kind: type[R], ids: Sequence[str]) -> dict[str, R]: ...

    async def find(
        self,
        kind: type[R],
        index: str,
        value: str,
        *,
        limit: int = 100,
        cursor: str | None = None,
        newest_first: bool = False,
        also: Mapping[str, str] | None = None,
    ) -> Page[R]:
        """Records of a kind whose indexed field has a value, in the order of their ids, or
        against it with `newest_first`. `also`: values that other indexed fields must have; name
        the rarest first, as all that have it may be looked at."""

    async def list_all(
        self,
        kind: type[R],
        *,
        limit: int = 100,
        cursor: str | None = None,
        newest_first: bool = False,
    ) -> Page[R]:
        """All records of a kind that there are only some of (locations, endpoints, jobs)."""

    async def count(self, kind: type[Any], index: str, value: str, *, at_most: int) -> int:
        """How many records of a kind have a value in an indexed field; past `at_most` it stops
        counting."""

    async def claim(self, scope: str, value: str) -> Claim | None: ...

    async def claims(self, scope: str, values: Sequence[str]) -> dict[str, Claim]: ...

    async def products(self, query: ProductQuery) -> Page[Listed]: ...

    async def listed(self, ids: Sequence[ProductId]) -> dict[ProductId, Listed]:
        """Products with their stock, by id, consistent with each other."""

    async def products_by_sku(self, skus: Sequence[str]) -> dict[str, Product]:
        """By folded SKU."""

    async def categories(self, *, limit: int = 100, cursor: str | None = None) -> Page[str]:
        """The categories of active products, each once, in alphabetical order."""

    async def pictures_in_use(self, addresses: Sequence[str]) -> set[str]:
        """Those of these addresses of pictures that a product has, archived or not."""

    async def holds_stock(self, location_id: LocationId) -> bool:
        """Whether any unit is on hand or reserved at a location."""

    async def levels(self, product_ids: Sequence[ProductId]) -> list[Level]: ...

    async def low_stock(self, *, limit: int = 100, cursor: str | None = None) -> Page[Listed]: ...

    async def movements(self, query: MovementQuery) -> Page[Movement]: ...

    async def orders(self, query: OrderQuery) -> Page[Order]: ...

    async def order_count(self, state: OrderState, *, at_most: int) -> int:
        """How many orders are in a state; past `at_most` it stops counting."""

    async def expired_orders(self, now: datetime, limit: int) -> list[Order]:
        """Pending orders whose reservation ended before `now`, oldest first."""

    async def events_after(self, seq: int, limit: int) -> list[StoredEvent]: ...

    async def last_event_seq(self) -> int: ...

    async def event_at(self, seq: int) -> StoredEvent | None: ...

    async def events_at(self, seqs: Sequence[int]) -> dict[int, StoredEvent]:
        """The events at these places, by place."""

    async def due_deliveries(self, sink: str, now: datetime, limit: int) -> list[Any]:
        """Failing `Delivery`s of a sink whose next try is due, in the order of their events."""

    async def blocked_subjects(self, sink: str, subjects: Sequence[str]) -> set[str]:
        """Those subjects that have a failing delivery in the sink, so that later events wait."""

    async def failing_deliveries(self, sink: str, subjects: Sequence[str], each: int) -> list[Any]:
        """The failing `Delivery`s of these subjects in a sink, at most `each` of one subject and
        those the earliest, in the order of their events."""

    async def purge(self, now: datetime, limit: int) -> int:
        """Removes what has expired (sessions, links, attempts, old deliveries); answers how many."""

    async def customer_count(self) -> int: ...

    async def admins(self) -> list[Any]:
        """The active `Account`s with the admin role."""

    async def low_count(self) -> int: ...

    async def summary(self) -> Summary: ...

    async def sales(self, query: SalesQuery) -> Page[SalesRow]:
        """Sales by day, week, month (in which there were some, oldest first), product, category
        or customer (by key). Never in the way of orders, but as long as the range is large."""

    async def stock_value(self, query: StockValueQuery) -> Page[StockValueRow]:
        """What is on hand and what it would sell for, by key. Looks at every level."""

    async def verify(self) -> list[Difference]:
        """Recomputes every level from the ledger and from the open orders."""

    async def verify_views(self) -> list[ViewDifference]:
        """Compares what this engine shows other programs with the shop, after bringing it up to
        date; nothing where it shows nothing."""

    def loops(self) -> dict[str, Loop]:
        """Work of this engine that one process of the shop does at a time, by name; each goes on
        until its event is set."""

    async def gauges(self) -> dict[str, float]:
        """Figures that only this engine has, by their names in `/metrics`."""

    async def facts(self) -> StoreFacts:
        """What this engine says of itself, for operators."""

    def scan(self, kind: type[R], *, batch: int = 500) -> AsyncIterator[Sequence[R]]:
        """Every record of a kind, for export, copy and verify; never on a request's path."""

    def scan_movements(self, *, batch: int = 500) -> AsyncIterator[Sequence[Movement]]: ...

    async def check_writable(self) -> None:
        """Raises `StoreUnavailable` unless a write would succeed now."""

    async def rest(self) -> None:
        """Gives back memory that a large piece of work, which has ended, left in caches."""

    def queue_depth(self) -> int: ...

    async def close(self) -> None:
        """Finishes what waits, then lets go of everything."""


def unique(values: Iterable[R]) -> list[R]:
    """Each value once, in the order of first sight."""
    return list(dict.fromkeys(values))


__all__ = [
    "Difference",
    "Listed",
    "Loop",
    "MovementQuery",
    "OrderId",
    "OrderQuery",
    "Page",
    "ProductQuery",
    "ProductSort",
    "SalesBy",
    "SalesQuery",
    "SalesRow",
    "StockValueBy",
    "StockValueQuery",
    "StockValueRow",
    "Store",
    "StoreFacts",
    "StoredEvent",
    "Summary",
    "Topic",
    "ViewDifference",
    "unique",
]
