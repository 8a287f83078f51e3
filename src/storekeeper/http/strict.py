"""What is sent is taken exactly: bodies by their type, and no query parameter that isn't known.

Litestar converts a body together with the query, leniently, because a query has only strings; and
it passes over what a handler doesn't ask for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec
from litestar import Litestar, Request
from litestar.handlers import BaseRouteHandler
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Receive, Scope, Send
from msgspec import inspect

from storekeeper.domain.errors import Invalid, Malformed, NotFound, UnsupportedMediaType
from storekeeper.http import problems
from storekeeper.http.security import MAX_KEY

JSON = b"application/json"
KEY = b"idempotency-key"
# Headers that decide something: sent twice, it would be anybody's guess which one counts.
_ONCE = frozenset({KEY, b"if-match", b"content-type"})
# What a query's strings must look like. Litestar reads them leniently: `1e2` as a number, `1` as
# true, `1700000000` as a time.
_SPELLINGS: tuple[tuple[type, re.Pattern[str], str], ...] = (
    (inspect.IntType, re.compile(r"-?[0-9]+"), "a whole number, in digits"),
    (inspect.BoolType, re.compile(r"true|false"), "true or false"),
    (
        inspect.DateTimeType,
        re.compile(r"[0-9]{4}-.+"),
        "a time with its zone, such as 2026-01-31T12:00:00Z",
    ),
)


class KnownQuery(NamedTuple):
    """A route's query parameters: all of them, those that may stand there several times, those
    that are any text, and how the others are spelled."""

    names: frozenset[str] = frozenset()
    repeatable: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    spelled: Mapping[str, tuple[re.Pattern[str], str]] = MappingProxyType({})


NO_QUERY = KnownQuery()


class StrictRequest(Request[Any, Any, Any]):
    """Decodes JSON straight into what the route handler's `data` is declared to be."""

    async def json(self) -> Any:
        check_media_type(
            self.headers.get("content-type", "application/json").encode("latin-1"),
            merge_patch=self.scope["method"] == "PATCH",
        )
        body = await self.body()
        kind = _type_of_data(self.scope["route_handler"])
        try:
            return _decoder(kind).decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise problems.of_decode_error(error, kind) from None


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
        if opt.get("spelled", scope["raw_path"]) != scope["raw_path"]:
            raise NotFound(f"this address is spelled {scope['path_template']}")
        deciding(scope["headers"])
        # Links to pages come with marks of campaigns and mail programs, which nobody typed.
        if scope["query_string"] and not opt.get("is_page"):
            check_query(scope["query_string"], opt.get("query", NO_QUERY))
        await self._app(scope, receive, send)


def prepare(app: Litestar) -> None:
    """Notes by each handler what its parameters are called when they are sent, and how its address
    is spelled if that matters: what stands in front of the shop holds costly routes back by their
    addresses, and the router would take `/shop/login/` and `/shop/%6Cogin` for them too."""
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for handler, model in route.route_handler_map.values():
            if is_costly(handler):
                handler.opt["spelled"] = route.path_format.encode()
            expected = model.expected_query_params
            kinds = handler.signature_model.__annotations__
            infos = {o.field_alias: inspect.type_info(kinds[o.field_name]) for o in expected}
            handler.opt["query"] = KnownQuery(
                frozenset(infos),
                frozenset(model.sequence_query_parameter_names),
                frozenset(name for name, info in infos.items() if _takes(info, inspect.StrType)),
                {
                    name: (pattern, words)
                    for name, info in infos.items()
                    for kind, pattern, words in _SPELLINGS
                    if _takes(info, kind)
                },
            )
            handler.opt["sent_names"] = {
                one.field_name: one.field_alias
                for one in (*expected, *model.expected_header_params)
            }
        # The framework's own OPTIONS forgets methods of handlers that came later.
        methods = route.methods | ({"HEAD"} if "GET" in route.methods else set())
        options, _ = route.route_handler_map["OPTIONS"]
        options.opt["allow"] = (b"allow", ", ".join(sorted(methods)).encode())


def is_costly(handler: BaseRouteHandler) -> bool:
    """Each call of it costs a password's hash, or mails somebody, and nobody need have logged in."""
    return handler.opt.get("costly", False) is True


def check_query(query: bytes, known: KnownQuery) -> None:
    """Raises `Invalid` for a parameter that isn't known, that stands there twice, or that is
    spelled as only a lenient reader understands it."""
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
        if name in known.spelled:
            pattern, words = known.spelled[name]
            if not pattern.fullmatch(value):
                raise Invalid(f"{name} must be {words}", field=name)
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


def _takes(info: inspect.Type, kind: type) -> bool:
    """Whether a parameter of this type may be of such a kind."""
    if isinstance(info, inspect.Metadata):
        return _takes(info.type, kind)
    if isinstance(info, inspect.UnionType):
        return any(_takes(one, kind) for one in info.types)
    return isinstance(info, kind)


def _type_of_data(handler: Any) -> Any:
    return handler.parsed_fn_signature.parameters["data"].annotation


@lru_cache(maxsize=256)
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)
