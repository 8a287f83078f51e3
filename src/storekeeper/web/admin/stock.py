"""Stock as staff see it: levels by product and location, one product with its forms, the ledger."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Controller, Request, get, post
from litestar.params import PathParameter

from storekeeper.domain.accounts import Account
from storekeeper.domain.catalog import Product
from storekeeper.domain.errors import Invalid
from storekeeper.domain.stock import AdjustReason, Movement, Reason
from storekeeper.domain.types import LocationId, ProductId, Struct, fold_sku
from storekeeper.http.answers import Answer
from storekeeper.services.inventory import Inventory, ProductStock, why_no_stock
from storekeeper.store.port import MovementQuery, Page, ProductQuery
from storekeeper.web.admin.days import MOST_CURSOR, day_of, next_day
from storekeeper.web.admin.frame import BACK_OFFICE, admin_page
from storekeeper.web.admin.order_page import actor
from storekeeper.web.admin.places import places_of
from storekeeper.web.admin.stock_forms import StockForm
from storekeeper.web.forms import FormErrors, exactly
from storekeeper.web.pages import HTML
from storekeeper.web.visit import Visit, visit_of, with_query

PageRequest = Request[Any, Any, Any]
IdPath = Annotated[str, PathParameter(max_length=64)]
STOCK = f"{BACK_OFFICE}/stock"
ON_A_PAGE = 50
# Of one product, on its page.
NEWEST_MOVEMENTS = 10
ADJUST_REASONS: tuple[str, ...] = AdjustReason.__args__  # type: ignore[attr-defined]
REASONS: tuple[Reason, ...] = Reason.__args__  # type: ignore[attr-defined]


class StockFilters(Struct, frozen=True, kw_only=True):
    """Which products the table shows, as it stands in its address."""

    q: str = ""
    location: str = ""
    low: bool = False

    def address(self, **other: Any) -> str:
        values = {"q": self.q, "location": self.location, "low": "1" if self.low else ""}
        return with_query(STOCK, values | other)

    @property
    def is_any(self) -> bool:
        return bool(self.q or self.location or self.low)


class LedgerFilters(Struct, frozen=True, kw_only=True):
    """Which lines of the ledger are shown, as typed."""

    sku: str = ""
    location: str = ""
    reason: str = ""
    reference: str = ""
    since: str = ""
    until: str = ""

    def values(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in self.__struct_fields__}

    def address(self, **other: Any) -> str:
        return with_query(f"{STOCK}/ledger", self.values() | other)

    @property
    def is_any(self) -> bool:
        return any(self.values().values())


class StockDesk(Controller):
    path = STOCK
    opt = {"is_page": True}
    include_in_schema = False

    @get("/", access="stock:read", media_type=HTML)
    async def table(self, request: PageRequest) -> Answer[bytes]:
        """Products by name, or by how well they fit the words, with their units."""
        visit = visit_of(request)
        filters = StockFilters(
            q=visit.query.get("q", "").strip()[:200],
            location=visit.query.get("location", "")[:64],
            low=visit.query.get("low") == "1",
        )
        errors: dict[str, str] = {}
        page: Page[ProductStock] = Page(items=())
        try:
            page = await inventory_of(visit).overview(
                ProductQuery(
                    words=filters.q,
                    is_low=True if filters.low else None,
                    location_id=LocationId(filters.location) if filters.location else None,
                    # Archived ones may still hold units; they are low for nobody.
                    status="active" if filters.low else None,
                    sort="relevance" if filters.q else "name",
                    limit=ON_A_PAGE,
                    cursor=visit.query.get("cursor", "")[:MOST_CURSOR] or None,
                )
            )
        except Invalid as error:
            errors[error.field or ""] = exactly(visit, error)
        return admin_page(
            visit,
            "admin/stock.html",
            status=422 if errors else 200,
            filters=filters,
            page=page,
            errors=errors,
            **await places_of(visit),
        )

    @get("/products/{product_id:str}", access="stock:read", media_type=HTML)
    async def product(self, request: PageRequest, product_id: IdPath) -> Answer[bytes]:
        return await stock_page(visit_of(request), product_id)

    @post(
        "/products/{product_id:str}/{action:str}",
        access="stock:write",
        status_code=200,
        media_type=HTML,
    )
    async def change(
        self, request: PageRequest, product_id: IdPath, action: IdPath
    ) -> Answer[bytes]:
        """Receives, adjusts, counts or transfers units, once for each form."""
        visit = visit_of(request)
        form = StockForm(visit, action, product_id)
        if await form.send(inventory_of(visit)):
            return visit.go(f"{STOCK}/products/{product_id}")
        return await stock_page(visit, product_id, form)

    @get("/ledger", access="stock:read", media_type=HTML)
    async def ledger(self, request: PageRequest) -> Answer[bytes]:
        """Every change of stock, newest first."""
        visit = visit_of(request)
        filters = LedgerFilters(
            **{
                name: visit.query.get(name, "").strip()[:200]
                for name in LedgerFilters.__struct_fields__
            }
        )
        errors: dict[str, str] = {}
        page: Page[Movement] = Page(items=())
        try:
            page = await inventory_of(visit).movements(_movements(visit, filters))
        except Invalid as error:
            errors[error.field or ""] = exactly(visit, error)
        return admin_page(
            visit,
            "admin/ledger.html",
            status=422 if errors else 200,
            filters=filters,
            page=page,
            errors=errors,
            reasons=REASONS,
            **await places_of(visit),
            **await _names_of(visit, page.items),
        )


async def stock_page(visit: Visit, product_id: str, form: StockForm | None = None) -> Answer[bytes]:
    """A product's units with the forms that change them; `form` is one that was refused."""
    stock = await inventory_of(visit).stock(product_id)
    newest = await inventory_of(visit).movements(
        MovementQuery(product_id=ProductId(product_id), limit=NEWEST_MOVEMENTS)
    )
    refusal = why_no_stock(stock.product)
    return admin_page(
        visit,
        "admin/stock_product.html",
        status=200 if form is None else 422,
        stock=stock,
        refusal=refusal,
        home=max(stock.levels, key=lambda level: level.on_hand).location_id if stock.levels else "",
        # What such a product has all the same can be taken away.
        can_change=visit.principal.may("stock:write") and (not refusal or stock.total.on_hand > 0),
        **await places_of(visit),
        newest=newest.items,
        adjust_reasons=ADJUST_REASONS,
        errors=form.errors if form is not None else FormErrors(visit),
        opened=form.action if form is not None else "",
        typed=visit.form if form is not None else {},
        **await _names_of(visit, newest.items),
    )


def inventory_of(visit: Visit) -> Inventory:
    found: Inventory = visit.pages.shop.inventory
    return found


def _movements(visit: Visit, filters: LedgerFilters) -> MovementQuery:
    """Raises `Invalid` with the field that makes no sense."""
    reason = next((one for one in REASONS if one == filters.reason), None)
    if filters.reason and reason is None:
        raise Invalid(visit.say("There is no such reason; choose one of the list."), field="reason")
    until = day_of(visit, filters.until, "until")
    return MovementQuery(
        sku=fold_sku(filters.sku) if filters.sku else None,
        location_id=LocationId(filters.location) if filters.location else None,
        reason=reason,
        reference=filters.reference or None,
        at_from=day_of(visit, filters.since, "since"),
        at_before=None if until is None else next_day(until),
        limit=ON_A_PAGE,
        cursor=visit.query.get("cursor", "")[:MOST_CURSOR] or None,
    )


async def _names_of(visit: Visit, movements: Any) -> dict[str, Any]:
    """Products and people whom movements name, with one question for each kind."""
    store = visit.pages.shop.store
    products: dict[str, Product] = await store.get_many(
        Product, sorted({move.product_id for move in movements})
    )
    ids = sorted({move.by.partition(":")[2] for move in movements} - {""})
    people: dict[str, Account] = await store.get_many(Account, ids)
    return {"products": products, "people": people, "actor": actor}
