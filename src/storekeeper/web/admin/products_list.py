"""The table of products: what is looked for, a page of it, and the forms of its rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storekeeper.domain.errors import Invalid
from storekeeper.domain.money import to_decimal_text
from storekeeper.domain.stock import MAIN
from storekeeper.domain.types import Struct
from storekeeper.http.answers import Answer
from storekeeper.services.inventory import Inventory
from storekeeper.store.port import Listed, Page, ProductQuery, ProductSort
from storekeeper.web.admin.frame import BACK_OFFICE, admin_page
from storekeeper.web.forms import exactly, sentence
from storekeeper.web.shop.catalog import LONGEST_SEARCH, MOST_CATEGORIES, catalog_of
from storekeeper.web.visit import Visit, with_query

PRODUCTS = f"{BACK_OFFICE}/products"
ON_A_PAGE = 50
SORTS: tuple[ProductSort, ...] = ("relevance", "name", "-name", "price", "-price", "-created")
STATUSES = ("active", "archived", "all")
STOCKS = ("", "low", "out")
LONGEST_CURSOR = 1_000


class Filters(Struct, frozen=True, kw_only=True):
    """What somebody looks for, as it stands in the page's address."""

    q: str = ""
    category: str = ""
    status: str = ""
    stock: str = ""
    sort: str = ""
    cursor: str = ""

    def query(self, **other: Any) -> str:
        """`?…` of this list with some of it changed, or nothing."""
        values = {name: getattr(self, name) for name in self.__struct_fields__} | other
        return with_query("", values)

    def address(self, **other: Any) -> str:
        """This list from its first page, with some of it changed."""
        return PRODUCTS + self.query(**{"cursor": "", **other})

    @property
    def is_any(self) -> bool:
        return bool(self.q or self.category or self.status or self.stock)


class Row(Struct, frozen=True, kw_only=True):
    """A product in the table. Price and units as its form shows them; `on_hand` is None for what
    has no stock of its own. `wrong`: by field, what is wrong with what was typed."""

    listed: Listed
    price: str
    on_hand: str | None
    seen: int
    key: str
    wrong: Mapping[str, str]


class Typed(Struct, frozen=True, kw_only=True):
    """What was typed into one row and could not be done."""

    product_id: str
    price: str
    on_hand: str
    wrong: Mapping[str, str]


def filters_of(visit: Visit) -> Filters:
    asked = visit.query
    status, stock, sort = (asked.get(name, "") for name in ("status", "stock", "sort"))
    return Filters(
        q=asked.get("q", "").strip()[:LONGEST_SEARCH],
        category=asked.get("category", "")[:200],
        status=status if status in STATUSES[1:] else "",
        stock=stock if stock in STOCKS else "",
        sort=sort if sort in SORTS else "",
        cursor=asked.get("cursor", "")[:LONGEST_CURSOR],
    )


def query_of(filters: Filters) -> ProductQuery:
    sort = next((one for one in SORTS if one == filters.sort), None)
    if sort is None or (sort == "relevance" and not filters.q):
        sort = "relevance" if filters.q else "name"
    return ProductQuery(
        words=filters.q,
        category=filters.category or None,
        status={"": "active", "archived": "archived", "all": None}[filters.status],
        in_stock=False if filters.stock == "out" else None,
        is_low=True if filters.stock == "low" else None,
        sort=sort,
        limit=ON_A_PAGE,
        cursor=filters.cursor or None,
    )


async def list_page(
    visit: Visit, *, typed: Typed | None = None, status: int = 200, only_part: bool = False
) -> Answer[bytes]:
    """The table that the address asks for; `typed` is kept in its row, with what is wrong."""
    filters = filters_of(visit)
    catalog = catalog_of(visit)
    page: Page[Listed] = Page(items=())
    trouble = ""
    try:
        page = await catalog.list_products(visit.principal, query_of(filters))
    except Invalid as error:
        trouble, status = sentence(exactly(visit, error)), 422
    values: dict[str, Any] = {
        "filters": filters,
        "rows": await _rows(visit, page.items, typed),
        "next": page.next,
        "trouble": trouble,
        "may_write": visit.principal.may("products:write"),
        "may_count": visit.principal.may("stock:write"),
    }
    if only_part:
        return visit.page("admin/products_rows.html", status=status, **values)
    categories = await catalog.categories(limit=MOST_CATEGORIES)
    return admin_page(
        visit,
        "admin/products.html",
        status=status,
        categories=categories.items,
        sorts=SORTS,
        may_import=visit.principal.may("products:write") or visit.principal.may("stock:write"),
        **values,
    )


async def _rows(visit: Visit, items: tuple[Listed, ...], typed: Typed | None) -> list[Row]:
    inventory: Inventory = visit.pages.shop.inventory
    levels = await inventory.levels_at(MAIN, [listed.product.id for listed in items])
    rows = []
    for listed in items:
        product = listed.product
        level = levels.get(product.id)
        seen = level.on_hand if level is not None else 0
        has_stock = product.track_stock and not product.is_parent
        mine = typed if typed is not None and typed.product_id == product.id else None
        price = to_decimal_text(product.price.amount, product.price.currency)
        rows.append(
            Row(
                listed=listed,
                price=mine.price if mine else price,
                on_hand=None if not has_stock else mine.on_hand if mine else str(seen),
                seen=seen,
                key=visit.new_key(),
                wrong=mine.wrong if mine else {},
            )
        )
    return rows
