"""Stock: receiving, adjusting, counting and moving it; every change is a line of the ledger."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

import msgspec

from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import ChangeSet, Check, LevelIs, Short
from storekeeper.domain.errors import Conflict, InsufficientStock, Invalid, NotFound, ShopError
from storekeeper.domain.stock import (
    MAIN,
    AdjustReason,
    Level,
    Location,
    Movement,
    Reason,
    StockTotal,
    require_change,
)
from storekeeper.domain.types import (
    MAX_QUANTITY,
    ONE_LINE,
    LocationId,
    Note,
    ProductId,
    Quantity,
    Sku,
    Struct,
    UnitsCounted,
    fold_sku,
)
from storekeeper.services.base import (
    Call,
    Tools,
    commit_once,
    made_before,
    require,
    with_fresh_reads,
)
from storekeeper.store.port import Listed, MovementQuery, Page, ProductQuery

Reference = Annotated[
    str,
    msgspec.Meta(
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)",
        extra=ONE_LINE,
        description="What it belongs to, such as a delivery note's number.",
    ),
]
Signed = Annotated[
    int,
    msgspec.Meta(
        ge=-MAX_QUANTITY, le=MAX_QUANTITY, description="Units to add, or to take when negative."
    ),
]


class StockRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The product, by `product_id` or `sku`, and what to write into the ledger beside it."""

    product_id: ProductId | None = None
    sku: Sku | None = None
    reference: Reference = ""
    note: Note = ""


class ReceiveRequest(StockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units that arrived at a location."""

    quantity: Quantity
    location_id: LocationId = MAIN


class AdjustRequest(StockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units found or gone, and why."""

    quantity: Signed
    reason: AdjustReason
    location_id: LocationId = MAIN


class CountRequest(StockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many units somebody counted at a location."""

    on_hand: UnitsCounted
    location_id: LocationId = MAIN


class TransferRequest(StockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units that go from one location to another."""

    quantity: Quantity
    from_location_id: LocationId
    to_location_id: LocationId


class ProductStock(Struct, frozen=True, kw_only=True):
    """A product's units: in all, and at each location that ever held some."""

    product: Product
    total: StockTotal
    levels: tuple[Level, ...]


class Shift(Struct, frozen=True, kw_only=True):
    """A change of the units on hand at one location, and the field that named the location."""

    location_id: LocationId
    quantity: int
    reason: Reason
    field: str = "location_id"


Plan = Callable[[Product], Awaitable[tuple[Sequence[Shift], tuple[LevelIs, ...]]]]


class Inventory:
    """The use cases of stock. The answer to a change is the product's stock after it.

    All raise `NotFound` or `Invalid` for a product or location that can't take stock, and
    `InsufficientStock` where less than the reserved units would be left.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store

    async def receive(self, call: Call, request: ReceiveRequest) -> ProductStock:
        async def plan(_: Product) -> tuple[Sequence[Shift], tuple[LevelIs, ...]]:
            shift = Shift(
                location_id=request.location_id, quantity=request.quantity, reason="received"
            )
            return (shift,), ()

        return await self._change(call, request, plan)

    async def adjust(self, call: Call, request: AdjustRequest) -> ProductStock:
        require_change(request.quantity)

        async def plan(_: Product) -> tuple[Sequence[Shift], tuple[LevelIs, ...]]:
            shift = Shift(
                location_id=request.location_id, quantity=request.quantity, reason=request.reason
            )
            return (shift,), ()

        return await self._change(call, request, plan)

    async def count(
        self, call: Call, request: CountRequest, *, seen: int | None = None
    ) -> ProductStock:
        """Sets on hand to what was counted; what moves meanwhile makes it count again.

        Raises `Conflict` unless `seen` units, where that is given, are what is on hand now.
        """

        async def plan(product: Product) -> tuple[Sequence[Shift], tuple[LevelIs, ...]]:
            on_hand = 0
            for level in await self._store.levels([product.id]):
                if level.location_id == request.location_id:
                    on_hand = level.on_hand
            if seen is not None and seen != on_hand:
                raise Conflict(
                    f"there are {on_hand} units on hand now, and no longer {seen}; "
                    "look whether the count still holds",
                    field="on_hand",
                )
            shift = Shift(
                location_id=request.location_id,
                quantity=request.on_hand - on_hand,
                reason="counted",
            )
            return (shift,), (LevelIs(product.id, request.location_id, on_hand),)

        return await self._change(call, request, plan)

    async def transfer(self, call: Call, request: TransferRequest) -> ProductStock:
        """Two movements in one change set: units are never in neither place, nor in both."""
        if request.from_location_id == request.to_location_id:
            raise Invalid("the units are there already", field="to_location_id")

        async def plan(_: Product) -> tuple[Sequence[Shift], tuple[LevelIs, ...]]:
            out = Shift(
                location_id=request.from_location_id,
                quantity=-request.quantity,
                reason="transferred_out",
                field="from_location_id",
            )
            into = Shift(
                location_id=request.to_location_id,
                quantity=request.quantity,
                reason="transferred_in",
                field="to_location_id",
            )
            return (out, into), ()

        return await self._change(call, request, plan)

    async def stock(self, product_id: str) -> ProductStock:
        """The units of a product, in all and by location; raises `NotFound`."""
        id = ProductId(product_id)
        listed = (await self._store.listed([id])).get(id)
        if listed is None:
            raise NotFound(f"there is no product {product_id}")
        levels = await self._store.levels([id])
        return ProductStock(product=listed.product, total=listed.stock, levels=tuple(levels))

    async def levels_at(
        self, location_id: LocationId, product_ids: Sequence[ProductId]
    ) -> dict[ProductId, Level]:
        """What of each product is at one location; those that never were there are left out."""
        found = await self._store.levels(product_ids)
        return {level.product_id: level for level in found if level.location_id == location_id}

    async def overview(self, query: ProductQuery) -> Page[ProductStock]:
        """A page of products with their units, with two questions whatever its length."""
        page = await self._store.products(query)
        levels: dict[ProductId, list[Level]] = {}
        for level in await self._store.levels([item.product.id for item in page.items]):
            levels.setdefault(level.product_id, []).append(level)
        return Page(
            items=tuple(
                ProductStock(
                    product=item.product,
                    total=item.stock,
                    levels=tuple(levels.get(item.product.id, ())),
                )
                for item in page.items
            ),
            next=page.next,
        )

    async def low(self, *, limit: int, cursor: str | None = None) -> Page[Listed]:
        """Active products at or below their reorder point."""
        return await self._store.low_stock(limit=limit, cursor=cursor)

    async def movements(self, query: MovementQuery) -> Page[Movement]:
        """The ledger, newest first."""
        return await self._store.movements(query)

    async def _change(self, call: Call, request: StockRequest, plan: Plan) -> ProductStock:
        require(call, "stock:write")
        made = await made_before(self._store, call)
        if made is not None:
            return await self.stock(made)

        async def attempt() -> str:
            product = await self._named(request)
            shifts, guards = await plan(product)
            await self._require_stocked(product, request, shifts)
            checks = await self._checked_locations(shifts)
            change = ChangeSet(
                checks=(Check("Product", product.id, product.version), *checks),
                levels=guards,
                movements=self._movements(call, request, product, shifts),
            )
            return await commit_once(self._store, call, product.id, change)

        try:
            owner = await with_fresh_reads(attempt)
        except (ShopError, Short) as refused:
            # A retry that raced its first try may meet what that one left behind.
            made = await made_before(self._store, call)
            if made is not None:
                return await self.stock(made)
            if isinstance(refused, Short):
                raise _insufficient(refused) from None
            raise
        return await self.stock(owner)

    async def _named(self, request: StockRequest) -> Product:
        """The product that the request names."""
        if (request.product_id is None) == (request.sku is None):
            raise Invalid("name the product by product_id or by sku", field="product_id")
        if request.sku is not None:
            by_sku = await self._store.products_by_sku([fold_sku(request.sku)])
            product = by_sku.get(fold_sku(request.sku))
        else:
            product = await self._store.get(Product, str(request.product_id))
        if product is None:
            raise NotFound(
                f"there is no product {request.sku or request.product_id}", field=_named_by(request)
            )
        return product

    async def _require_stocked(
        self, product: Product, request: StockRequest, shifts: Sequence[Shift]
    ) -> None:
        """Raises `Invalid` unless the product can take these changes."""
        if not why_no_stock(product):
            return
        places = {level.location_id: level for level in await self._store.levels([product.id])}
        for shift in shifts:
            level = places.get(shift.location_id)
            refusal = why_no_stock(product, level, shift.quantity)
            if refusal:
                raise Invalid(refusal, field=_named_by(request))

    async def _checked_locations(self, shifts: Sequence[Shift]) -> tuple[Check, ...]:
        """The guards that the locations are there; units may leave an inactive one, not come."""
        ids = [shift.location_id for shift in shifts]
        found = await self._store.get_many(Location, ids)
        checks = []
        for shift in shifts:
            location = found.get(shift.location_id)
            if location is None:
                raise Invalid(f"there is no location {shift.location_id}", field=shift.field)
            if shift.quantity > 0 and not location.active:
                raise Invalid(f"{location.name} takes no stock any more", field=shift.field)
            checks.append(Check("Location", location.id, location.version))
        return tuple(checks)

    def _movements(
        self, call: Call, request: StockRequest, product: Product, shifts: Sequence[Shift]
    ) -> tuple[Movement, ...]:
        now = self._tools.clock()
        return tuple(
            Movement(
                id=self._tools.new_id(),
                product_id=product.id,
                location_id=shift.location_id,
                on_hand=shift.quantity,
                reserved=0,
                reason=shift.reason,
                at=now,
                by=call.principal.name,
                reference=request.reference,
                note=request.note,
            )
            for shift in shifts
            if shift.quantity
        )


def _named_by(request: StockRequest) -> str:
    return "product_id" if request.sku is None else "sku"


def why_no_stock(product: Product, level: Level | None = None, change: int = 0) -> str:
    """Why a product can't hold stock; empty for one that can.

    Units that it has all the same at `level` (of an order cancelled since) may be taken away.
    """
    if level is not None and level.on_hand > 0 and change <= 0:
        return ""
    if product.is_parent:
        return f"{product.sku} only groups its variants; stock those"
    if not product.track_stock:
        return f"{product.sku} has no stock to keep (track_stock is false)"
    return ""


def _insufficient(short: Short) -> InsufficientStock:
    lines = [
        {
            "product_id": shortage.product_id,
            "location_id": shortage.location_id,
            "requested": shortage.requested,
            "available": shortage.available,
        }
        for shortage in short.lines
    ]
    place = ", ".join(f"{line['available']} at {line['location_id']}" for line in lines)
    return InsufficientStock(
        f"available are {place}; units reserved by orders can't be taken away", lines=lines
    )
