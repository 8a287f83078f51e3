"""Pictures as browsers ask for them: for ever the same under one address."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Controller, Request, get
from litestar.params import PathParameter

from storekeeper.domain.errors import NotFound
from storekeeper.http.answers import Answer
from storekeeper.http.security import PUBLIC
from storekeeper.services.images import MEDIA_TYPE, Images
from storekeeper.web.static_pages import FOR_EVER


class ImagePages(Controller):
    """Without cookies: an address of its own, outside of the pages'."""

    path = "/images"
    include_in_schema = False

    @get("/{name:str}", access=PUBLIC, media_type=MEDIA_TYPE)
    async def read(
        self, request: Request[Any, Any, Any], name: Annotated[str, PathParameter(max_length=100)]
    ) -> Answer[bytes]:
        images: Images = request.app.state.shop.images
        found = await images.read(name)
        if found is None:
            raise NotFound("there is no such picture")
        # "nosniff" and a policy that lets nothing run are on every answer (http.gate).
        return Answer(found, media_type=MEDIA_TYPE, headers={"Cache-Control": FOR_EVER})
