"""The one route that is answered before the router: placing an order.

A flash sale is this route and no other. Litestar's route of the same address documents it and
would answer the same (a test holds them together); going past the router, the request object and
the argument model makes an order's share of the framework a third (benchmarks/http_orders.py).
"""

from __future__ import annotations

from typing import Any

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from storekeeper.domain.accounts import GUEST, Principal
from storekeeper.http import problems
from storekeeper.http.orders import place_order
from storekeeper.http.security import check_credentials
from storekeeper.http.strict import JSON, KEY, NO_QUERY, check_media_type, check_query, deciding
from storekeeper.services.checkout import Checkout, PlaceOrder

_decode = msgspec.json.Decoder(PlaceOrder).decode
PATH = "/orders"


class Express:
    """Answers `POST /orders` itself and passes everything else on."""

    def __init__(self, app: ASGIApp, checkout: Checkout, max_body_bytes: int) -> None:
        self._app = app
        self._checkout = checkout
        self._limit = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["method"] != "POST" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        scope["path_template"] = PATH
        check_credentials(scope)
        if scope["query_string"]:
            check_query(scope["query_string"], NO_QUERY)
        headers = deciding(scope["headers"])
        key = headers[KEY].decode("latin-1") if KEY in headers else None
        body = await self._body(scope, receive)
        if not body:
            raise problems.no_body()
        check_media_type(headers.get(b"content-type", JSON))
        request = parse(body)
        principal: Principal = scope.get("user") or GUEST
        answer = await place_order(self._checkout, principal, request, key)
        await answer.to_asgi_response()(scope, receive, send)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        message: Any = await receive()
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            self._check(len(body))
            return body
        parts = [body]
        size = len(body)
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                raise problems.cut_off(scope)
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            self._check(size)
        return b"".join(parts)

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise problems.too_large(self._limit)


def parse(body: bytes) -> PlaceOrder:
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise problems.of_decode_error(error, PlaceOrder) from None
