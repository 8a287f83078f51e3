"""`/reset`: the page behind the link of the mail about a forgotten password.

One form that works without a script. The link's secret is in the address, so the page sends no
referrer, isn't kept by anybody, and hands the secret on in the form's body.
"""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Controller, Request, get, post
from litestar.params import QueryParameter

from storekeeper.domain.errors import LinkUsed, ShopError, UnsupportedMediaType
from storekeeper.http.answers import Answer
from storekeeper.http.auth import credentials_of
from storekeeper.http.docs import HTML, PAGE
from storekeeper.http.reference import reset_page
from storekeeper.http.security import PUBLIC

ApiRequest = Request[Any, Any, Any]
FORM = "application/x-www-form-urlencoded"
MOST_FIELDS = 4
LONGEST = 1_000
HEADERS = {
    **PAGE,
    "Cache-Control": "no-store",
    "Content-Security-Policy": PAGE["Content-Security-Policy"].replace(
        "form-action 'none'", "form-action 'self'"
    ),
}
Secret = Annotated[str, QueryParameter(max_length=LONGEST)]


class ResetPage(Controller):
    path = "/reset"

    @get("/", access=PUBLIC, include_in_schema=False, media_type=HTML)
    async def show(self, token: Secret = "") -> Answer[bytes]:
        """The form, whether the link is good or not: only using it tells."""
        return _page(reset_page(token=token))

    @post("/", access=PUBLIC, include_in_schema=False, media_type=HTML, status_code=200)
    async def use(self, request: ApiRequest) -> Answer[bytes]:
        """Sets the password; what was wrong comes back with the form."""
        if request.content_type[0] != FORM:
            raise UnsupportedMediaType(f"send the form as {FORM}")
        fields = await request.form()
        token, new, again = (
            str(fields.get(name, ""))[:LONGEST] for name in ("token", "new_password", "again")
        )
        if new != again:
            return _page(reset_page(token=token, error="The two passwords differ."), status=422)
        try:
            await credentials_of(request).reset_password(token, new)
        except LinkUsed as error:
            return _page(reset_page(error=_sentence(error)), status=error.status)
        except ShopError as error:
            return _page(reset_page(token=token, error=_sentence(error)), status=error.status)
        return _page(reset_page(is_done=True))


def _page(body: bytes, status: int = 200) -> Answer[bytes]:
    return Answer(body, media_type=HTML, headers=HEADERS, status_code=status)


def _sentence(error: ShopError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
