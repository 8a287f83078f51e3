"""The Litestar application: routes, guards, problems, OpenAPI; knows no store and no engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from litestar import Litestar
from litestar.exceptions import HTTPException
from litestar.types import ControllerRouterHandler

from storekeeper.domain.errors import ShopError
from storekeeper.http import problems
from storekeeper.http.docs import Docs, Documentation
from storekeeper.http.express import Express
from storekeeper.http.gate import Gate
from storekeeper.http.reset_page import ResetPage
from storekeeper.http.security import Door
from storekeeper.http.strict import Strict, StrictRequest, prepare


def make_app(
    shop: Any,
    handlers: Sequence[ControllerRouterHandler],
    *,
    lifespan: Callable[[Litestar], AbstractAsyncContextManager[None]],
    max_body_bytes: int,
    public_url: str = "http://127.0.0.1:8000",
) -> Litestar:
    """The API over `shop`, whose attributes are the services, and the pages that describe it."""

    app = Litestar(
        route_handlers=[*handlers, Docs, ResetPage],
        middleware=[Door, Strict],
        request_class=StrictRequest,
        exception_handlers={
            ShopError: problems.of_shop_error,
            HTTPException: problems.of_http_error,
            Exception: problems.of_fault,
        },
        openapi_config=None,  # http.document makes the document, from the types themselves
        request_max_body_size=max_body_bytes,
        lifespan=[lifespan],
        logging_config=None,
    )
    app.state.shop = shop
    app.state.documentation = Documentation(app, public_url)
    prepare(app)
    # Outside of the router, so that what has no route is named, limited, counted and logged too.
    app.asgi_handler = Gate(
        Express(app.asgi_handler, shop.checkout, max_body_bytes),
        authenticator=shop.authenticator,
        limiter=shop.limiter,
        metrics=shop.metrics,
        client_of=shop.client_of,
        new_id=shop.tools.new_id,
        clock=shop.tools.clock,
        log=shop.log_request,
        behind_tls=public_url.startswith("https://"),
    )
    return app
