"""`/openapi.json`, `/docs`, `/docs/errors` and `/`: what the API says of itself.

Made once, when first asked for, off the event loop; the pages need no script and nothing from
elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cached_property
from importlib import resources
from typing import Any

import msgspec
from litestar import Controller, Litestar, Request, get

from storekeeper import __version__
from storekeeper.http.answers import Answer
from storekeeper.http.openapi import problems_of
from storekeeper.http.security import PUBLIC

ApiRequest = Request[Any, Any, Any]
HTML = "text/html; charset=utf-8"
# Style sheets from here, nothing else from anywhere: no script, no frame, no form.
PAGE = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
}
STYLE = {"Cache-Control": "public, max-age=600"}
SHOP = "/shop"
LINKS = {
    "name": "Storekeeper",
    "version": __version__,
    "docs": "/docs",
    "openapi": "/openapi.json",
    "errors": "/docs/errors",
    "health": "/healthz",
    "shop": SHOP,
}


class Documentation:
    """The document and the pages made from it, of one application."""

    def __init__(self, app: Litestar, public_url: str) -> None:
        self._app = app
        self._public_url = public_url.rstrip("/")

    @cached_property
    def document(self) -> dict[str, Any]:
        from storekeeper.http.document import document_of

        found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document_of(self._app)))
        return found

    @cached_property
    def as_json(self) -> bytes:
        return msgspec.json.encode(self.document)

    @cached_property
    def reference(self) -> bytes:
        from storekeeper.http.reference import reference_page

        return reference_page(self.document, self._public_url)

    @cached_property
    def errors(self) -> bytes:
        from storekeeper.http.reference import errors_page

        return errors_page()

    @cached_property
    def style(self) -> bytes:
        return resources.files("storekeeper.http").joinpath("templates/style.css").read_bytes()


class Docs(Controller):
    tags = ["operation"]
    security: list[dict[str, list[str]]] = [{}]

    @get(
        "/openapi.json",
        access=PUBLIC,
        summary="Read this document",
        responses=problems_of(),
        response_description="OpenAPI 3.1.",
    )
    async def openapi(self, request: ApiRequest) -> Answer[bytes]:
        """All operations with their types, problems and examples, for programs to read."""
        return Answer(
            await made(request, lambda docs: docs.as_json), headers={"Cache-Control": "no-cache"}
        )

    @get("/docs", access=PUBLIC, include_in_schema=False, media_type=HTML)
    async def reference(self, request: ApiRequest) -> Answer[bytes]:
        """The document as a page to read."""
        return page(await made(request, lambda docs: docs.reference))

    @get("/docs/errors", access=PUBLIC, include_in_schema=False, media_type=HTML)
    async def errors(self, request: ApiRequest) -> Answer[bytes]:
        """Every error code; a problem's `type` leads here."""
        return page(await made(request, lambda docs: docs.errors))

    @get("/docs/style.css", access=PUBLIC, include_in_schema=False, media_type="text/css")
    async def style(self, request: ApiRequest) -> Answer[bytes]:
        found = await made(request, lambda docs: docs.style)
        return Answer(found, media_type="text/css; charset=utf-8", headers=STYLE)

    @get("/", access=PUBLIC, include_in_schema=False)
    async def landing(self, request: ApiRequest) -> Answer[Any]:
        """Where to go from here: people to the shop, programs by links."""
        if "text/html" in request.headers.get("accept", ""):
            return Answer(b"", status_code=303, headers={"Location": SHOP, "Vary": "Accept"})
        return Answer(LINKS, headers={"Vary": "Accept"})


async def made(request: ApiRequest, what: Callable[[Documentation], bytes]) -> bytes:
    docs: Documentation = request.app.state.documentation
    return await asyncio.to_thread(what, docs)


def page(body: bytes, headers: dict[str, str] | None = None) -> Answer[bytes]:
    return Answer(body, media_type=HTML, headers={**PAGE, **(headers or {})})
