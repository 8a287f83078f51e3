"""What is sent is taken exactly: bodies by their type, and no query parameter that isn't known.

Litestar converts a body together with the query, leniently, because a query has only strings; and
it passes over what a handler doesn't ask for.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple, get_args
from urllib.parse import parse_qsl

import msgspec
from msgspec import inspect
from litestar import Litestar, Request
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Receive, Scope, Send

from storekeeper.domain.errors import Invalid, Malformed, UnsupportedMediaType
from storekeeper.http import problems
from storekeeper.http.security import MAX_KEY

JSON = b"application/json"
KEY = b"idempotency-key"
# Headers that decide something: sent twice, it would be anybody's guess which one counts.
_ONCE = frozenset({KEY, b"if-match", b"content-type"})


class KnownQuery(NamedTuple):
    """A route's query parameters: all of them, those that may stand there several times, and
    those that are any text."""

    names: frozenset[str] = frozenset()
    repeatable: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()


NO_QUERY = KnownQuery()


class StrictRequest(Request[Any, Any, Any]):
    """Decodes JSON straight into what the route handler's `data` is declared to be."""

    async def json(self) -> Any:
        check_media_type(
            self.headers.get("content-type", "application/json").encode("latin-1"),
            merge_patch=self.scope["method"] == "PATCH",
        )
        body = await self.body()
        try:
            return _decoder(_type_of_data(self.scope["route_handler"])).decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise problems.of_decode_error(error) from None


class Strict:
    """The middleware that refuses what no handler would look at, and answers OPTIONS."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        opt = scope["route_handler"].opt
        if "allow" in opt:
            await send({"type": "http.response.start", "status": 204, "headers": [opt["allow"]]})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        deciding(scope["headers"])
        if scope["query_string"]:
            check_query(scope["query_string"], opt.get("query", NO_QUERY))
        await self._app(scope, receive, send)


def prepare(app: Litestar) -> None:
    """Notes by each handler what its parameters are called when they are sent."""
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for handler, model in route.route_handler_map.values():
            expected = model.expected_query_params
            kinds = handler.signature_model.__annotations__
            handler.opt["query"] = KnownQuery(
                frozenset(one.field_alias for one in expected),
                frozenset(model.sequence_query_parameter_names),
                frozenset(o.field_alias for o in expected if _is_text(kinds[o.field_name])),
            )
            handler.opt["sent_names"] = {
                one.field_name: one.field_alias
                for one in (*expected, *model.expected_header_params)
            }
        # The framework's own OPTIONS forgets methods of handlers that came later.
        methods = route.methods | ({"HEAD"} if "GET" in route.methods else set())
        options, _ = route.route_handler_map["OPTIONS"]
        options.opt["allow"] = (b"allow", ", ".join(sorted(methods)).encode())


def check_query(query: bytes, known: KnownQuery) -> None:
    """Raises `Invalid` for a parameter that isn't known, or that stands there twice."""
    seen: set[str] = set()
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name not in known.names:
            there = ", ".join(sorted(known.names))
            there = f"there are {there}" if there else "there are none here"
            raise Invalid(f"there is no such query parameter; {there}", field=name)
        if name in seen and name not in known.repeatable:
            raise Invalid("send this query parameter only once", field=name)
        # msgspec would take this word for the parameter's absence.
        if value.lower() == "null" and name not in known.texts:
            raise Invalid("leave the parameter out instead of sending null", field=name)
        seen.add(name)


def deciding(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The headers that decide something. Raises `Malformed` for one that stands there twice,
    `Invalid` for a key that is none."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _ONCE:
            if name in found:
                raise Malformed(f"the header {name.decode()} stands there twice")
            found[name] = value
    if KEY in found and not 0 < len(found[KEY]) <= MAX_KEY:
        raise Invalid(f"an Idempotency-Key has 1 to {MAX_KEY} characters", field="Idempotency-Key")
    return found


def check_media_type(value: bytes, *, merge_patch: bool = False) -> None:
    """Raises `UnsupportedMediaType` for a body that isn't declared as JSON."""
    if value == JSON:
        return
    named = value.split(b";", 1)[0].strip().lower()
    if named != JSON and not (merge_patch and named == b"application/merge-patch+json"):
        raise UnsupportedMediaType("send the body as application/json")


def _is_text(annotation: Any) -> bool:
    info = inspect.type_info(annotation)
    while isinstance(info, inspect.Metadata):
        info = info.type
    if isinstance(info, inspect.UnionType):
        return any(_is_text(one) for one in get_args(annotation))
    return isinstance(info, inspect.StrType)


def _type_of_data(handler: Any) -> Any:
    return handler.parsed_fn_signature.parameters["data"].annotation


@lru_cache(maxsize=256)
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)
