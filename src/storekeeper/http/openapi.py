"""What the OpenAPI document says of errors and security, from the one definition of each error."""

from __future__ import annotations

from collections import defaultdict

from litestar.datastructures import ResponseHeader
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Components, SecurityScheme

from storekeeper.domain import errors
from storekeeper.domain.errors import ShopError
from storekeeper.http.problems import MEDIA_TYPE, Problem

# What any route can answer; the rest is named per route.
ANYWHERE: tuple[type[ShopError], ...] = (
    errors.Malformed,
    errors.TooManyRequests,
    errors.Overloaded,
    errors.StoreUnavailable,
)
BEARER: list[dict[str, list[str]]] = [{"bearer": []}]
NO_LOGIN_NEEDED: list[dict[str, list[str]]] = [{}, {"bearer": []}]


def problems_of(*kinds: type[ShopError]) -> dict[int, ResponseSpec]:
    """Response documentation for the errors that a route names, and those of any route."""
    by_status: defaultdict[int, list[type[ShopError]]] = defaultdict(list)
    for kind in dict.fromkeys((*kinds, *ANYWHERE)):
        by_status[kind.status].append(kind)
    return {
        status: ResponseSpec(
            data_container=Problem,
            description="; ".join(f"`{kind.code}`: {kind.title}" for kind in found),
            media_type=MEDIA_TYPE,
            generate_examples=False,
        )
        for status, found in sorted(by_status.items())
    }


def needs_login(*kinds: type[ShopError]) -> dict[int, ResponseSpec]:
    """`problems_of` for a route that only somebody known may call."""
    return problems_of(*kinds, errors.Unauthenticated, errors.Forbidden)


ETAG = ResponseHeader(
    name="ETag", description="The version, for If-Match.", required=False, documentation_only=True
)
SCHEMES = Components(
    security_schemes={
        "bearer": SecurityScheme(
            type="http",
            scheme="bearer",
            description="An access token from `POST /auth/login`, or an API key (`sk_…`).",
        )
    }
)
