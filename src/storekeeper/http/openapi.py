"""What route handlers say of themselves: their problems, their security, their headers.

`http.document` makes the OpenAPI document from this and from the handlers' types.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from litestar.datastructures import ResponseHeader
from litestar.openapi.datastructures import ResponseSpec

from storekeeper.domain import errors
from storekeeper.domain.errors import ShopError
from storekeeper.http.problems import MEDIA_TYPE, Problem

# What any route can answer, whatever it does: headers, query and credentials are looked at first,
# and any read can find the store too busy.
ANYWHERE: tuple[type[ShopError], ...] = (
    errors.Malformed,
    errors.HeadTooLarge,
    errors.Unauthenticated,
    errors.Invalid,
    errors.TooManyRequests,
    errors.Overloaded,
    errors.ProviderUnavailable,
    errors.StoreUnavailable,
)
# What any route with a body can answer.
WITH_BODY: tuple[type[ShopError], ...] = (
    errors.PayloadTooLarge,
    errors.RequestTimeout,
    errors.UnsupportedMediaType,
)
# What any route that changes something can answer.
CHANGING: tuple[type[ShopError], ...] = (errors.OutcomeUnknown,)
BEARER: list[dict[str, list[str]]] = [{"bearer": []}]
NO_LOGIN_NEEDED: list[dict[str, list[str]]] = [{}, {"bearer": []}]


@dataclass
class Problems(ResponseSpec):
    """The errors that a route answers with one status."""

    kinds: tuple[type[ShopError], ...] = ()


def problems_of(*kinds: type[ShopError]) -> dict[int, ResponseSpec]:
    """Response documentation for the errors that a route names, and those of any route."""
    by_status: defaultdict[int, list[type[ShopError]]] = defaultdict(list)
    for kind in dict.fromkeys((*kinds, *ANYWHERE)):
        by_status[kind.status].append(kind)
    return {
        status: Problems(
            data_container=Problem,
            description=described(found),
            media_type=MEDIA_TYPE,
            generate_examples=False,
            kinds=tuple(found),
        )
        for status, found in sorted(by_status.items())
    }


def needs_login(*kinds: type[ShopError]) -> dict[int, ResponseSpec]:
    """`problems_of` for a route that only somebody known may call."""
    return problems_of(*kinds, errors.Unauthenticated, errors.Forbidden)


def described(kinds: list[type[ShopError]]) -> str:
    return "; ".join(f"`{kind.code}`: {kind.title}" for kind in kinds)


ETAG = ResponseHeader(
    name="ETag", description="The version, for If-Match.", required=False, documentation_only=True
)
