"""Orders as staff see them: the table, the board by state, one order, and papers for the shelves."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from litestar import Controller, Request, get
from litestar.params import PathParameter

from storekeeper.domain.accounts import Account
from storekeeper.domain.errors import Invalid, NotFound
from storekeeper.domain.orders import Order, OrderState, Shipment
from storekeeper.domain.types import LocationId, OrderId
from storekeeper.http.answers import Answer
from storekeeper.services.order_changes import OrderChanges
from storekeeper.services.order_views import SavedOrderViews
from storekeeper.services.picking import Picking
from storekeeper.store.port import OrderQuery, Page
from storekeeper.web.admin.documents import PDF, made, packing_paper, pdf_answer, picking_paper
from storekeeper.web.admin.frame import BACK_OFFICE, admin_page
from storekeeper.web.admin.order_filters import OrderFilters, filters_of, query_of
from storekeeper.web.admin.order_page import order_page
from storekeeper.web.admin.places import location_names, locations_of
from storekeeper.web.forms import FormErrors
from storekeeper.web.pages import HTML
from storekeeper.web.visit import Visit, visit_of

PageRequest = Request[Any, Any, Any]
IdPath = Annotated[str, PathParameter(max_length=64)]
ORDERS = f"{BACK_OFFICE}/orders"
ON_A_PAGE = 50
ON_THE_BOARD = 20
COLUMNS: tuple[OrderState, ...] = ("pending", "confirmed", "partially_shipped", "shipped")
# A page with more rows is slow to read; the PDF has them all.
MOST_PICKS = 500


class OrderDesk(Controller):
    path = ORDERS
    opt = {"is_page": True}
    include_in_schema = False

    @get("/", access="orders:read", media_type=HTML)
    async def table(self, request: PageRequest) -> Answer[bytes]:
        """The orders that the address asks for, newest first."""
        visit = visit_of(request)
        return await orders_page(visit, filters_of(visit), FormErrors(visit))

    @get("/board", access="orders:read", media_type=HTML)
    async def board(self, request: PageRequest) -> Answer[bytes]:
        """What is under way, a column for each state."""
        visit = visit_of(request)
        store = visit.pages.shop.store
        pages = await asyncio.gather(
            *(store.orders(OrderQuery(state=state, limit=ON_THE_BOARD)) for state in COLUMNS)
        )
        shown = [order for page in pages for order in page.items]
        return admin_page(
            visit,
            "admin/board.html",
            columns=list(zip(COLUMNS, pages, strict=True)),
            customers=await customers_of(visit, shown),
        )

    @get("/picking", access="orders:read", media_type=HTML)
    async def picking(self, request: PageRequest) -> Answer[bytes]:
        """What to take from which shelf, to look at and to print."""
        visit = visit_of(request)
        place = visit.query.get("location", "")[:64]
        found = await _picking(visit).list(visit.call("", None), LocationId(place) or None)
        return admin_page(
            visit,
            "admin/picking.html",
            found=found,
            shown=found.picks[:MOST_PICKS],
            place=place,
            places=await locations_of(visit),
            names=await location_names(visit),
            now=visit.pages.shop.tools.clock(),
        )

    @get("/picking.pdf", access="orders:read", media_type=PDF)
    async def picking_pdf(self, request: PageRequest) -> Answer[bytes]:
        visit = visit_of(request)
        place = visit.query.get("location", "")[:64]
        found = await _picking(visit).list(visit.call("", None), LocationId(place) or None)
        names = await location_names(visit)
        language, shop = visit.language, visit.pages.shop_name
        now = visit.pages.shop.tools.clock()
        body = await made(lambda: picking_paper(language, shop, found, names, now))
        return pdf_answer(visit, body, f"picking-{now:%Y-%m-%d}")

    @get("/{order_id:str}", access="orders:read", media_type=HTML)
    async def one(self, request: PageRequest, order_id: IdPath) -> Answer[bytes]:
        visit = visit_of(request)
        order = await changes_of(visit).order(visit.principal, OrderId(order_id))
        return await order_page(visit, order)

    @get("/{order_id:str}/packing-slip.pdf", access="orders:read", media_type=PDF)
    async def packing_slip(self, request: PageRequest, order_id: IdPath) -> Answer[bytes]:
        """For one shipment, or for what hasn't left yet; where all has, for the whole order."""
        visit = visit_of(request)
        order = await changes_of(visit).order(visit.principal, OrderId(order_id))
        shipment = _shipment(order, visit.query.get("shipment", ""))
        language, shop = visit.language, visit.pages.shop_name
        now = visit.pages.shop.tools.clock()
        body = await made(lambda: packing_paper(language, shop, order, shipment, now))
        return pdf_answer(visit, body, f"packing-slip-{order.number}")


async def orders_page(visit: Visit, filters: OrderFilters, errors: FormErrors) -> Answer[bytes]:
    """The table with its filters. `errors`: of a form on it that was refused."""
    page: Page[Order] = Page(items=())
    try:
        query = await query_of(visit, filters, ON_A_PAGE)
        if query is not None:
            page = await visit.pages.shop.store.orders(query)
    except Invalid as error:
        errors.note(error, fields=list(OrderFilters.__struct_fields__))
    saved: SavedOrderViews = visit.pages.shop.order_views
    return admin_page(
        visit,
        "admin/orders.html",
        status=422 if errors else 200,
        filters=filters,
        page=page,
        errors=errors,
        views=await saved.of(visit.principal),
        customers=await customers_of(visit, page.items),
    )


async def customers_of(visit: Visit, orders: Any) -> dict[str, Account]:
    """The accounts that placed these orders, with one question."""
    ids = {order.customer_id for order in orders if order.customer_id is not None}
    if not ids:
        return {}
    found: dict[str, Account] = await visit.pages.shop.store.get_many(Account, sorted(ids))
    return found


def changes_of(visit: Visit) -> OrderChanges:
    found: OrderChanges = visit.pages.shop.order_changes
    return found


def _picking(visit: Visit) -> Picking:
    found: Picking = visit.pages.shop.picking
    return found


def _shipment(order: Order, shipment_id: str) -> Shipment | None:
    if not shipment_id:
        return None
    for shipment in order.shipments:
        if shipment.id == shipment_id:
            return shipment
    raise NotFound(f"the order has no shipment {shipment_id}")
