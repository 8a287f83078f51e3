"""The middleware of all pages: a form that changes something has to be one of ours."""

from __future__ import annotations

from typing import Any

from litestar import Request
from litestar.datastructures import UploadFile
from litestar.types import ASGIApp, Receive, Scope, Send

from storekeeper.domain.errors import Forbidden, UnsupportedMediaType
from storekeeper.web import cookies
from storekeeper.web.csrf import FIELD, is_from_elsewhere
from storekeeper.web.visit import Visit

FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
LONGEST_VALUE = 100_000


class FormGuard:
    """Reads the form of every request that isn't a mere look, and refuses one that isn't ours.

    No handler can forget it, because it is none of theirs.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit: Visit = scope["visit"]  # type: ignore[typeddict-item]
        if scope["method"] == "POST":  # type: ignore[typeddict-item]
            request: Request[Any, Any, Any] = Request(scope, receive, send)
            if is_from_elsewhere(visit.headers):
                raise Forbidden("this form was sent by another site; nothing was done")
            if request.content_type[0] not in FORMS:
                raise UnsupportedMediaType(f"send the form as {FORMS[0]}")
            fields = await request.form()
            for name, value in fields.multi_items():
                if not isinstance(value, UploadFile):
                    text = str(value).replace("\r\n", "\n")[:LONGEST_VALUE]
                    visit.form[name] = text
                    visit.lists.setdefault(name, []).append(text)
            token = visit.form.pop(FIELD, "")
            if not visit.pages.form_tokens.is_ours(token, visit.jar.get(cookies.VISITOR)):
                raise Forbidden(
                    "this page was open for too long, or cookies are switched off; nothing was "
                    "done. Go back, reload the page and send the form again"
                )
        await self._app(scope, receive, send)
