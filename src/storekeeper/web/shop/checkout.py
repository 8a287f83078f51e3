"""From cart to order: address, what it comes to, and the place where stock is reserved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litestar import Controller, Request, get, post

from storekeeper.domain import carts
from storekeeper.domain.accounts import Email
from storekeeper.domain.carts import Lines
from storekeeper.domain.errors import (
    InsufficientStock,
    Invalid,
    KeyReused,
    ProductUnavailable,
    ShopError,
    TotalChanged,
    Unauthenticated,
)
from storekeeper.domain.money import Money
from storekeeper.domain.orders import Address, Order
from storekeeper.domain.types import Struct
from storekeeper.http.answers import Answer
from storekeeper.http.security import PUBLIC
from storekeeper.services.checkout import Checkout, LineRequest, PlaceOrder
from storekeeper.store.port import OrderQuery
from storekeeper.web.carts import carts_of, change_cart, fit_cart, lines_of
from storekeeper.web.forms import FormErrors
from storekeeper.web.pages import HTML
from storekeeper.web.shop.frame import shop_page
from storekeeper.web.visit import HOME, Visit, visit_of

PageRequest = Request[Any, Any, Any]
CART = f"{HOME}/cart"
ADDRESS = Address.__struct_fields__
FIELDS = ("email", *ADDRESS, "note")
NEEDED = ("name", "line1", "city", "country")
LONGEST_AMOUNT = 18


class Contact(Struct, frozen=True, kw_only=True):
    """Where a guest hears of the order."""

    email: Email


class CheckoutPages(Controller):
    path = f"{HOME}/checkout"
    opt = {"is_page": True}
    include_in_schema = False

    @get("/", access=PUBLIC, media_type=HTML)
    async def show(self, request: PageRequest) -> Answer[bytes]:
        """The form, with the address of the order before."""
        visit = visit_of(request)
        lines = await lines_of(visit)
        if not lines:
            return visit.go(CART)
        return await _page(visit, lines, await _last_address(visit), FormErrors(visit))

    @post("/", access=PUBLIC, status_code=200, media_type=HTML)
    async def place(self, request: PageRequest) -> Answer[bytes]:
        """Reserves the stock of the whole cart, or says what is in the way and keeps the form."""
        visit = visit_of(request)
        if "buyer" in visit.form and not visit.is_known:
            # Else it would be a guest's order, of a guest's cart.
            raise Unauthenticated("the session of who began this order has ended; log in again")
        lines = await lines_of(visit)
        if not lines:
            return await _sent_before(visit)
        errors = FormErrors(visit)
        if "fit" in visit.form:
            lines = await fit_cart(visit)
            return await _page(visit, lines, visit.form, errors) if lines else visit.go(CART)
        wanted = _order(visit, lines, errors)
        if wanted is not None:
            try:
                placed = await _checkout(visit).place(
                    visit.call("orders.place", wanted, visit.text("key")), wanted
                )
            except ShopError as error:
                if error.status >= 500:
                    raise
                _tell(visit, error, errors)
            else:
                await change_cart(visit, lambda now: carts.without(now, lines))
                return _to_order(visit, placed.order)
        return await _page(visit, lines, visit.form, errors)


async def _sent_before(visit: Visit) -> Answer[bytes]:
    """The second click of two comes when the first has emptied the cart: to the order, then."""
    order = await _checkout(visit).placed_with(visit.call("", None, visit.text("key")))
    return visit.go(CART) if order is None else _to_order(visit, order)


def _to_order(visit: Visit, order: Order) -> Answer[bytes]:
    address = f"{HOME}/orders/{order.id}"
    if order.customer_id is None:
        address += f"?token={_checkout(visit).guest_token(order.id)}"
    return visit.go(address)


async def _page(
    visit: Visit, lines: Lines, values: Mapping[str, str], errors: FormErrors
) -> Answer[bytes]:
    view = await carts_of(visit).look(visit.principal, lines)
    return await shop_page(
        visit,
        "shop/checkout.html",
        status=422 if errors else 200,
        cart=lines,
        view=view,
        values=values,
        errors=errors,
    )


def _order(visit: Visit, lines: Lines, errors: FormErrors) -> PlaceOrder | None:
    """The request that the form makes; None, with what is wrong noted, where it is none."""
    errors.require(*(() if visit.is_known else ("email",)), *NEEDED)
    given = {field: visit.text(field) for field in ADDRESS if visit.text(field)}
    address = None if errors else errors.read(Address, given)
    email: str | None = None
    if not visit.is_known and "email" not in errors:
        contact = errors.read(Contact, {"email": visit.text("email")})
        email = contact.email if contact else None
    shown = visit.text("total")
    if not is_amount(shown):
        errors.add("", visit.say("Please look at the new total."))
    if errors:
        return None
    return errors.read(
        PlaceOrder,
        {
            "lines": tuple(LineRequest(sku=line.sku, quantity=line.quantity) for line in lines),
            "shipping_address": address,
            "email": email,
            "note": visit.text("note"),
            "expected_total": Money(amount=int(shown), currency=visit.text("currency")),
        },
    )


def _tell(visit: Visit, error: ShopError, errors: FormErrors) -> None:
    """A refusal in words for somebody who wants to buy; the page shows the lines as they are now."""
    if isinstance(error, InsufficientStock | ProductUnavailable):
        errors.add("", visit.say("Something in your cart has just run out. Nothing was ordered."))
    elif isinstance(error, TotalChanged):
        errors.add("", visit.say("A price has changed. Please look at the new total."))
    elif isinstance(error, KeyReused):
        errors.add(
            "", visit.say("This form was sent before. Please look at it and send it once more.")
        )
    elif isinstance(error, Invalid):
        errors.note(error, fields=FIELDS, prefix="shipping_address.")
    else:
        errors.refuse(error)


def is_amount(text: str) -> bool:
    """Whether it is an amount in minor units, as our own hidden fields hold one."""
    return text.isascii() and text.isdigit() and len(text) <= LONGEST_AMOUNT


def _checkout(visit: Visit) -> Checkout:
    found: Checkout = visit.pages.shop.checkout
    return found


async def _last_address(visit: Visit) -> Mapping[str, str]:
    if not visit.is_known:
        return {}
    found = await visit.pages.shop.store.orders(
        OrderQuery(customer_id=visit.principal.account_id, limit=1)
    )
    address = found.items[0].shipping_address if found.items else None
    if address is None:
        return {}
    return {field: getattr(address, field) for field in ADDRESS}
