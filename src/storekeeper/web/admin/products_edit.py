"""A product's own page: made, changed, archived, deleted; and what to do when two change it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import PathParameter

from storekeeper.domain.catalog import Product
from storekeeper.domain.errors import KeyReused, PreconditionFailed, ShopError
from storekeeper.http.answers import Answer
from storekeeper.services.images import MOST_BYTES, Images
from storekeeper.store.port import Listed, ProductQuery
from storekeeper.web.admin.frame import admin_page
from storekeeper.web.admin.products_fields import (
    CHECKS,
    FIELDS,
    KIND,
    SET,
    Texts,
    differences,
    new_texts,
    note,
    parent_sku_of,
    read_details,
    texts_of,
    typed,
)
from storekeeper.web.admin.products_list import PRODUCTS
from storekeeper.web.forms import FormErrors, exactly, sentence
from storekeeper.web.pages import HTML
from storekeeper.web.shop.catalog import MOST_CATEGORIES, catalog_of
from storekeeper.web.visit import Visit, visit_of

PageRequest = Request[Any, Any, Any]
IdPath = Annotated[str, PathParameter(max_length=64)]
MOST_VARIANTS = 100
THEIRS = "theirs"


class ProductPages(Controller):
    path = PRODUCTS
    opt = {"is_page": True}
    include_in_schema = False
    # Bounded field by field, and the picture by its own limit (web.uploads).
    request_max_body_size = None

    @get("/new", access="products:write", media_type=HTML)
    async def blank(self, request: PageRequest) -> Answer[bytes]:
        """An empty form; `parent` is the SKU of what the new one is to be a variant of."""
        visit = visit_of(request)
        currency = visit.pages.shop.settings.currency
        sku = visit.query.get("parent", "")[:200]
        parent = (await catalog_of(visit).by_sku(visit.principal, sku)).product if sku else None
        texts = new_texts(currency, parent, visit.pages.now.low_stock_threshold)
        return await _form(visit, texts, FormErrors(visit))

    @post("/new", access="products:write", status_code=200, media_type=HTML, takes_file=True)
    async def create(self, request: PageRequest) -> Answer[bytes]:
        visit = visit_of(request)
        texts, errors = typed(visit), FormErrors(visit)
        if texts[KIND] == SET and texts["low_stock_threshold"] == str(
            visit.pages.now.low_stock_threshold
        ):
            # A parent has no stock, and nobody typed what the form began with.
            texts["low_stock_threshold"] = ""
        await _take_picture(visit, texts, errors)
        details = await read_details(visit, texts, errors, None, {})
        if details is not None:
            call = visit.call("products.create", details, visit.text("key"))
            try:
                listed = await catalog_of(visit).create(call, details)
            except KeyReused:
                errors.add("", visit.say("This form was sent before with something else in it."))
                visit.form.pop("key", None)
            except ShopError as error:
                _file(error, errors)
            else:
                name = {"name": listed.product.name}
                visit.tell(visit.say("%(name)s is made.") % name)
                return visit.go(_address(listed.product))
        return await _form(visit, texts, errors)

    @get("/{product_id:str}", access="products:read", media_type=HTML)
    async def show(self, request: PageRequest, product_id: IdPath) -> Answer[bytes]:
        visit = visit_of(request)
        listed = await catalog_of(visit).product(visit.principal, product_id)
        texts = await _shown(visit, listed.product)
        return await _form(visit, texts, FormErrors(visit), listed)

    @post(
        "/{product_id:str}",
        access="products:write",
        status_code=200,
        media_type=HTML,
        takes_file=True,
    )
    async def save(self, request: PageRequest, product_id: IdPath) -> Answer[bytes]:
        """Changes the product that was shown; one that somebody else has changed since is not
        touched, and both versions are shown with the choice between them."""
        visit = visit_of(request)
        mine, errors = _chosen(visit), FormErrors(visit)
        await _take_picture(visit, mine, errors)
        listed = await catalog_of(visit).product(visit.principal, product_id)
        product = listed.product
        shown = await _shown(visit, product)
        if visit.text("version") != str(product.version):
            return await _conflict(visit, listed, mine, errors)
        details = await read_details(visit, mine, errors, product, shown)
        if details is None:
            return await _form(visit, mine, errors, listed)
        try:
            await catalog_of(visit).replace(
                visit.call("", None), product.id, details, product.version
            )
        except PreconditionFailed:
            listed = await catalog_of(visit).product(visit.principal, product_id)
            return await _conflict(visit, listed, mine, errors)
        except ShopError as error:
            _file(error, errors)
            return await _form(visit, mine, errors, listed)
        visit.tell(visit.say("%(name)s is saved.") % {"name": details.name})
        return visit.go(_address(product))

    @post("/{product_id:str}/archive", access="products:write", status_code=200, media_type=HTML)
    async def archive(self, request: PageRequest, product_id: IdPath) -> Answer[bytes]:
        """Takes it off sale."""
        visit = visit_of(request)
        return await _set_status(visit, product_id, is_archived=True)

    @post("/{product_id:str}/unarchive", access="products:write", status_code=200, media_type=HTML)
    async def unarchive(self, request: PageRequest, product_id: IdPath) -> Answer[bytes]:
        visit = visit_of(request)
        return await _set_status(visit, product_id, is_archived=False)

    @post("/{product_id:str}/delete", access="products:write", status_code=200, media_type=HTML)
    async def delete(self, request: PageRequest, product_id: IdPath) -> Answer[bytes]:
        """Refused while anything refers to it, with what that is."""
        visit = visit_of(request)
        product = (await catalog_of(visit).product(visit.principal, product_id)).product
        try:
            await catalog_of(visit).delete(visit.call("", None), product_id, _version(visit))
        except ShopError as error:
            return _refused(visit, product, error)
        visit.tell(visit.say("%(name)s is deleted.") % {"name": product.name})
        return visit.go(PRODUCTS)


async def _set_status(visit: Visit, product_id: str, *, is_archived: bool) -> Answer[bytes]:
    catalog = catalog_of(visit)
    change = catalog.archive if is_archived else catalog.unarchive
    product = (await catalog.product(visit.principal, product_id)).product
    try:
        await change(visit.call("", None), product_id, _version(visit))
    except ShopError as error:
        return _refused(visit, product, error)
    told = visit.say("%(name)s is archived.") if is_archived else visit.say("%(name)s is on sale.")
    visit.tell(told % {"name": product.name})
    return visit.go(_address(product))


def _refused(visit: Visit, product: Product, error: ShopError) -> Answer[bytes]:
    if error.status >= 500:
        raise error
    told = sentence(exactly(visit, error))
    if isinstance(error, PreconditionFailed):
        told = visit.say("Somebody changed this product meanwhile. Look at it, then try again.")
    visit.tell(told, kind="bad")
    return visit.go(_address(product))


def _version(visit: Visit) -> int:
    """What the form was shown with; 0, which no product is at, for what isn't ours."""
    text = visit.text("version")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else 0


def _chosen(visit: Visit) -> Texts:
    """What was typed, but for the fields of which the other version was chosen."""
    mine, base = typed(visit), _base(visit)
    return {
        name: base.get(name, text) if visit.text(f"take:{name}") == THEIRS else text
        for name, text in mine.items()
    }


def _base(visit: Visit) -> Texts:
    """What the form had shown before anything was typed into it."""
    try:
        found: Texts = msgspec.json.decode(visit.form.get("base", "{}"), type=dict[str, str])
    except msgspec.DecodeError:
        return {}
    return found


async def _shown(visit: Visit, product: Product) -> Texts:
    return texts_of(product, await parent_sku_of(visit, product))


async def _take_picture(visit: Visit, texts: Texts, errors: FormErrors) -> None:
    """Keeps the picture that came with the form; its path is then what was typed as such, so that
    it isn't lost while something else is mended."""
    if visit.upload is None:
        return
    images: Images = visit.pages.shop.images
    try:
        data = await visit.upload.read(MOST_BYTES)
        texts["image_url"] = await images.keep(visit.call("", None), data)
    except ShopError as error:
        if error.status >= 500:
            raise
        errors.add("image", exactly(visit, error))


def _file(error: ShopError, errors: FormErrors) -> None:
    if error.status >= 500:
        raise error
    note(errors, error)


async def _form(
    visit: Visit, texts: Texts, errors: FormErrors, listed: Listed | None = None
) -> Answer[bytes]:
    """The form with these texts: of a new product, or of one with its version and base."""
    catalog = catalog_of(visit)
    product = listed.product if listed is not None else None
    variants: tuple[Listed, ...] = ()
    if product is not None and product.is_parent:
        query = ProductQuery(parent_id=product.id, status=None, limit=MOST_VARIANTS)
        variants = (await catalog.list_products(visit.principal, query)).items
    base = await _shown(visit, product) if product is not None else {}
    return admin_page(
        visit,
        "admin/product.html",
        status=422 if errors else 200,
        texts=texts,
        errors=errors,
        listed=listed,
        base=msgspec.json.encode(base).decode(),
        variants=variants,
        categories=(await catalog.categories(limit=MOST_CATEGORIES)).items,
        most_bytes=MOST_BYTES,
        may_write=visit.principal.may("products:write"),
    )


async def _conflict(visit: Visit, listed: Listed, mine: Texts, errors: FormErrors) -> Answer[bytes]:
    """Both versions, field by field, with what was typed; what only they have changed is taken
    from theirs unless somebody says otherwise."""
    theirs = await _shown(visit, listed.product)
    fields = differences(mine, theirs)
    if not fields and not errors:
        visit.tell(visit.say("%(name)s is saved.") % {"name": listed.product.name})
        return visit.go(_address(listed.product))
    base = _base(visit)
    choices = {
        name: THEIRS if base.get(name) == mine[name] and base.get(name) != theirs[name] else "mine"
        for name in fields
    }
    return admin_page(
        visit,
        "admin/product_conflict.html",
        status=409,
        product=listed.product,
        mine=mine,
        theirs=theirs,
        base=msgspec.json.encode(theirs).decode(),
        was=base,
        fields=fields,
        choices=choices,
        all_fields=FIELDS,
        checks=CHECKS,
        errors=errors,
    )


def _address(product: Product) -> str:
    return f"{PRODUCTS}/{product.id}"
