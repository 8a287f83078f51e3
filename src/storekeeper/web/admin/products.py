"""`/admin/products`: the table, and what can be done in a row of it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Annotated, Any

from litestar import Controller, Request, get, post
from litestar.params import PathParameter

from storekeeper.domain.catalog import Product
from storekeeper.domain.errors import (
    Conflict,
    Invalid,
    KeyReused,
    NotFound,
    PreconditionFailed,
    ShopError,
)
from storekeeper.domain.stock import MAIN
from storekeeper.domain.types import MAX_ON_HAND
from storekeeper.http.answers import Answer
from storekeeper.services.catalog import PricePatch, ProductPatch
from storekeeper.services.inventory import CountRequest, Inventory
from storekeeper.web.admin.products_fields import amount_of
from storekeeper.web.admin.products_list import PRODUCTS, Typed, filters_of, list_page
from storekeeper.web.forms import exactly, sentence
from storekeeper.web.pages import HTML
from storekeeper.web.shop.catalog import catalog_of
from storekeeper.web.visit import Visit, visit_of

PageRequest = Request[Any, Any, Any]
IdPath = Annotated[str, PathParameter(max_length=64)]
LONGEST_NUMBER = 15


class ProductTable(Controller):
    path = PRODUCTS
    opt = {"is_page": True}
    include_in_schema = False

    @get("/", access="products:read", media_type=HTML)
    async def show(self, request: PageRequest) -> Answer[bytes]:
        """A page of products; `part` is the table alone."""
        visit = visit_of(request)
        return await list_page(visit, only_part=bool(visit.query.get("part")))

    @post(
        "/{product_id:str}/quick",
        access=("products:write", "stock:write"),
        status_code=200,
        media_type=HTML,
    )
    async def quick(self, request: PageRequest, product_id: IdPath) -> Answer[bytes]:
        """Price and units on hand, from a row of the table."""
        visit = visit_of(request)
        product = (await catalog_of(visit).product(visit.principal, product_id)).product
        edit = _RowEdit(visit, product)
        await edit.do()
        filters = filters_of(visit)
        if edit.wrong:
            typed = Typed(
                product_id=product.id,
                price=visit.text("price"),
                on_hand=visit.text("on_hand"),
                wrong=edit.wrong,
            )
            return await list_page(visit, typed=typed, status=edit.status)
        name = {"name": product.name}
        if edit.done:
            visit.tell(visit.say("%(name)s is saved.") % name)
        else:
            visit.tell(visit.say("%(name)s was like that already.") % name)
        return visit.go(f"{PRODUCTS}{filters.query()}")


class _RowEdit:
    """What a row's form asks for, tried in the order in which least is left undone.

    All that can be known beforehand is looked at first, then units are counted, then the price is
    set: whatever is refused is told beside its field, with what was typed still in it.
    """

    def __init__(self, visit: Visit, product: Product) -> None:
        self._visit = visit
        self._product = product
        self.wrong: dict[str, str] = {}
        self.status = 200
        self.done = False

    async def do(self) -> None:
        price = self._price()
        on_hand = self._on_hand()
        if self.wrong:
            self.status = 422
            return
        if on_hand is not None:
            await self._try("on_hand", self._count(on_hand))
        if price is not None and not self.wrong:
            await self._try("price", self._set_price(price))

    def _price(self) -> int | None:
        """The price to set; None where it stays."""
        if "price" not in self._visit.form or not self._visit.principal.may("products:write"):
            return None
        now = self._product.price
        try:
            amount = amount_of(self._visit, self._visit.text("price"), now.currency)
        except Invalid as error:
            self.wrong["price"] = sentence(exactly(self._visit, error))
            return None
        if amount == now.amount:
            return None
        if self._visit.text("version") != str(self._product.version):
            self.wrong["price"] = self._changed()
        return amount

    def _on_hand(self) -> int | None:
        """The units that were counted; None where they are what was shown."""
        text, visit = self._visit.text("on_hand"), self._visit
        if "on_hand" not in visit.form or text == visit.text("seen"):
            return None
        is_number = text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER
        if not is_number or int(text) > MAX_ON_HAND:
            self.wrong["on_hand"] = visit.say("Type a whole number, 0 or more.")
            return None
        return int(text)

    async def _count(self, on_hand: int) -> None:
        visit = self._visit
        seen = visit.text("seen")
        if not seen.removeprefix("-").isdecimal() or len(seen) > LONGEST_NUMBER:
            raise Conflict(visit.say("Look at the units on hand once more."))
        request = CountRequest(product_id=self._product.id, on_hand=on_hand, location_id=MAIN)
        inventory: Inventory = visit.pages.shop.inventory
        call = visit.call("stock.count", [request, seen], visit.text("key"))
        await inventory.count(call, request, seen=int(seen))

    async def _set_price(self, amount: int) -> None:
        visit, product = self._visit, self._product
        try:
            await catalog_of(visit).patch(
                visit.call("", None),
                product.id,
                ProductPatch(price=PricePatch(amount=amount)),
                product.version,
            )
        except PreconditionFailed:
            self._product = (await catalog_of(visit).product(visit.principal, product.id)).product
            raise Conflict(self._changed()) from None

    async def _try(self, field: str, work: Awaitable[None]) -> None:
        try:
            await work
        except (NotFound, KeyReused) as error:
            self._refuse(field, Conflict(error.detail))
        except ShopError as error:
            if error.status >= 500:
                raise
            self._refuse(field, error)
        else:
            self.done = True

    def _refuse(self, field: str, error: ShopError) -> None:
        self.status = error.status
        told = sentence(exactly(self._visit, error))
        if self.done:
            told += " " + self._visit.say("(The units on hand are saved.)")
        self.wrong[field] = told

    def _changed(self) -> str:
        return self._visit.say(
            "Somebody changed this product meanwhile; it costs %(price)s now. Save once more to "
            "set yours."
        ) % {"price": self._visit.language.money(self._product.price)}
