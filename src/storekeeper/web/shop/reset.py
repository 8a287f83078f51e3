"""`/reset`: where the mail about a forgotten password leads.

The link's secret is in the address, so the page is kept by nobody and tells its address to nobody
else; the secret goes on in the form's body.
"""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, get, post

from storekeeper.domain.errors import LinkUsed, ShopError
from storekeeper.http.answers import Answer
from storekeeper.http.security import PUBLIC
from storekeeper.services.credentials import Credentials
from storekeeper.web.forms import FormErrors
from storekeeper.web.pages import HTML
from storekeeper.web.shop.frame import shop_page
from storekeeper.web.visit import RESET, Visit, visit_of

PageRequest = Request[Any, Any, Any]
LONGEST_SECRET = 1_000


class ResetPage(Controller):
    path = RESET
    opt = {"is_page": True}
    include_in_schema = False

    @get("/", access=PUBLIC, media_type=HTML)
    async def show(self, request: PageRequest) -> Answer[bytes]:
        """The form, whether the link is good or not: only using it tells."""
        visit = visit_of(request)
        return await _page(visit, visit.query.get("token", ""), FormErrors(visit))

    @post("/", access=PUBLIC, costly=True, status_code=200, media_type=HTML)
    async def use(self, request: PageRequest) -> Answer[bytes]:
        """Sets the password; every session of the account ends."""
        visit = visit_of(request)
        token = visit.text("token")
        errors = FormErrors(visit)
        errors.require("new_password", "again")
        if not errors and visit.form["new_password"] != visit.form["again"]:
            errors.add("again", visit.say("The two passwords differ."))
        if not errors:
            credentials: Credentials = visit.pages.shop.credentials
            try:
                await credentials.reset_password(token[:LONGEST_SECRET], visit.form["new_password"])
            except LinkUsed as error:
                errors.refuse(error)
                token = ""
            except ShopError as error:
                if error.status >= 500:
                    raise
                errors.note(error, fields=("new_password",))
            else:
                visit.end_session()
                return await _page(visit, "", errors, is_done=True)
        return await _page(visit, token, errors)


async def _page(
    visit: Visit, token: str, errors: FormErrors, *, is_done: bool = False
) -> Answer[bytes]:
    return await shop_page(
        visit,
        "shop/reset.html",
        status=422 if errors else 200,
        token=token[:LONGEST_SECRET],
        errors=errors,
        is_done=is_done,
    )
