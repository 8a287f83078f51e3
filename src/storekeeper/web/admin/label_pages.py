"""Choosing products and printing labels for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from litestar import Controller, Request, get, post

from storekeeper.domain.catalog import Product
from storekeeper.domain.types import fold_sku
from storekeeper.http.answers import Answer
from storekeeper.web.admin.documents import made, pdf_answer
from storekeeper.web.admin.frame import BACK_OFFICE, admin_page
from storekeeper.web.admin.labels import MOST_LABELS, SHEETS, CodeKind, Label, label_paper
from storekeeper.web.forms import FormErrors
from storekeeper.web.pages import HTML
from storekeeper.web.shop.cart import whole_number
from storekeeper.web.visit import Visit, visit_of

PageRequest = Request[Any, Any, Any]
LABELS = f"{BACK_OFFICE}/stock/labels"
MOST_PRODUCTS = 100
KINDS: tuple[CodeKind, ...] = get_args(CodeKind)


class LabelDesk(Controller):
    path = LABELS
    opt = {"is_page": True}
    include_in_schema = False

    @get("/", access="stock:read", media_type=HTML)
    async def choose(self, request: PageRequest) -> Answer[bytes]:
        """The products that the address names, and one more by the SKU in `add`."""
        visit = visit_of(request)
        ids = request.query_params.getall("product", [])
        errors = FormErrors(visit)
        sku = visit.query.get("add", "").strip()[:64]
        if sku:
            found = await visit.pages.shop.store.products_by_sku([fold_sku(sku)])
            product = found.get(fold_sku(sku))
            if product is None:
                text = visit.say("No product has the SKU %(sku)s.") % {"sku": sku}
                errors.add("add", text)
            else:
                ids = [*ids, product.id]
        return await _label_page(visit, ids, errors, added="" if not errors else sku)

    @post("/", access="stock:read", status_code=200, media_type=HTML)
    async def sheets(self, request: PageRequest) -> Answer[bytes]:
        """The sheets as a PDF."""
        visit = visit_of(request)
        ids = visit.lists.get("product", [])
        errors = FormErrors(visit)
        sheet = next((one for one in SHEETS if one.id == visit.text("sheet")), None)
        kind = next((one for one in KINDS if one == visit.text("kind")), None)
        products = await _products(visit, ids)
        labels = _labels(visit, products, errors)
        first = whole_number(visit.text("first") or "1")
        if sheet is None:
            errors.add("sheet", visit.say("Choose a sheet."))
        elif first is None or not 1 <= first <= sheet.on_a_page:
            text = visit.say("Type a number from 1 to %(most)s.") % {"most": sheet.on_a_page}
            errors.add("first", text)
        if kind is None:
            errors.add("", visit.say("Choose a barcode or a QR code."))
        if not labels and not errors:
            errors.add("", visit.say("Choose a product first."))
        if errors or sheet is None or kind is None or first is None:
            return await _label_page(visit, ids, errors)
        language, now = visit.language, visit.pages.shop.tools.clock()
        body = await made(
            lambda: label_paper(language, labels, sheet, kind, skip=first - 1, now=now)
        )
        return pdf_answer(visit, body, f"labels-{now:%Y-%m-%d}")


async def _label_page(
    visit: Visit, ids: Sequence[str], errors: FormErrors, added: str = ""
) -> Answer[bytes]:
    return admin_page(
        visit,
        "admin/labels.html",
        status=422 if errors else 200,
        products=await _products(visit, ids),
        sheets=SHEETS,
        kinds=KINDS,
        added=added,
        errors=errors,
        typed=visit.form,
        most=MOST_PRODUCTS,
        is_cut=len(set(ids)) > MOST_PRODUCTS,
    )


async def _products(visit: Visit, ids: Sequence[str]) -> list[Product]:
    """Those that there are, each once, in the order in which they were chosen."""
    wanted = [id[:64] for id in dict.fromkeys(ids)][:MOST_PRODUCTS]
    found: dict[str, Product] = await visit.pages.shop.store.get_many(Product, wanted)
    return [found[id] for id in wanted if id in found]


def _labels(visit: Visit, products: Sequence[Product], errors: FormErrors) -> list[Label]:
    with_price = visit.text("price") == "1"
    found: list[Label] = []
    number = 0
    for product in products:
        field = f"copies-{product.id}"
        copies = whole_number(visit.text(field) or "1")
        if copies is None:
            errors.add(field, visit.say("Type a whole number."))
            continue
        number += copies
        price = visit.language.money(product.price) if with_price else ""
        found.append(Label(product=product, copies=copies, price=price))
    if number > MOST_LABELS:
        text = visit.say("At most %(most)s labels can be printed at once.")
        errors.add("", text % {"most": visit.language.number(MOST_LABELS)})
    return found if number else []
