"""Home, the list of products with search and filters, and a product's page."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Controller, Request, get
from litestar.params import PathParameter

from storekeeper.domain.errors import Invalid
from storekeeper.domain.money import from_decimal_text
from storekeeper.domain.types import Struct
from storekeeper.http.answers import Answer
from storekeeper.http.security import PUBLIC
from storekeeper.services.carts import orderable_units
from storekeeper.services.catalog import Catalog
from storekeeper.store.port import Listed, Page, ProductQuery, ProductSort
from storekeeper.web.forms import sentence
from storekeeper.web.pages import HTML
from storekeeper.web.refusals import told
from storekeeper.web.shop.frame import shop_page
from storekeeper.web.visit import HOME, Visit, visit_of, with_query

PageRequest = Request[Any, Any, Any]
SkuPath = Annotated[str, PathParameter(max_length=200)]
ON_A_PAGE = 24
NEWEST = 12
MOST_CATEGORIES = 100
# From here on a number says nothing to a customer.
PLENTY = 20
SORTS: tuple[ProductSort, ...] = ("relevance", "name", "price", "-price", "-created")
LONGEST_SEARCH = 200


class Filters(Struct, frozen=True, kw_only=True):
    """What somebody is looking for, as it stands in the page's address. Prices as typed."""

    q: str = ""
    category: str = ""
    tag: str = ""
    min: str = ""
    max: str = ""
    in_stock: bool = False
    sort: str = ""

    def address(self, **other: Any) -> str:
        """The list with some of the filters changed, from its first page."""
        values = {name: getattr(self, name) for name in self.__struct_fields__} | other
        return with_query(
            f"{HOME}/products", {**values, "in_stock": "1" if values["in_stock"] else ""}
        )

    @property
    def is_any(self) -> bool:
        return bool(self.q or self.category or self.tag or self.min or self.max or self.in_stock)


class Catalogue(Controller):
    path = HOME
    opt = {"is_page": True}
    include_in_schema = False

    @get("/", access=PUBLIC, media_type=HTML)
    async def home(self, request: PageRequest) -> Answer[bytes]:
        """Where to begin: categories and what is new."""
        visit = visit_of(request)
        categories = await catalog_of(visit).categories(limit=MOST_CATEGORIES)
        newest = await catalog_of(visit).list_products(
            visit.principal, ProductQuery(sort="-created", limit=NEWEST)
        )
        return await shop_page(
            visit, "shop/home.html", categories=categories.items, newest=newest.items
        )

    @get("/products", access=PUBLIC, media_type=HTML)
    async def products(self, request: PageRequest) -> Answer[bytes]:
        """A page of the products that have what was asked for; `part` is the results alone."""
        visit = visit_of(request)
        filters = filters_of(visit)
        errors: dict[str, str] = {}
        page: Page[Listed] = Page(items=())
        try:
            query = query_of(visit, filters)
            page = await catalog_of(visit).list_products(visit.principal, query)
        except Invalid as error:
            errors[error.field or "q"] = sentence(told(error, visit.language))
        values: dict[str, Any] = {
            "filters": filters,
            "page": page,
            "errors": errors,
            "plenty": PLENTY,
        }
        status = 422 if errors else 200
        if visit.query.get("part"):
            return visit.page("shop/results.html", status=status, **values)
        categories = await catalog_of(visit).categories(limit=MOST_CATEGORIES)
        return await shop_page(
            visit,
            "shop/products.html",
            status=status,
            categories=categories.items,
            sorts=SORTS,
            **values,
        )

    @get("/products/{sku:path}", access=PUBLIC, media_type=HTML)
    async def product(self, request: PageRequest, sku: SkuPath) -> Answer[bytes]:
        visit = visit_of(request)
        return await product_page(visit, sku.removeprefix("/"))


async def product_page(
    visit: Visit, sku: str, *, error: str = "", quantity: str = "1", status: int = 200
) -> Answer[bytes]:
    """A product with the others of its kind; raises `NotFound`. `error` is about the quantity."""
    catalog = catalog_of(visit)
    listed = await catalog.by_sku(visit.principal, sku)
    parent_id = listed.product.id if listed.product.is_parent else listed.product.parent_id
    parent: Listed | None = None
    variants: tuple[Listed, ...] = ()
    if parent_id is not None:
        if listed.product.id != parent_id:
            parent = await catalog.product(visit.principal, parent_id)
        found = await catalog.list_products(
            visit.principal, ProductQuery(parent_id=parent_id, limit=100)
        )
        variants = found.items
    return await shop_page(
        visit,
        "shop/product.html",
        status=status,
        listed=listed,
        parent=parent,
        variants=variants,
        orderable=orderable_units(listed),
        plenty=PLENTY,
        error=error,
        quantity=quantity,
    )


def catalog_of(visit: Visit) -> Catalog:
    found: Catalog = visit.pages.shop.catalog
    return found


def filters_of(visit: Visit) -> Filters:
    asked = visit.query
    return Filters(
        q=asked.get("q", "").strip()[:LONGEST_SEARCH],
        category=asked.get("category", "")[:200],
        tag=asked.get("tag", "")[:50],
        min=asked.get("min", "").strip()[:20],
        max=asked.get("max", "").strip()[:20],
        in_stock=asked.get("in_stock") == "1",
        sort=asked.get("sort", ""),
    )


def query_of(visit: Visit, filters: Filters) -> ProductQuery:
    """Raises `Invalid` for prices that are none."""
    sort = next((one for one in SORTS if one == filters.sort), None)
    if sort is None or (sort == "relevance" and not filters.q):
        sort = "relevance" if filters.q else "name"
    return ProductQuery(
        words=filters.q,
        category=filters.category or None,
        tag=filters.tag or None,
        min_price=_price(visit, filters.min, "min"),
        max_price=_price(visit, filters.max, "max"),
        in_stock=True if filters.in_stock else None,
        sort=sort,
        limit=ON_A_PAGE,
        cursor=visit.query.get("cursor") or None,
    )


def _price(visit: Visit, text: str, field: str) -> int | None:
    """Minor units of the shop's currency, typed with a point or a comma."""
    if not text:
        return None
    currency = visit.pages.shop.settings.currency
    return max(0, from_decimal_text(text.replace(",", "."), currency, field))
