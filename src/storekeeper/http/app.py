"""The Litestar application: routes, guards, problems, OpenAPI; knows no store and no engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from litestar import Litestar, Request
from litestar.exceptions import HTTPException
from litestar.types import ControllerRouterHandler

from storekeeper.domain.errors import ShopError
from storekeeper.http import problems
from storekeeper.http.answers import Answer
from storekeeper.http.docs import Docs, Documentation
from storekeeper.http.express import Express
from storekeeper.http.gate import Gate, Visits
from storekeeper.http.security import Door
from storekeeper.http.strict import Strict, StrictRequest, prepare
from storekeeper.telemetry.recent import RecentErrors


def make_app(
    shop: Any,
    handlers: Sequence[ControllerRouterHandler],
    *,
    lifespan: Callable[[Litestar], AbstractAsyncContextManager[None]],
    max_body_bytes: int,
    public_url: str = "http://127.0.0.1:8000",
    pages: Visits | None = None,
    recent: RecentErrors | None = None,
) -> Litestar:
    """The API over `shop`, whose attributes are the services, the pages that describe it, and
    `pages`, the shop for people, whose handlers are among the others. What goes wrong is noted in
    `recent`."""
    app = make_routes(handlers, lifespan=lifespan, max_body_bytes=max_body_bytes)
    put_over(
        app,
        shop,
        max_body_bytes=max_body_bytes,
        public_url=public_url,
        pages=pages,
        recent=recent,
    )
    return app


def make_routes(
    handlers: Sequence[ControllerRouterHandler],
    *,
    lifespan: Callable[[Litestar], AbstractAsyncContextManager[None]],
    max_body_bytes: int,
) -> Litestar:
    """The handlers without a shop; to read all their types takes a fifth of a second."""
    app = Litestar(
        route_handlers=[*handlers, Docs],
        middleware=[Door, Strict],
        request_class=StrictRequest,
        exception_handlers={
            ShopError: _told(problems.of_shop_error),
            HTTPException: _told(problems.of_http_error),
            Exception: _told(problems.of_fault),
        },
        openapi_config=None,  # http.document makes the document, from the types themselves
        request_max_body_size=max_body_bytes,
        lifespan=[lifespan],
        logging_config=None,
    )
    prepare(app)
    app.state.routes = app.asgi_handler
    return app


def put_over(
    app: Litestar,
    shop: Any,
    *,
    max_body_bytes: int,
    public_url: str,
    pages: Visits | None,
    recent: RecentErrors | None = None,
) -> None:
    """Lets the routes serve `shop`, in place of another that is closed."""
    app.state.shop = shop
    app.state.pages = pages
    app.state.documentation = Documentation(app, public_url)
    # Outside of the router, so that what has no route is named, limited, counted and logged too.
    app.asgi_handler = Gate(
        Express(app.state.routes, shop.checkout, max_body_bytes),
        authenticator=shop.authenticator,
        limiter=shop.limiter,
        metrics=shop.metrics,
        client_of=shop.client_of,
        new_id=shop.tools.new_id,
        clock=shop.tools.clock,
        log=shop.log_request,
        behind_tls=public_url.startswith("https://"),
        pages=pages,
        recent=recent,
    )


def _told(
    as_problem: Callable[[Any, Any], Answer[bytes]],
) -> Callable[[Request[Any, Any, Any], Any], Answer[bytes]]:
    """Answers programs with a problem and people with a page."""

    def handle(request: Request[Any, Any, Any], error: Any) -> Answer[bytes]:
        pages: Visits | None = request.app.state.pages
        request.scope["fault"] = type(error).__name__  # type: ignore[typeddict-unknown-key]
        if pages is None or "visit" not in request.scope:
            return as_problem(request, error)
        if isinstance(error, HTTPException):
            error = problems.translated(request, error)
        return pages.refuse(request.scope, error)

    return handle
