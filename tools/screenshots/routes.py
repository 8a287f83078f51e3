"""The pages that there are, as the application knows them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from litestar import Litestar
from litestar.routes import HTTPRoute

from storekeeper.web import PAGES
from storekeeper.web.pages import HTML

_NAME = re.compile(r"{[^}]*}")


def page_routes() -> Mapping[str, object]:
    """The addresses that answer GET with a page, as `/admin/orders/{}`, with who may open each."""
    app = Litestar(route_handlers=PAGES, openapi_config=None, logging_config=None)
    found = {
        _NAME.sub("{}", route.path_format): handler.opt["access"]
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        if "GET" in handler.http_methods and handler.media_type == HTML
    }
    return dict(sorted(found.items()))
