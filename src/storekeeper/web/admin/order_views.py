"""Filters of the orders' table under a name of one's own."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, post

from storekeeper.domain.errors import LimitReached
from storekeeper.domain.views import OrderView
from storekeeper.http.answers import Answer
from storekeeper.services.order_views import SavedOrderViews
from storekeeper.web.admin.order_filters import OrderFilters
from storekeeper.web.admin.orders import ORDERS, orders_page
from storekeeper.web.forms import FormErrors
from storekeeper.web.pages import HTML
from storekeeper.web.visit import Visit, visit_of

PageRequest = Request[Any, Any, Any]
FILTERS = ("state", "sku", "since", "until")


class OrderViewForms(Controller):
    path = f"{ORDERS}/views"
    opt = {"is_page": True}
    include_in_schema = False

    @post("/", access="orders:read", status_code=200, media_type=HTML)
    async def save(self, request: PageRequest) -> Answer[bytes]:
        visit = visit_of(request)
        filters = OrderFilters(**{name: visit.text(name)[:254] for name in FILTERS})
        errors = FormErrors(visit)
        errors.require("name")
        values = {"name": visit.text("name")} | {name: getattr(filters, name) for name in FILTERS}
        view = None if errors else errors.read(OrderView, values)
        if view is not None:
            try:
                await _saved(visit).save(visit.call("", None), view)
            except LimitReached as error:
                errors.note(error, fields=("name",))
        if errors:
            return await orders_page(visit, filters, errors)
        visit.tell(visit.say("The filters are saved."))
        return visit.go(filters.address())

    @post("/remove", access="orders:read", status_code=200, media_type=HTML)
    async def remove(self, request: PageRequest) -> Answer[bytes]:
        visit = visit_of(request)
        await _saved(visit).remove(visit.call("", None), visit.text("name")[:200])
        visit.tell(visit.say("The saved filters are removed."))
        return visit.go(ORDERS)


def _saved(visit: Visit) -> SavedOrderViews:
    found: SavedOrderViews = visit.pages.shop.order_views
    return found
