"""One change to many products: shown before and after, then done to those that are still the same."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from litestar import Controller, Request, post

from storekeeper.domain.catalog import Product
from storekeeper.domain.errors import Invalid, NotFound, PreconditionFailed, ShopError
from storekeeper.domain.money import Money, by_percent, from_decimal_text
from storekeeper.domain.types import MAX_AMOUNT, ProductId, Struct
from storekeeper.http.answers import Answer
from storekeeper.services.catalog import PricePatch, ProductPatch
from storekeeper.web.admin.frame import admin_page
from storekeeper.web.admin.products_list import ON_A_PAGE, PRODUCTS, filters_of
from storekeeper.web.forms import FormErrors, exactly, sentence
from storekeeper.web.pages import HTML
from storekeeper.web.shop.catalog import catalog_of
from storekeeper.web.visit import Visit, visit_of

PageRequest = Request[Any, Any, Any]
Action = Literal["archive", "unarchive", "percent", "amount"]
ACTIONS: tuple[Action, ...] = ("archive", "unarchive", "percent", "amount")
MOST_PERCENT = 10_000
LONGEST_LINE = 100


class Line(Struct, frozen=True, kw_only=True):
    """A product as it was shown, and what it is to become: a price, or on or off sale.

    `trouble`: why it can't; it is left as it is then. `is_new`: changed since it was chosen.
    """

    product: Product
    after: Money
    status: Literal["active", "archived"]
    trouble: str = ""
    is_new: bool = False

    @property
    def changes(self) -> bool:
        return self.after != self.product.price or self.status != self.product.status


class Bulk(Controller):
    path = f"{PRODUCTS}/bulk"
    opt = {"is_page": True}
    include_in_schema = False

    @post("/", access="products:write", status_code=200, media_type=HTML)
    async def preview(self, request: PageRequest) -> Answer[bytes]:
        """What would be done, line by line; nothing is done yet."""
        visit = visit_of(request)
        back = f"{PRODUCTS}{filters_of(visit).query()}"
        action = _action(visit)
        chosen = _chosen(visit)
        if not chosen:
            visit.tell(visit.say("Choose some products first."), kind="bad")
            typed = {"action": action, "by": visit.text("by")[:LONGEST_LINE]}
            return visit.go(f"{PRODUCTS}{filters_of(visit).query(**typed)}")
        try:
            by = _by(visit, action)
        except Invalid as error:
            errors = FormErrors(visit)
            errors.add("by", error.detail)
            return admin_page(
                visit,
                "admin/products_bulk_wrong.html",
                status=422,
                errors=errors,
                action=action,
                chosen=chosen,
                back=back,
            )
        found = await catalog_of(visit).several(visit.principal, list(chosen))
        lines = [
            _line(visit, found[id].product, version, action, by)
            for id, version in chosen.items()
            if id in found
        ]
        return admin_page(visit, "admin/products_bulk.html", lines=lines, action=action, back=back)

    @post("/apply", access="products:write", status_code=200, media_type=HTML)
    async def apply(self, request: PageRequest) -> Answer[bytes]:
        """Does what was shown to all that nobody has changed since; the others are told and left.

        Once more changes nothing: what is so already counts as done.
        """
        visit = visit_of(request)
        back = f"{PRODUCTS}{filters_of(visit).query()}"
        action = _action(visit)
        asked = _asked(visit, action)
        # At once, so that one flush of the store is enough for all of them.
        troubles = await asyncio.gather(
            *(_change(visit, product_id, version, patch) for product_id, version, patch in asked)
        )
        left = [trouble for trouble in troubles if trouble is not None]
        done = len(asked) - len(left)
        said = visit.language.texts.ngettext(
            "%(count)s product is changed.", "%(count)s products are changed.", done
        ) % {"count": visit.language.number(done)}
        if not left:
            visit.tell(said)
            return visit.go(back)
        return admin_page(
            visit, "admin/products_bulk_left.html", status=409, said=said, left=left, back=back
        )


class Left(Struct, frozen=True, kw_only=True):
    """A product that was left as it is, and why; without a product, it is gone."""

    product: Product | None
    reason: str


def _action(visit: Visit) -> Action:
    text = visit.text("action")
    for action in ACTIONS:
        if action == text:
            return action
    raise Invalid("choose what to do with the products", field="action")


def _chosen(visit: Visit) -> dict[ProductId, int]:
    """Products and the versions at which they were shown; no more than a page has."""
    found: dict[ProductId, int] = {}
    for text in visit.lists.get("line", [])[:ON_A_PAGE]:
        product_id, _, version = text[:LONGEST_LINE].partition(":")
        found[ProductId(product_id)] = int(version) if _is_number(version) else 0
    return found


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 15


def _by(visit: Visit, action: Action) -> Decimal | str | None:
    """By how much: percent as a number, an amount as its text, since it is read in each product's
    currency. Raises `Invalid`."""
    if action not in ("percent", "amount"):
        return None
    text = visit.text("by").replace(",", ".").replace("\u2212", "-").removesuffix("%").strip()[:30]
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise Invalid(
            visit.say("type by how much prices are to change, such as 5 or -2.50"), field="by"
        ) from None
    if not number.is_finite() or number == 0 or abs(number) > MAX_AMOUNT:
        raise Invalid(visit.say("a change by nothing changes nothing"), field="by")
    if action == "amount":
        return text
    if number < -100 or number > MOST_PERCENT:
        raise Invalid(visit.say("a price changes by -100 to 10,000 percent"), field="by")
    return number


def _line(
    visit: Visit, product: Product, version: int, action: Action, by: Decimal | str | None
) -> Line:
    """One that changed since the table was shown is shown as it is now, and says so: it is this
    page that is confirmed."""
    price, trouble = product.price.amount, ""
    try:
        if isinstance(by, Decimal):
            price = by_percent(price, by)
        elif by is not None:
            price += from_decimal_text(by, product.price.currency)
    except Invalid as error:
        trouble = exactly(visit, error)
    if not 0 <= price <= MAX_AMOUNT:
        trouble = visit.say("it would cost less than nothing, or more than a shop can charge")
    if trouble:
        price = product.price.amount
    status = {"archive": "archived", "unarchive": "active"}.get(action, product.status)
    return Line(
        product=product,
        after=Money(amount=price, currency=product.price.currency),
        status="archived" if status == "archived" else "active",
        trouble=trouble,
        is_new=product.version != version,
    )


def _asked(visit: Visit, action: Action) -> Sequence[tuple[str, int, ProductPatch]]:
    """What the page that is confirmed had said, a patch for each line."""
    found: dict[str, tuple[str, int, ProductPatch]] = {}
    for text in visit.lists.get("line", [])[:ON_A_PAGE]:
        product_id, _, rest = text[:LONGEST_LINE].partition(":")
        version, _, price = rest.partition(":")
        if not _is_number(version):
            continue
        if action in ("archive", "unarchive"):
            patch = ProductPatch(status="archived" if action == "archive" else "active")
        elif _is_number(price):
            patch = ProductPatch(price=PricePatch(amount=int(price)))
        else:
            continue
        found[product_id] = (product_id, int(version), patch)
    return list(found.values())


async def _change(visit: Visit, product_id: str, version: int, patch: ProductPatch) -> Left | None:
    """None where it is as it was to be."""
    catalog = catalog_of(visit)
    try:
        await catalog.patch(visit.call("", None), product_id, patch, version)
    except NotFound as error:
        return Left(product=None, reason=sentence(exactly(visit, error)))
    except ShopError as error:
        if error.status >= 500:
            raise
        product = (await catalog.product(visit.principal, product_id)).product
        if not isinstance(error, PreconditionFailed):
            return Left(product=product, reason=sentence(exactly(visit, error)))
        if _is_so(product, patch):
            return None
        return Left(product=product, reason=visit.say("Somebody changed it meanwhile."))
    return None


def _is_so(product: Product, patch: ProductPatch) -> bool:
    if isinstance(patch.price, PricePatch):
        return patch.price.amount == product.price.amount
    return patch.status == product.status
