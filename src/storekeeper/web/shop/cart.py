"""The cart: what is in it, what changed since, and how much of each."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, get, post

from storekeeper.domain import carts
from storekeeper.domain.carts import CartLine, Lines
from storekeeper.domain.errors import LimitReached, NotFound
from storekeeper.domain.types import MAX_QUANTITY, fold_sku
from storekeeper.http.answers import Answer
from storekeeper.http.security import PUBLIC
from storekeeper.services.carts import CartView, orderable_units
from storekeeper.web.carts import carts_of, change_cart, lines_of
from storekeeper.web.forms import sentence
from storekeeper.web.pages import HTML
from storekeeper.web.refusals import told
from storekeeper.web.shop.catalog import catalog_of, product_page
from storekeeper.web.shop.frame import shop_page
from storekeeper.web.visit import HOME, Visit, visit_of

PageRequest = Request[Any, Any, Any]
CART = f"{HOME}/cart"
_QUANTITY = "quantity:"


class CartPages(Controller):
    path = CART
    opt = {"is_page": True}
    include_in_schema = False

    @get("/", access=PUBLIC, media_type=HTML)
    async def show(self, request: PageRequest) -> Answer[bytes]:
        visit = visit_of(request)
        return await cart_page(visit)

    @post("/add", access=PUBLIC, status_code=200, media_type=HTML)
    async def add(self, request: PageRequest) -> Answer[bytes]:
        """Puts units of a product into the cart and goes there."""
        visit = visit_of(request)
        sku = visit.text("sku")
        quantity = whole_number(visit.text("quantity") or "1")
        if quantity is None or quantity < 1:
            return await product_page(
                visit,
                sku,
                error=visit.say("Type a whole number from 1 to %(most)s.")
                % {"most": visit.language.number(MAX_QUANTITY)},
                quantity=visit.text("quantity"),
                status=422,
            )
        listed = await catalog_of(visit).by_sku(visit.principal, sku)
        product = listed.product
        if not product.is_sellable:
            raise NotFound("this product isn't for sale by itself; choose one of its kinds")
        line = CartLine(sku=product.sku, quantity=quantity, seen=product.price)
        try:
            await change_cart(visit, lambda lines: carts.added(lines, line))
        except LimitReached as full:
            return await product_page(
                visit,
                sku,
                error=sentence(told(full, visit.language)),
                quantity=str(quantity),
                status=full.status,
            )
        most = orderable_units(listed)
        if most is not None and most < quantity:
            visit.tell(
                visit.say("There are only %(count)s of %(name)s; the cart shows it.")
                % {"count": visit.language.number(most), "name": product.name},
                kind="bad",
            )
        else:
            visit.tell(visit.say("%(name)s is in your cart.") % {"name": product.name})
        return visit.go(CART)

    @post("/", access=PUBLIC, status_code=200, media_type=HTML)
    async def change(self, request: PageRequest) -> Answer[bytes]:
        """New quantities of any number of lines; `remove` takes one out, `accept` takes note of
        new prices, and `fit` of what there is."""
        visit = visit_of(request)
        wanted, wrong = _quantities(visit)
        if "remove" in visit.form:
            wanted[visit.form["remove"]] = 0
            wrong.pop(visit.form["remove"], None)
        view = await carts_of(visit).look(visit.principal, await lines_of(visit))
        now = {fold_sku(look.line.sku): look for look in view.looks}
        is_fitting = "fit" in visit.form

        def with_wanted(lines: Lines) -> tuple[CartLine, ...]:
            found = tuple(lines)
            for line in lines:
                look = now.get(fold_sku(line.sku))
                quantity = wanted.get(line.sku, line.quantity)
                seen = look.price if look is not None else line.seen
                if is_fitting and look is not None and look.available is not None:
                    quantity = min(quantity, look.available)
                found = carts.changed(found, CartLine(sku=line.sku, quantity=quantity, seen=seen))
            return found

        lines = await change_cart(visit, with_wanted)
        if wrong:
            return await cart_page(visit, lines=lines, wrong=wrong)
        if "checkout" in visit.form:
            return visit.go(f"{HOME}/checkout")
        visit.tell(visit.say("Your cart is up to date."))
        return visit.go(CART)


async def cart_page(
    visit: Visit,
    *,
    lines: Lines | None = None,
    wrong: dict[str, str] | None = None,
    status: int | None = None,
) -> Answer[bytes]:
    """The cart as it stands now. `wrong`: what was typed where a number belongs, by SKU."""
    found = await lines_of(visit) if lines is None else lines
    view: CartView = await carts_of(visit).look(visit.principal, found)
    return await shop_page(
        visit,
        "shop/cart.html",
        cart=found,
        view=view,
        wrong=wrong or {},
        status=status or (422 if wrong else 200),
    )


def whole_number(text: str) -> int | None:
    """None for what isn't a number of units that can be ordered."""
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        return None
    return int(text) if int(text) <= MAX_QUANTITY else None


def _quantities(visit: Visit) -> tuple[dict[str, int], dict[str, str]]:
    """What was typed into the lines, by SKU: what is a number, and what isn't."""
    good: dict[str, int] = {}
    wrong: dict[str, str] = {}
    for name, text in visit.form.items():
        if name.startswith(_QUANTITY):
            sku = name.removeprefix(_QUANTITY)
            number = whole_number(text.strip())
            if number is None:
                wrong[sku] = text[:20]
            else:
                good[sku] = number
    return good, wrong
