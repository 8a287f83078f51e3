"""The OpenAPI 3.1 document: read off the routes, their types and the errors they name.

Nothing is written here that a route could contradict; what a route does, it says itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import BodyKwarg
from litestar.routes import HTTPRoute
from litestar.types import Empty
from msgspec import NODEFAULT

from storekeeper import __version__
from storekeeper.domain import errors
from storekeeper.domain.errors import ShopError, catalogue
from storekeeper.http.about import DESCRIPTION, TAGS
from storekeeper.http.examples import example_of, problem_example
from storekeeper.http.openapi import ANYWHERE, CHANGING, WITH_BODY, Problems, described
from storekeeper.http.paging import PageView
from storekeeper.http.problems import MEDIA_TYPE, Problem
from storekeeper.http.schemas import Schemas, doc_of, paragraphs, without_null
from storekeeper.http.security import PUBLIC, SIGNED_IN, SIGNED_IN_OR_KEY

JSON = "application/json"
Members = dict[str, Any]

# Headers that every answer may have.
EVERYWHERE = ("X-Request-ID", "RateLimit-Policy", "RateLimit")
# Headers of answers, by the name under which operations refer to them.
HEADERS: Mapping[str, Members] = {
    "X-Request-ID": {
        "description": "Names this request in the log; your own, if you sent one.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 128},
        "required": True,
    },
    # As structured fields (RFC 9651), by draft-ietf-httpapi-ratelimit-headers-11.
    "RateLimit-Policy": {
        "description": "How many requests you have (`q`) in how many seconds (`w`). Missing where "
        "the shop sets no limit.",
        "schema": {
            "type": "string",
            "pattern": '^"default";q=[0-9]+;w=[0-9]+$',
            "examples": ['"default";q=1200;w=60'],
        },
    },
    "RateLimit": {
        "description": "How many requests are left (`r`), and in how many seconds (`t`) all are "
        "yours again or, after a 429, the next one is. Missing where the shop sets no limit.",
        "schema": {
            "type": "string",
            "pattern": '^"default";r=[0-9]+;t=[0-9]+$',
            "examples": ['"default";r=1199;t=1'],
        },
    },
    "Retry-After": {
        "description": "Wait for so many seconds before the next try.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {
        "description": "How to log in: `Bearer`.",
        "schema": {"type": "string"},
        "required": True,
    },
    "ETag": {
        "description": "The version, to be sent as `If-Match` with a change.",
        "schema": {"type": "string", "pattern": '^"[0-9]+[0-9-]*"$', "examples": ['"3"']},
        "required": True,
    },
    "Location": {
        "description": "Where to read what was made.",
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "Link": {
        "description": 'The next page (RFC 8288): `</orders?cursor=…>; rel="next"`. Missing on '
        "the last one.",
        "schema": {"type": "string"},
    },
    "Idempotent-Replayed": {
        "description": "`true` when an earlier request with this Idempotency-Key had done it.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}


def document_of(app: Litestar) -> Members:
    """The whole document, as JSON values."""
    schemas = Schemas()
    paths: dict[str, Members] = {}
    for route, method, handler, model in operations(app):
        made = _Operation(schemas, route, method, handler, model).made()
        paths.setdefault(route.path_format, {})[method.lower()] = made
    schemas.of(Problem)
    outside = getattr(app.state.shop, "outside", None)
    if outside is not None:
        _offer_outside(paths)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Storekeeper",
            "version": __version__,
            "summary": "Inventory and orders of a shop.",
            "description": DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "This shop"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": {path: paths[path] for path in sorted(paths)},
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "headers": dict(HEADERS),
            "examples": {kind.code: _problem_component(kind) for kind in catalogue()},
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An access token from `POST /auth/login`, or an API key "
                    "(`sk_…`) from `POST /api-keys`. The names beside it are scopes.",
                },
                **({} if outside is None else {"cognito": _outside_scheme(outside.tokens.issuer)}),
            },
        },
    }


def operations(app: Litestar) -> Iterator[tuple[HTTPRoute, str, HTTPRouteHandler, Any]]:
    """Each documented operation with its route, method, handler and Litestar's parameter model."""
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method, (handler, model) in route.route_handler_map.items():
                if handler.resolve_include_in_schema():
                    yield route, method, handler, model


def _offer_outside(paths: dict[str, Members]) -> None:
    """Wherever an access token of ours will do, one of the provider's does."""
    for item in paths.values():
        for operation in item.values():
            security = operation["security"]
            security += [{"cognito": one["bearer"]} for one in security if "bearer" in one]


def _outside_scheme(issuer: str) -> Members:
    return {
        "type": "openIdConnect",
        "openIdConnectUrl": f"{issuer}/.well-known/openid-configuration",
        "description": "An access token (not the ID token) of this shop's Cognito user pool, as "
        "`Authorization: Bearer …`. What somebody may do follows from their groups; the names "
        "beside it are scopes of this shop.",
    }


def operation_id(handler: HTTPRouteHandler, path: str) -> str:
    """`orders_place`: the resource and what the handler's function is called."""
    name: str = handler.fn.__name__
    parts = [part for part in path.split("/") if part]
    resource = re.sub(r"[^a-z0-9]+", "_", parts[0].lower()) if parts else ""
    if len(parts) == 1 and resource.startswith(name):
        return name
    verb, _, rest = name.partition("_")
    # `list_keys` of `/api-keys` is `api_keys_list`: the resource is named already.
    return f"{resource}_{verb if rest and resource.endswith(rest) else name}"


def _problem_component(kind: type[ShopError]) -> Members:
    return {"summary": kind.title, "description": kind.remedy, "value": problem_example(kind)}


class _Operation:
    """One operation's object in the making."""

    def __init__(
        self,
        schemas: Schemas,
        route: HTTPRoute,
        method: str,
        handler: HTTPRouteHandler,
        model: Any,
    ) -> None:
        self._schemas = schemas
        self._path = route.path_format
        self._method = method
        self._handler = handler
        self._model = model
        self._access = handler.opt.get("access")
        self._fields = handler.parsed_fn_signature.parameters
        # A body that the handler reads as a stream is documented by its operation class.
        self._streamed = handler.operation_class().request_body

    def made(self) -> Members:
        handler = self._handler
        text = paragraphs(handler.fn.__doc__ or "")
        found: Members = {
            "operationId": operation_id(handler, self._path),
            "summary": handler.summary or "",
            "description": "\n\n".join(filter(None, (text, self._who_may()))),
            "tags": sorted(handler.resolve_tags()),
            "security": self._security(),
            "parameters": sorted(
                self._parameters(), key=lambda one: (_ORDER[one["in"]], one["name"])
            ),
            "responses": self._responses(),
        }
        body = self._body()
        return {**found, "requestBody": body} if body else found

    def _who_may(self) -> str:
        if self._access == SIGNED_IN:
            return "For who is logged in; an API key can't do this."
        if self._access in (PUBLIC, SIGNED_IN_OR_KEY, None):
            return ""
        if isinstance(self._access, tuple):
            return f"Needs one of the scopes {', '.join(f'`{one}`' for one in self._access)}."
        return f"Needs the scope `{self._access}`."

    def _security(self) -> list[Members]:
        if self._access == PUBLIC:
            return [dict(one) for one in self._handler.resolve_security()] or [{}]
        if self._access in (SIGNED_IN, SIGNED_IN_OR_KEY):
            return [{"bearer": []}]
        scopes = self._access if isinstance(self._access, tuple) else (self._access,)
        return [{"bearer": [scope]} for scope in scopes]

    def _parameters(self) -> Iterator[Members]:
        model = self._model
        for place, expected in (
            ("path", model.expected_path_params),
            ("query", model.expected_query_params),
            ("header", model.expected_header_params),
        ):
            for parameter in expected:
                yield self._parameter(place, parameter)

    def _parameter(self, place: str, parameter: Any) -> Members:
        annotation = self._handler.signature_model.__annotations__[parameter.field_name]
        schema = without_null(self._schemas.of(annotation))
        description = schema.pop("description", None) or ""
        if parameter.default not in (Empty, NODEFAULT, None, ...):
            schema["default"] = parameter.default
        if parameter.is_sequence:
            return {
                "name": parameter.field_alias,
                "in": place,
                "description": f"{description} May be given several times.".strip(),
                "required": parameter.is_required,
                "schema": schema,
                "explode": True,
            }
        return {
            "name": parameter.field_alias,
            "in": place,
            "description": description,
            "required": place == "path" or parameter.is_required,
            "schema": schema,
        }

    def _body(self) -> Members | None:
        if self._streamed is not None:
            found: Members = self._streamed.to_schema()
            return found
        field = self._fields.get("data")
        if field is None:
            return None
        kind = field.annotation
        if field.is_optional:
            kind = next(one.annotation for one in field.inner_types if not one.is_none_type)
        media = JSON
        if isinstance(field.kwarg_definition, BodyKwarg):
            media = _media_type(field.kwarg_definition.media_type)
        content = {"schema": self._schemas.of(kind), "example": example_of(kind)}
        types = (JSON, "application/merge-patch+json") if self._method == "PATCH" else (media,)
        return {"required": not field.is_optional, "content": dict.fromkeys(types, content)}

    def _responses(self) -> Members:
        found: dict[int, Members] = {self._handler.status_code: self._success()}
        if "if_none_match" in self._fields:
            found[304] = {
                "description": "It is still what the ETag in `If-None-Match` says.",
                "headers": _headers([*EVERYWHERE, "ETag"]),
            }
        named: dict[int, list[type[ShopError]]] = {}
        for status, spec in (self._handler.responses or {}).items():
            if isinstance(spec, Problems):
                named.setdefault(status, []).extend(spec.kinds)
            else:
                found[status] = self._other(spec)
        for kind in self._problems_of_its_shape():
            named.setdefault(kind.status, []).append(kind)
        for status, kinds in named.items():
            problem = self._problem(status, list(dict.fromkeys(kinds)))
            if status in found:
                found[status]["content"] = {**found[status]["content"], **problem["content"]}
            else:
                found[status] = problem
        return {str(status): found[status] for status in sorted(found)}

    def _problems_of_its_shape(self) -> tuple[type[ShopError], ...]:
        kinds = ANYWHERE
        if "data" in self._fields or self._streamed is not None:
            kinds += WITH_BODY
        if self._method != "GET":
            kinds += CHANGING
        if self._access != PUBLIC:
            kinds += (errors.Forbidden,)
        return kinds

    def _success(self) -> Members:
        kind = self._kind_of_answer()
        names = [*EVERYWHERE]
        found: Members = {"description": self._handler.response_description or _said_of(kind)}
        if kind is not None:
            media = _media_type(self._handler.media_type)
            found["content"] = self._content(kind, media or JSON)
            fields = getattr(kind, "__struct_fields__", ())
            names += ["ETag"] if "version" in fields else []
            names += ["Link"] if getattr(kind, "__origin__", None) is PageView else []
            names += self._headers_of_making()
        found["headers"] = _headers(names)
        for header in self._handler.resolve_response_headers():
            found["headers"].setdefault(
                header.name,
                {"description": header.description or "", "schema": {"type": "string"}},
            )
        return found

    def _headers_of_making(self) -> list[str]:
        is_keyed = "idempotency_key" in self._fields
        if self._handler.status_code == HTTPStatus.CREATED:
            return ["Location", "Idempotent-Replayed"] if is_keyed else ["Location"]
        if self._handler.status_code == HTTPStatus.ACCEPTED and is_keyed:
            return ["Location"]
        return []

    def _kind_of_answer(self) -> Any:
        returned = self._handler.parsed_fn_signature.return_type
        if returned.annotation is None or returned.is_none_type:
            return None
        if (
            returned.args
            and returned.origin is not None
            and hasattr(returned.origin, "to_asgi_response")
        ):
            return returned.args[0]
        return bytes if hasattr(returned.annotation, "to_asgi_response") else returned.annotation

    def _content(self, kind: Any, media: str) -> Members:
        if kind is bytes or media.startswith("text/"):
            return {media: {"schema": {"type": "string"} if media != JSON else {"type": "object"}}}
        return {media: {"schema": self._schemas.of(kind), "example": example_of(kind)}}

    def _other(self, spec: ResponseSpec) -> Members:
        kind = spec.data_container
        media = _media_type(spec.media_type)
        return {
            "description": spec.description,
            "headers": _headers(EVERYWHERE),
            "content": self._content(kind, media) if kind is not None else {},
        }

    def _problem(self, status: int, kinds: list[type[ShopError]]) -> Members:
        names = [*EVERYWHERE]
        names += ["Retry-After"] if status in (429, 503) else []
        names += ["WWW-Authenticate"] if status == HTTPStatus.UNAUTHORIZED else []
        return {
            "description": described(kinds),
            "headers": _headers(names),
            "content": {
                MEDIA_TYPE: {
                    "schema": self._schemas.of(Problem),
                    "examples": {
                        kind.code: {"$ref": f"#/components/examples/{kind.code}"} for kind in kinds
                    },
                }
            },
        }


_ORDER = {"path": 0, "query": 1, "header": 2}


def _media_type(named: Any) -> str:
    return str(getattr(named, "value", named) or "")


def _headers(names: Sequence[str]) -> Members:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _said_of(kind: Any) -> str:
    if kind is None:
        return "Done; there is nothing to say."
    if getattr(kind, "__origin__", None) is PageView:
        return "A page, in a stable order."
    return (doc_of(kind).split("\n\n")[0] if hasattr(kind, "__struct_fields__") else "") or "Done."
