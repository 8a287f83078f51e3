"""`/orders`: placing, following, and what staff do with them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import JSONBody, PathParameter, QueryParameter

from storekeeper.domain import errors
from storekeeper.domain.accounts import Principal
from storekeeper.domain.orders import (
    LineQuantity,
    OrderState,
)
from storekeeper.domain.types import AccountId, LocationId, Note, OrderId, Struct, fold_sku
from storekeeper.http.answers import Answer
from storekeeper.http.openapi import BEARER, NO_LOGIN_NEEDED, needs_login, problems_of
from storekeeper.http.order_views import OrderView, answer, order_view
from storekeeper.http.paging import Cursor, Limit, PageView, page_answer
from storekeeper.http.parameters import IfMatch, Key, as_utc
from storekeeper.http.security import (
    PUBLIC,
    SIGNED_IN_OR_KEY,
    call_by,
    call_of,
    principal_of,
    version_of,
)
from storekeeper.services.base import Call
from storekeeper.services.checkout import Checkout, PlaceOrder
from storekeeper.services.order_changes import OrderChanges
from storekeeper.services.order_numbers import normal_number
from storekeeper.store.port import OrderQuery

OrderPath = Annotated[str, PathParameter(max_length=64, description="The order's `id`.")]
Token = Annotated[
    str | None,
    QueryParameter(max_length=128, description="The secret of a guest's link."),
]
StateFilter = Annotated[
    OrderState | None, QueryParameter(name="state", description="Only orders in this state.")
]
CustomerFilter = Annotated[
    str | None,
    QueryParameter(
        max_length=64, description="Only this customer's; others than one's own are for staff."
    ),
]
FromFilter = Annotated[
    datetime | None, QueryParameter(description="Placed at this time or later; with its zone.")
]
BeforeFilter = Annotated[
    datetime | None, QueryParameter(description="Placed before this time; with its zone.")
]
SkuFilter = Annotated[
    str | None, QueryParameter(max_length=64, description="Only orders with a line of this SKU.")
]
NumberFilter = Annotated[
    str | None,
    QueryParameter(
        max_length=16, description="The order with this number, as somebody reads it out."
    ),
]


class CancelRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Note = ""


class ShipRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units to send; without `lines` all that is left.

    Without `location_id` they leave from where they are allocated, as one shipment from each
    location. With it, `lines` are sent from there wherever they are allocated, and without `lines`
    all that is left and allocated there.
    """

    lines: (
        Annotated[tuple[LineQuantity, ...], msgspec.Meta(min_length=1, max_length=5_000)] | None
    ) = None
    location_id: LocationId | None = None
    carrier: Annotated[str, msgspec.Meta(max_length=100)] = ""
    tracking_number: Annotated[str, msgspec.Meta(max_length=100)] = ""


class DeliverRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The shipment that arrived; without it, all of them."""

    shipment_id: str | None = None


class ReturnRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units that came back; without `lines` all that are out. `restock` false scraps them."""

    lines: (
        Annotated[tuple[LineQuantity, ...], msgspec.Meta(min_length=1, max_length=5_000)] | None
    ) = None
    location_id: LocationId = LocationId("main")
    restock: bool = True
    reason: Note = ""


PLACING = (
    errors.InsufficientStock,
    errors.ProductUnavailable,
    errors.TotalChanged,
    errors.KeyReused,
    errors.Invalid,
    errors.Forbidden,
    errors.Conflict,
    errors.Unauthenticated,
    errors.PayloadTooLarge,
)
CHANGING = (
    errors.NotFound,
    errors.OrderState,
    errors.OrderExpired,
    errors.PreconditionFailed,
    errors.KeyReused,
    errors.Conflict,
    errors.Invalid,
    errors.InsufficientStock,
    errors.Unauthenticated,
    errors.Forbidden,
)
ApiRequest = Request[Any, Any, Any]


class Orders(Controller):
    path = "/orders"
    tags = ["orders"]

    @post(
        "/",
        access=PUBLIC,
        summary="Place an order",
        responses=problems_of(*PLACING),
        security=NO_LOGIN_NEEDED,
    )
    async def place(
        self, request: ApiRequest, data: JSONBody[PlaceOrder], idempotency_key: Key = None
    ) -> Answer[OrderView]:
        """Reserves stock for all lines or none; with `confirm` takes it at once.

        Guests name an `email` and get a `token` with which to follow the order.
        """
        return await place_order(checkout_of(request), principal_of(request), data, idempotency_key)

    @get(
        "/",
        access=SIGNED_IN_OR_KEY,
        summary="List orders, newest first",
        responses=needs_login(errors.Invalid),
        security=BEARER,
    )
    async def list_orders(
        self,
        request: ApiRequest,
        limit: Limit = 50,
        cursor: Cursor = None,
        order_state: StateFilter = None,
        customer_id: CustomerFilter = None,
        placed_from: FromFilter = None,
        placed_before: BeforeFilter = None,
        sku: SkuFilter = None,
        number: NumberFilter = None,
    ) -> Answer[PageView[OrderView]]:
        """A customer's own orders; all orders for who has the scope `orders:read`.

        Asking for another customer's without that scope is `forbidden`.
        """
        principal = principal_of(request)
        if not principal.may("orders:read"):
            if principal.api_key_id is not None:
                raise errors.Forbidden("this needs the scope orders:read", scope="orders:read")
            if customer_id not in (None, principal.account_id):
                raise errors.Forbidden(
                    "only staff see other customers' orders; leave customer_id out for your own",
                    field="customer_id",
                    scope="orders:read",
                )
            # Whose orders are asked for is part of the question, not a check afterwards.
            customer_id = principal.account_id
        page = await request.app.state.shop.tools.store.orders(
            OrderQuery(
                customer_id=AccountId(customer_id) if customer_id is not None else None,
                state=order_state,
                placed_from=as_utc(placed_from, "placed_from"),
                placed_before=as_utc(placed_before, "placed_before"),
                sku=fold_sku(sku) if sku is not None else None,
                number=normal_number(number) if number is not None else None,
                limit=limit,
                cursor=cursor,
            )
        )
        return page_answer(request, page, order_view)

    @get(
        "/{order_id:str}",
        access=PUBLIC,
        summary="Read an order",
        responses=problems_of(errors.NotFound, errors.Unauthenticated),
        security=NO_LOGIN_NEEDED,
    )
    async def read(
        self, request: ApiRequest, order_id: OrderPath, token: Token = None
    ) -> Answer[OrderView]:
        """Its customer's, staff's, or a guest's who has the link's `token`."""
        who = caller(request, order_id, token)
        return answer(await changes_of(request).order(who, OrderId(order_id)))

    @post(
        "/{order_id:str}/confirm",
        access=PUBLIC,
        status_code=200,
        summary="Confirm an order",
        responses=problems_of(*CHANGING),
        security=NO_LOGIN_NEEDED,
    )
    async def confirm(
        self,
        request: ApiRequest,
        order_id: OrderPath,
        token: Token = None,
        idempotency_key: Key = None,
        if_match: IfMatch = None,
    ) -> Answer[OrderView]:
        """Takes the reserved stock. Confirming a confirmed order changes nothing."""
        call = changing(request, "confirm", order_id, token, None, idempotency_key)
        return answer(
            await changes_of(request).confirm(call, OrderId(order_id), version_of(if_match))
        )

    @post(
        "/{order_id:str}/cancel",
        access=PUBLIC,
        status_code=200,
        summary="Cancel an order",
        responses=problems_of(*CHANGING),
        security=NO_LOGIN_NEEDED,
    )
    async def cancel(
        self,
        request: ApiRequest,
        order_id: OrderPath,
        token: Token = None,
        idempotency_key: Key = None,
        if_match: IfMatch = None,
        data: JSONBody[CancelRequest | None] = None,
    ) -> Answer[OrderView]:
        """Puts its stock back. Customers may until something is shipped, staff also after."""
        call = changing(request, "cancel", order_id, token, data, idempotency_key)
        reason = data.reason if data else ""
        return answer(
            await changes_of(request).cancel(call, OrderId(order_id), reason, version_of(if_match))
        )

    @post(
        "/{order_id:str}/shipments",
        access="orders:write",
        status_code=200,
        summary="Ship an order, or a part",
        responses=needs_login(*CHANGING, errors.TooMany),
        security=BEARER,
    )
    async def ship(
        self,
        request: ApiRequest,
        order_id: OrderPath,
        data: JSONBody[ShipRequest],
        idempotency_key: Key = None,
        if_match: IfMatch = None,
    ) -> Answer[OrderView]:
        """Sends all that is left from where it is allocated, unless `lines` or `location_id` say
        otherwise. Each location's units are a shipment of their own, with the same carrier and
        tracking number."""
        call = changing(request, "ship", order_id, None, data, idempotency_key)
        order = await changes_of(request).ship(
            call,
            OrderId(order_id),
            lines=data.lines,
            location_id=data.location_id,
            carrier=data.carrier,
            tracking_number=data.tracking_number,
            if_match=version_of(if_match),
        )
        return answer(order)

    @post(
        "/{order_id:str}/deliveries",
        access="orders:write",
        status_code=200,
        summary="Mark shipments as delivered",
        responses=needs_login(*CHANGING),
        security=BEARER,
    )
    async def deliver(
        self,
        request: ApiRequest,
        order_id: OrderPath,
        data: JSONBody[DeliverRequest],
        idempotency_key: Key = None,
        if_match: IfMatch = None,
    ) -> Answer[OrderView]:
        """One shipment, or all; again changes nothing."""
        call = changing(request, "deliver", order_id, None, data, idempotency_key)
        order = await changes_of(request).deliver(
            call, OrderId(order_id), data.shipment_id, version_of(if_match)
        )
        return answer(order)

    @post(
        "/{order_id:str}/returns",
        access="orders:write",
        status_code=200,
        summary="Take units back",
        responses=needs_login(*CHANGING, errors.TooMany),
        security=BEARER,
    )
    async def take_back(
        self,
        request: ApiRequest,
        order_id: OrderPath,
        data: JSONBody[ReturnRequest],
        idempotency_key: Key = None,
        if_match: IfMatch = None,
    ) -> Answer[OrderView]:
        """Never more than were shipped; `restock` puts them on hand again."""
        call = changing(request, "return", order_id, None, data, idempotency_key)
        order = await changes_of(request).take_back(
            call,
            OrderId(order_id),
            lines=data.lines,
            location_id=data.location_id,
            restock=data.restock,
            reason=data.reason,
            if_match=version_of(if_match),
        )
        return answer(order)


async def place_order(
    checkout: Checkout, principal: Principal, data: PlaceOrder, key: str | None
) -> Answer[OrderView]:
    """Places it and answers 201; an earlier try's order comes back with a header that says so."""
    placed = await checkout.place(call_by(principal, "orders.place", data, key), data)
    token = checkout.guest_token(placed.order.id) if placed.order.customer_id is None else None
    return answer(placed.order, status=201, token=token, replayed=placed.is_replay)


def checkout_of(request: ApiRequest) -> Checkout:
    found: Checkout = request.app.state.shop.checkout
    return found


def changes_of(request: ApiRequest) -> OrderChanges:
    found: OrderChanges = request.app.state.shop.order_changes
    return found


def caller(request: ApiRequest, order_id: str, token: str | None) -> Principal:
    """Who asks: an account, or a guest whose token opens this one order."""
    principal = principal_of(request)
    if token is None or principal.account_id is not None:
        return principal
    if not checkout_of(request).is_guest_token(order_id, token):
        raise errors.NotFound(f"there is no order {order_id}")
    return Principal(account_id=None, role="guest", order_id=order_id)


def changing(
    request: ApiRequest, verb: str, order_id: str, token: str | None, data: Any, key: str | None
) -> Call:
    call = call_of(request, f"orders.{verb}:{order_id}", data, key)
    who = caller(request, order_id, token)
    # A guest's keys are kept apart by the order that the link opens.
    key = f"{order_id}:{call.key}" if call.key and who.account_id is None else call.key
    return Call(principal=who, key=key, fingerprint=call.fingerprint)
