"""`/stock`: units by product and location, the changes of them, and the ledger of all changes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from litestar import Controller, Request, get, post
from litestar.params import JSONBody, QueryParameter

from storekeeper.domain import errors
from storekeeper.domain.stock import Level, Movement, Reason
from storekeeper.domain.types import LocationId, ProductId, Struct, fold_sku
from storekeeper.http.answers import Answer
from storekeeper.http.openapi import BEARER, needs_login
from storekeeper.http.paging import Cursor, Limit, PageView, page_answer
from storekeeper.http.parameters import Key, as_utc
from storekeeper.http.products import ProductPath
from storekeeper.http.security import call_of
from storekeeper.services.inventory import (
    AdjustRequest,
    CountRequest,
    Inventory,
    ProductStock,
    ReceiveRequest,
    TransferRequest,
)
from storekeeper.store.port import Listed, MovementQuery

ApiRequest = Request[Any, Any, Any]
MOVING = (
    errors.Invalid,
    errors.NotFound,
    errors.InsufficientStock,
    errors.KeyReused,
    errors.Conflict,
    errors.PayloadTooLarge,
)


class LevelView(Struct, frozen=True, kw_only=True):
    """Units at one location."""

    location_id: str
    on_hand: int
    reserved: int
    available: int


class StockView(Struct, frozen=True, kw_only=True):
    """A product's units, in all and by location."""

    product_id: str
    sku: str
    name: str
    track_stock: bool
    on_hand: int
    reserved: int
    available: int
    low_stock_threshold: int | None
    is_low: bool
    levels: tuple[LevelView, ...]


class LowStockView(Struct, frozen=True, kw_only=True):
    """A product at or below its reorder point."""

    product_id: str
    sku: str
    name: str
    on_hand: int
    reserved: int
    available: int
    low_stock_threshold: int | None


class MovementView(Struct, frozen=True, kw_only=True):
    """A line of the ledger: by how much units on hand and reserved changed, why and by whom."""

    id: str
    product_id: str
    location_id: str
    on_hand: int
    reserved: int
    reason: Reason
    at: datetime
    by: str
    reference: str
    note: str


def level_view(level: Level) -> LevelView:
    return LevelView(
        location_id=level.location_id,
        on_hand=level.on_hand,
        reserved=level.reserved,
        available=level.available,
    )


def stock_view(stock: ProductStock) -> StockView:
    product, total = stock.product, stock.total
    return StockView(
        product_id=product.id,
        sku=product.sku,
        name=product.name,
        track_stock=product.track_stock,
        on_hand=total.on_hand,
        reserved=total.reserved,
        available=total.available,
        low_stock_threshold=product.low_stock_threshold,
        is_low=total.is_low,
        levels=tuple(map(level_view, stock.levels)),
    )


def low_view(listed: Listed) -> LowStockView:
    product, stock = listed.product, listed.stock
    return LowStockView(
        product_id=product.id,
        sku=product.sku,
        name=product.name,
        on_hand=stock.on_hand,
        reserved=stock.reserved,
        available=stock.available,
        low_stock_threshold=stock.threshold,
    )


def movement_view(movement: Movement) -> MovementView:
    return MovementView(
        id=movement.id,
        product_id=movement.product_id,
        location_id=movement.location_id,
        on_hand=movement.on_hand,
        reserved=movement.reserved,
        reason=movement.reason,
        at=movement.at,
        by=movement.by,
        reference=movement.reference,
        note=movement.note,
    )


def inventory_of(request: ApiRequest) -> Inventory:
    found: Inventory = request.app.state.shop.inventory
    return found


class Stock(Controller):
    path = "/stock"
    tags = ["stock"]
    security = BEARER

    @post(
        "/receive",
        access="stock:write",
        status_code=200,
        summary="Receive units",
        responses=needs_login(*MOVING),
    )
    async def receive(
        self, request: ApiRequest, data: JSONBody[ReceiveRequest], idempotency_key: Key = None
    ) -> Answer[StockView]:
        """Puts units on hand at a location; answers the product's stock after it."""
        call = call_of(request, "stock.receive", data, idempotency_key)
        return Answer(stock_view(await inventory_of(request).receive(call, data)))

    @post(
        "/adjust",
        access="stock:write",
        status_code=200,
        summary="Adjust units for a reason",
        responses=needs_login(*MOVING),
    )
    async def adjust(
        self, request: ApiRequest, data: JSONBody[AdjustRequest], idempotency_key: Key = None
    ) -> Answer[StockView]:
        """Adds units, or takes them when `quantity` is negative; never those that are reserved."""
        call = call_of(request, "stock.adjust", data, idempotency_key)
        return Answer(stock_view(await inventory_of(request).adjust(call, data)))

    @post(
        "/count",
        access="stock:write",
        status_code=200,
        summary="Set units by count",
        responses=needs_login(*MOVING),
    )
    async def count(
        self, request: ApiRequest, data: JSONBody[CountRequest], idempotency_key: Key = None
    ) -> Answer[StockView]:
        """Writes the difference to what was counted into the ledger, if there is one."""
        call = call_of(request, "stock.count", data, idempotency_key)
        return Answer(stock_view(await inventory_of(request).count(call, data)))

    @post(
        "/transfer",
        access="stock:write",
        status_code=200,
        summary="Move units to another location",
        responses=needs_login(*MOVING),
    )
    async def transfer(
        self, request: ApiRequest, data: JSONBody[TransferRequest], idempotency_key: Key = None
    ) -> Answer[StockView]:
        """Two movements, both or neither."""
        call = call_of(request, "stock.transfer", data, idempotency_key)
        return Answer(stock_view(await inventory_of(request).transfer(call, data)))

    @get(
        "/low",
        access="stock:read",
        summary="List products that are low",
        responses=needs_login(errors.Invalid),
    )
    async def low(
        self, request: ApiRequest, limit: Limit = 50, cursor: Cursor = None
    ) -> Answer[PageView[LowStockView]]:
        """Active products at or below their low-stock threshold now."""
        page = await inventory_of(request).low(limit=limit, cursor=cursor)
        return page_answer(request, page, low_view)

    @get(
        "/movements",
        access="stock:read",
        summary="List the ledger, newest first",
        responses=needs_login(errors.Invalid),
    )
    async def movements(
        self,
        request: ApiRequest,
        limit: Limit = 50,
        cursor: Cursor = None,
        product_id: Annotated[
            str | None, QueryParameter(max_length=64, description="Only this product's.")
        ] = None,
        sku: Annotated[
            str | None,
            QueryParameter(
                max_length=64, description="Only of the product that has this SKU, in any case."
            ),
        ] = None,
        location_id: Annotated[
            str | None, QueryParameter(max_length=64, description="Only at this location.")
        ] = None,
        reason: Annotated[
            Reason | None, QueryParameter(description="Only movements for this reason.")
        ] = None,
        reference: Annotated[
            str | None,
            QueryParameter(max_length=200, description="Such as `order:ID` or a delivery note."),
        ] = None,
        at_from: Annotated[datetime | None, QueryParameter(description="Inclusive.")] = None,
        at_before: Annotated[datetime | None, QueryParameter(description="Exclusive.")] = None,
    ) -> Answer[PageView[MovementView]]:
        """Every change of stock there ever was; levels are the sums of it."""
        page = await inventory_of(request).movements(
            MovementQuery(
                product_id=ProductId(product_id) if product_id is not None else None,
                sku=fold_sku(sku) if sku is not None else None,
                location_id=LocationId(location_id) if location_id is not None else None,
                reason=reason,
                reference=reference,
                at_from=as_utc(at_from, "at_from"),
                at_before=as_utc(at_before, "at_before"),
                limit=limit,
                cursor=cursor,
            )
        )
        return page_answer(request, page, movement_view)

    @get(
        "/{product_id:str}",
        access="stock:read",
        summary="Read the stock of a product",
        responses=needs_login(errors.NotFound),
    )
    async def read(self, request: ApiRequest, product_id: ProductPath) -> Answer[StockView]:
        """In all, and at each location that ever held some."""
        return Answer(stock_view(await inventory_of(request).stock(product_id)))
