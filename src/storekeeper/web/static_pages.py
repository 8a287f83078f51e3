"""Files that pages need; their addresses name their content, so they are kept for ever."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Controller, Request, get
from litestar.params import PathParameter

from storekeeper.domain.errors import NotFound
from storekeeper.http.answers import Answer
from storekeeper.http.security import PUBLIC
from storekeeper.web.visit import visit_of

PageRequest = Request[Any, Any, Any]
FOR_EVER = "public, max-age=31536000, immutable"


class StaticPages(Controller):
    path = "/static"
    opt = {"is_page": True}
    include_in_schema = False

    @get("/{name:str}", access=PUBLIC, media_type="application/octet-stream")
    async def read(
        self, request: PageRequest, name: Annotated[str, PathParameter(max_length=100)]
    ) -> Answer[bytes]:
        visit = visit_of(request)
        file = visit.pages.static_files.at(f"/static/{name}")
        if file is None:
            raise NotFound("there is no such file")
        headers = {"Cache-Control": FOR_EVER, "Vary": "Accept-Encoding"}
        body = file.body
        if "gzip" in visit.header(b"accept-encoding"):
            body, headers["Content-Encoding"] = file.packed, "gzip"
        return Answer(body, media_type=file.media_type, headers=headers)
