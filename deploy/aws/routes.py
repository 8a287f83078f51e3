"""What the gateway lets through, read off the application itself: its OpenAPI document for the API,
its other routes for pages. Nothing is listed here that the application could contradict."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from litestar import Litestar
from litestar.routes import HTTPRoute

from storekeeper.app import open_shop
from storekeeper.app.serving import make_asgi
from storekeeper.config import Settings
from storekeeper.http.strict import is_costly
from storekeeper.telemetry.metrics import PROBES


class Route(NamedTuple):
    """`key` as HTTP APIs name routes: `GET /orders/{order_id}`. `needs_login`: it is of no use to
    who sends no token. `is_costly`: it is held back sooner than others."""

    key: str
    needs_login: bool
    is_costly: bool = False


def routes() -> list[Route]:
    """All, but for those that only operators ask (`PROBES`)."""
    return asyncio.run(_read())


def of_document(document: Mapping[str, Any], costly: Collection[str] = ()) -> list[Route]:
    """The operations of an OpenAPI document; keys of `costly` are marked."""
    return [
        Route(key, needs_login={} not in operation["security"], is_costly=key in costly)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if path not in PROBES and (key := f"{method.upper()} {path}")
    ]


def of_pages(app: Litestar, document: Mapping[str, Any], costly: Collection[str]) -> list[Route]:
    """Whatever else the application answers, by the first part of its path: people's browsers bring
    cookies, which the application reads."""
    paths = {
        route.path_format
        for route in app.routes
        if isinstance(route, HTTPRoute) and route.path_format not in document["paths"]
    }
    firsts = sorted({path.split("/")[1] for path in paths})
    # These can be held back alone only by routes of their own.
    found = [
        Route(key, needs_login=False, is_costly=True)
        for key in sorted(costly)
        if key.partition(" ")[2] in paths
    ]
    for first in firsts:
        found.append(Route(f"ANY /{first}", needs_login=False))
        if any(path.startswith(f"/{first}/") for path in paths) and first:
            found.append(Route(f"ANY /{first}/{{proxy+}}", needs_login=False))
    return found


def costly_of(app: Litestar) -> frozenset[str]:
    """The keys of the routes that anybody can make the application work hard with."""
    return frozenset(
        f"{method} {route.path_format}"
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method, (handler, _) in route.route_handler_map.items()
        if is_costly(handler)
    )


async def _read() -> list[Route]:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(database=str(Path(folder, "shop.db")))
        async with open_shop(settings) as shop:
            app = make_asgi(shop)
            document = app.state.documentation.document
            costly = costly_of(app)
            return [*of_document(document, costly), *of_pages(app, document, costly)]
