"""A customer's orders: the list, and one with its timeline and what can be done with it."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Controller, Request, get, post
from litestar.params import PathParameter

from storekeeper.domain import carts
from storekeeper.domain.accounts import Principal
from storekeeper.domain.carts import CartLine, Lines
from storekeeper.domain.errors import (
    Invalid,
    LimitReached,
    NotFound,
    OrderExpired,
    OrderState,
    Unauthenticated,
)
from storekeeper.domain.orders import Order
from storekeeper.domain.types import OrderId
from storekeeper.http.answers import Answer
from storekeeper.http.security import PUBLIC, SIGNED_IN
from storekeeper.services.base import Call
from storekeeper.services.checkout import Checkout
from storekeeper.services.invoices import Invoices
from storekeeper.services.order_changes import OrderChanges
from storekeeper.store.port import OrderQuery
from storekeeper.web.carts import change_cart
from storekeeper.web.forms import sentence
from storekeeper.web.pages import HTML
from storekeeper.web.refusals import told
from storekeeper.web.shop.frame import shop_page
from storekeeper.web.visit import HOME, Visit, visit_of

PageRequest = Request[Any, Any, Any]
IdPath = Annotated[str, PathParameter(max_length=64)]
ORDERS = f"{HOME}/orders"
ON_A_PAGE = 20
MOST_CURSOR = 400


class OrderPages(Controller):
    path = ORDERS
    opt = {"is_page": True}
    include_in_schema = False

    @get("/", access=SIGNED_IN, media_type=HTML)
    async def mine(self, request: PageRequest) -> Answer[bytes]:
        """Newest first."""
        visit = visit_of(request)
        page = await visit.pages.shop.store.orders(
            OrderQuery(
                customer_id=visit.principal.account_id,
                limit=ON_A_PAGE,
                cursor=visit.query.get("cursor", "")[:MOST_CURSOR] or None,
            )
        )
        return await shop_page(visit, "shop/orders.html", page=page)

    @get("/{order_id:str}", access=PUBLIC, media_type=HTML)
    async def one(self, request: PageRequest, order_id: IdPath) -> Answer[bytes]:
        visit = visit_of(request)
        token = visit.query.get("token", "")
        order = await _changes(visit).order(caller_of(visit, order_id, token), OrderId(order_id))
        return await order_page(visit, order, token)

    @post("/{order_id:str}/confirm", access=PUBLIC, status_code=200, media_type=HTML)
    async def confirm(self, request: PageRequest, order_id: IdPath) -> Answer[bytes]:
        """Takes the stock; again changes nothing."""
        visit = visit_of(request)
        token = visit.text("token")
        try:
            await _changes(visit).confirm(_call(visit, order_id, token), OrderId(order_id))
        except (OrderExpired, OrderState):
            visit.tell(visit.say("The reservation has ended, so nothing was ordered."), kind="bad")
        else:
            visit.tell(visit.say("Thank you. Your order is confirmed."))
        return visit.go(_address(order_id, token))

    @post("/{order_id:str}/cancel", access=PUBLIC, status_code=200, media_type=HTML)
    async def cancel(self, request: PageRequest, order_id: IdPath) -> Answer[bytes]:
        visit = visit_of(request)
        token = visit.text("token")
        try:
            await _changes(visit).cancel(
                _call(visit, order_id, token), OrderId(order_id), visit.text("reason")[:2_000]
            )
        except (OrderExpired, OrderState):
            visit.tell(visit.say("This order can't be cancelled any more."), kind="bad")
        else:
            visit.tell(visit.say("The order is cancelled."))
        return visit.go(_address(order_id, token))

    @post("/{order_id:str}/again", access=PUBLIC, status_code=200, media_type=HTML)
    async def again(self, request: PageRequest, order_id: IdPath) -> Answer[bytes]:
        """Puts the order's lines into the cart, where the prices of today are shown."""
        visit = visit_of(request)
        order = await _changes(visit).order(
            caller_of(visit, order_id, visit.text("token")), OrderId(order_id)
        )

        def with_lines(lines: Lines) -> tuple[CartLine, ...]:
            found = tuple(lines)
            for line in order.lines:
                found = carts.merged(
                    found,
                    (CartLine(sku=line.sku, quantity=line.quantity, seen=line.unit_price),),
                )
            return found

        try:
            await change_cart(visit, with_lines)
        except LimitReached as full:
            visit.tell(sentence(told(full, visit.language)), kind="bad")
        return visit.go(f"{HOME}/cart")


async def order_page(visit: Visit, order: Order, token: str) -> Answer[bytes]:
    now = visit.pages.shop.tools.clock()
    left = 0
    if order.state == "pending" and order.expires_at is not None:
        left = max(0, int((order.expires_at - now).total_seconds()))
    invoices: Invoices = visit.pages.shop.invoices
    return await shop_page(
        visit,
        "shop/order.html",
        order=order,
        token=token,
        seconds_left=left,
        has_invoice=await invoices.is_there(order),
    )


def caller_of(visit: Visit, order_id: str, token: str) -> Principal:
    """Who asks: whoever holds a guest's link, which opens this one order; else an account."""
    checkout: Checkout = visit.pages.shop.checkout
    if token and len(token) <= 128 and checkout.is_guest_token(order_id, token):
        return Principal(account_id=None, role="guest", order_id=order_id)
    if visit.is_known:
        return visit.principal
    if token:
        raise NotFound(f"there is no order {order_id}")
    raise Unauthenticated("log in to see your orders")


def _call(visit: Visit, order_id: str, token: str) -> Call:
    return Call(principal=caller_of(visit, order_id, token))


def _address(order_id: str, token: str) -> str:
    if not order_id.replace("-", "").isalnum() or (token and not token.isalnum()):
        raise Invalid("this is no order of ours")
    return f"{ORDERS}/{order_id}?token={token}" if token else f"{ORDERS}/{order_id}"


def _changes(visit: Visit) -> OrderChanges:
    found: OrderChanges = visit.pages.shop.order_changes
    return found
