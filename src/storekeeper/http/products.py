"""`/products` and `/categories`: the catalogue as customers see it, and as admins keep it."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal

from litestar import Controller, Request, Response, delete, get, patch, post, put
from litestar.datastructures import ResponseHeader
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, JSONBody, PathParameter, QueryParameter
from msgspec import UNSET, UnsetType

from storekeeper.domain import errors
from storekeeper.domain.accounts import Principal
from storekeeper.domain.catalog import ProductStatus
from storekeeper.domain.money import Money
from storekeeper.domain.types import MAX_AMOUNT, Struct
from storekeeper.http.answers import Answer
from storekeeper.http.openapi import BEARER, NO_LOGIN_NEEDED, needs_login, problems_of
from storekeeper.http.paging import Cursor, Limit, PageView, page_answer
from storekeeper.http.parameters import IfMatch, Key
from storekeeper.http.security import PUBLIC, call_of, principal_of, version_of
from storekeeper.services.base import Call
from storekeeper.services.catalog import Catalog, ProductInput, ProductPatch
from storekeeper.store.port import Listed, Page, ProductQuery, ProductSort

ApiRequest = Request[Any, Any, Any]
ProductPath = Annotated[str, PathParameter(max_length=64, description="The product's `id`.")]
IfNoneMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-None-Match",
        max_length=1_000,
        description="The ETag of what the caller has; 304 if it is still the same.",
    ),
]
Category = Annotated[
    str | None, QueryParameter(max_length=200, description="Only this category, exactly.")
]
TagName = Annotated[
    str | None, QueryParameter(max_length=200, description="Only products with this tag.")
]
Price = Annotated[
    int | None, QueryParameter(ge=0, le=MAX_AMOUNT, description="In minor units, inclusive.")
]
ETAG = ResponseHeader(
    name="ETag",
    description="The version, for If-Match, and the stock shown with it.",
    required=False,
    documentation_only=True,
)
UNCHANGED = ResponseSpec(
    data_container=None, description="What If-None-Match names is still what there is."
)
MERGE_PATCH = "application/merge-patch+json"
READING = (errors.NotFound, errors.Unauthenticated)
KEEPING = (
    errors.Invalid,
    errors.AlreadyExists,
    errors.InUse,
    errors.Conflict,
    errors.KeyReused,
    errors.PayloadTooLarge,
)
CHANGING = (*KEEPING, errors.NotFound, errors.PreconditionFailed, errors.UnitsOwed)


class ProductStockView(Struct, frozen=True, kw_only=True):
    """`available` is null for a product without stock of its own. A parent is in stock where one
    of its active variants is. Only staff see what is on hand."""

    available: int | None
    in_stock: bool
    on_hand: int | UnsetType = UNSET
    reserved: int | UnsetType = UNSET
    is_low: bool | UnsetType = UNSET


class ProductView(Struct, frozen=True, kw_only=True):
    """A product and its units over all locations. Only staff see the low-stock threshold."""

    id: str
    version: int
    sku: str
    name: str
    description: str
    price: Money
    category: str | None
    tags: tuple[str, ...]
    image_url: str | None
    attributes: dict[str, str]
    status: ProductStatus
    track_stock: bool
    allow_backorder: bool
    is_parent: bool
    parent_id: str | None
    options: dict[str, str]
    created_at: datetime
    updated_at: datetime
    stock: ProductStockView
    low_stock_threshold: int | UnsetType | None = UNSET


def product_view(listed: Listed, *, for_staff: bool) -> ProductView:
    product, stock = listed.product, listed.stock
    view = ProductStockView(
        available=stock.available if product.track_stock and not product.is_parent else None,
        in_stock=listed.in_stock,
        on_hand=stock.on_hand if for_staff else UNSET,
        reserved=stock.reserved if for_staff else UNSET,
        is_low=stock.is_low if for_staff else UNSET,
    )
    return ProductView(
        id=product.id,
        version=product.version,
        sku=product.sku,
        name=product.name,
        description=product.description,
        price=product.price,
        category=product.category,
        tags=product.tags,
        image_url=product.image_url,
        attributes=product.attributes,
        status=product.status,
        track_stock=product.track_stock,
        allow_backorder=product.allow_backorder,
        is_parent=product.is_parent,
        parent_id=product.parent_id,
        options=product.options,
        created_at=product.created_at,
        updated_at=product.updated_at,
        stock=view,
        low_stock_threshold=product.low_stock_threshold if for_staff else UNSET,
    )


def etag_of(listed: Listed, *, for_staff: bool) -> str:
    """The version, then what else the representation shows: stock moves without a new version."""
    stock = listed.stock
    shown = f"{stock.on_hand}-{stock.reserved}" if for_staff else f"{stock.available}"
    if listed.product.is_parent:
        shown = f"{int(listed.in_stock)}"
    return f'"{listed.product.version}-{shown}"'


def is_staff(principal: Principal) -> bool:
    return principal.may("products:read")


def answer(request: ApiRequest, listed: Listed, *, status: int = 200) -> Answer[ProductView]:
    for_staff = is_staff(principal_of(request))
    headers = {
        "ETag": etag_of(listed, for_staff=for_staff),
        "Cache-Control": "no-cache",
        "Vary": "Authorization",
    }
    if status == 201:
        headers["Location"] = f"/products/{listed.product.id}"
    return Answer(product_view(listed, for_staff=for_staff), status_code=status, headers=headers)


def matches(if_none_match: str | None, etag: str) -> bool:
    """RFC 9110, section 13.1.2: any of the tags, weak or not, or a star."""
    if if_none_match is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or etag in tags


def catalog_of(request: ApiRequest) -> Catalog:
    found: Catalog = request.app.state.shop.catalog
    return found


class Products(Controller):
    path = "/products"
    tags = ["products"]

    @get(
        "/",
        access=PUBLIC,
        summary="List and search products",
        responses=problems_of(errors.Invalid, errors.Forbidden, errors.Unauthenticated),
        security=NO_LOGIN_NEEDED,
    )
    async def list_products(
        self,
        request: ApiRequest,
        limit: Limit = 50,
        cursor: Cursor = None,
        q: Annotated[
            str | None,
            QueryParameter(
                max_length=200,
                description="Words in name, SKU, description, category or tags; all must occur, "
                "the last one may be a beginning.",
            ),
        ] = None,
        sku: Annotated[
            str | None, QueryParameter(max_length=64, description="Exactly this SKU, in any case.")
        ] = None,
        category: Category = None,
        tag: TagName = None,
        min_price: Price = None,
        max_price: Price = None,
        in_stock: Annotated[
            bool | None, QueryParameter(description="Only what can, or can't, be ordered now.")
        ] = None,
        parent_id: Annotated[
            str | None, QueryParameter(max_length=64, description="The variants of this product.")
        ] = None,
        status: Annotated[
            Literal["active", "archived", "all"],
            QueryParameter(description="Others than active ones are for staff."),
        ] = "active",
        sort: Annotated[
            ProductSort | None,
            QueryParameter(
                description="`relevance` unless there is no `q`, then `name`. Where thousands of "
                "products have the words, those with them in name or SKU come before the others."
            ),
        ] = None,
    ) -> Answer[PageView[ProductView]]:
        """Active products, a page at a time, with what of them can be ordered now."""
        principal = principal_of(request)
        for_staff = is_staff(principal)
        if sku is not None:
            page = await _by_sku(catalog_of(request), principal, sku)
        else:
            page = await catalog_of(request).list_products(
                principal,
                ProductQuery(
                    words=q or "",
                    category=category,
                    tag=tag,
                    min_price=min_price,
                    max_price=max_price,
                    in_stock=in_stock,
                    parent_id=parent_id,
                    status=None if status == "all" else status,
                    sort=sort or ("relevance" if q else "name"),
                    limit=limit,
                    cursor=cursor,
                ),
            )
        return page_answer(request, page, partial(product_view, for_staff=for_staff))

    @post(
        "/",
        access="products:write",
        summary="Create a product",
        responses=needs_login(*KEEPING),
        response_headers=[ETAG],
        security=BEARER,
    )
    async def create(
        self, request: ApiRequest, data: JSONBody[ProductInput], idempotency_key: Key = None
    ) -> Answer[ProductView]:
        """Without stock; receive that next. A variant names its parent and its option values."""
        call = call_of(request, "products.create", data, idempotency_key)
        return answer(request, await catalog_of(request).create(call, data), status=201)

    @get(
        "/{product_id:str}",
        access=PUBLIC,
        summary="Read a product",
        responses=problems_of(*READING) | {304: UNCHANGED},
        response_headers=[ETAG],
        security=NO_LOGIN_NEEDED,
    )
    async def read(
        self, request: ApiRequest, product_id: ProductPath, if_none_match: IfNoneMatch = None
    ) -> Answer[ProductView]:
        """Archived ones are for staff."""
        principal = principal_of(request)
        listed = await catalog_of(request).product(principal, product_id)
        etag = etag_of(listed, for_staff=is_staff(principal))
        if matches(if_none_match, etag):
            headers = {"ETag": etag, "Cache-Control": "no-cache", "Vary": "Authorization"}
            return Response(None, status_code=304, headers=headers)  # type: ignore[return-value]
        return answer(request, listed)

    @put(
        "/{product_id:str}",
        access="products:write",
        summary="Replace a product",
        responses=needs_login(*CHANGING),
        response_headers=[ETAG],
        security=BEARER,
    )
    async def replace(
        self,
        request: ApiRequest,
        product_id: ProductPath,
        data: JSONBody[ProductInput],
        if_match: IfMatch = None,
    ) -> Answer[ProductView]:
        """Everything anew: what is left out takes its default."""
        listed = await catalog_of(request).replace(
            _call(request), product_id, data, version_of(if_match)
        )
        return answer(request, listed)

    @patch(
        "/{product_id:str}",
        access="products:write",
        summary="Change a product",
        responses=needs_login(*CHANGING, errors.UnsupportedMediaType),
        response_headers=[ETAG],
        security=BEARER,
    )
    async def change(
        self,
        request: ApiRequest,
        product_id: ProductPath,
        data: JSONBody[ProductPatch],
        if_match: IfMatch = None,
    ) -> Answer[ProductView]:
        """A merge patch (RFC 7396): what is left out stays, null takes the default again.

        Set `status` to `archived` to take a product off sale.
        """
        if request.content_type[0] not in (MERGE_PATCH, "application/json"):
            raise errors.UnsupportedMediaType(f"send {MERGE_PATCH} or application/json")
        listed = await catalog_of(request).patch(
            _call(request), product_id, data, version_of(if_match)
        )
        return answer(request, listed)

    @delete(
        "/{product_id:str}",
        access="products:write",
        summary="Delete a product",
        responses=needs_login(
            errors.NotFound, errors.InUse, errors.PreconditionFailed, errors.Conflict
        ),
        security=BEARER,
    )
    async def remove(
        self, request: ApiRequest, product_id: ProductPath, if_match: IfMatch = None
    ) -> None:
        """Refused while orders, variants or stock refer to it; archive it then."""
        await catalog_of(request).delete(_call(request), product_id, version_of(if_match))


@get(
    "/categories",
    access=PUBLIC,
    tags=["products"],
    summary="List the categories of active products",
    responses=problems_of(errors.Invalid),
    security=NO_LOGIN_NEEDED,
)
async def list_categories(
    request: ApiRequest, limit: Limit = 50, cursor: Cursor = None
) -> Answer[PageView[str]]:
    """Each once, in alphabetical order."""
    page = await catalog_of(request).categories(limit=limit, cursor=cursor)
    return page_answer(request, page, str)


async def _by_sku(catalog: Catalog, principal: Principal, sku: str) -> Page[Listed]:
    try:
        return Page(items=(await catalog.by_sku(principal, sku),))
    except errors.NotFound:
        return Page(items=())


def _call(request: ApiRequest) -> Call:
    return Call(principal=principal_of(request))
