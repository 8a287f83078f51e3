"""The middleware of all pages: a form that changes something has to be one of ours.

A handler that takes a file says so with `takes_file=True`; the file is then the handler's to read.
"""

from __future__ import annotations

from typing import Any

from litestar import Request
from litestar.datastructures import UploadFile
from litestar.types import ASGIApp, Receive, Scope, Send

from storekeeper.domain.errors import (
    Forbidden,
    NotFound,
    ShopError,
    Unauthenticated,
    UnsupportedMediaType,
)
from storekeeper.web import cookies
from storekeeper.web.csrf import FIELD, is_from_elsewhere
from storekeeper.web.uploads import read_form
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
        visit: Visit | None = scope.get("visit")  # type: ignore[assignment]
        if visit is None:
            # The router takes //shop for /shop; the gate, which lets people in, doesn't.
            raise NotFound("there is no such page")
        must_log_in: Unauthenticated | None = scope.get("must_log_in")  # type: ignore[assignment]
        try:
            try:
                await self._check(visit, scope, receive, send)
            except ShopError:
                if must_log_in is None:
                    raise
            if must_log_in is not None:
                # Only now, so that what was typed is known and can be kept.
                raise must_log_in
            await self._app(scope, receive, send)
        finally:
            if visit.upload is not None:
                await visit.upload.close()

    async def _check(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":  # type: ignore[typeddict-item]
            return
        request: Request[Any, Any, Any] = Request(scope, receive, send)
        if is_from_elsewhere(visit.headers, visit.pages.public_url):
            raise Forbidden("this form was sent by another site; nothing was done")
        takes_file = "takes_file" in scope["route_handler"].opt
        taken = FORMS[1:] if takes_file else FORMS
        if request.content_type[0] not in taken:
            raise UnsupportedMediaType(f"send the form as {taken[0]}")
        if takes_file:
            fields, visit.upload = await read_form(request)
        else:
            fields = await _fields(request)
        for name, value in fields:
            text = value.replace("\r\n", "\n").replace("\x00", "")[:LONGEST_VALUE]
            visit.form[name] = text
            visit.lists.setdefault(name, []).append(text)
        token = visit.form.pop(FIELD, "")
        if not visit.pages.form_tokens.is_ours(token, visit.jar.get(cookies.VISITOR)):
            raise Forbidden(
                "this page was open for too long, or cookies are switched off; nothing was "
                "done. Go back, reload the page and send the form again"
            )
        visit.is_ours = True


async def _fields(request: Request[Any, Any, Any]) -> list[tuple[str, str]]:
    form = await request.form()
    return [
        (name, str(value))
        for name, value in form.multi_items()
        if not isinstance(value, UploadFile)
    ]
