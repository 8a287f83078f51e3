"""What needs somebody now, and how the shop does."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, get

from storekeeper.http.answers import Answer
from storekeeper.web.admin.frame import BACK_OFFICE, admin_page
from storekeeper.web.pages import HTML
from storekeeper.web.visit import visit_of

PageRequest = Request[Any, Any, Any]


class Today(Controller):
    path = BACK_OFFICE
    opt = {"is_page": True}
    include_in_schema = False

    @get("/", access="orders:read", media_type=HTML)
    async def show(self, request: PageRequest) -> Answer[bytes]:
        visit = visit_of(request)
        return admin_page(visit, "admin/today.html")
