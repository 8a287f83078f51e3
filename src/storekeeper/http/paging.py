"""Lists a page at a time: `limit`, `cursor`, and a Link header to the next page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import urlencode

import msgspec
from litestar import Request
from litestar.params import QueryParameter

from storekeeper.http.answers import Answer
from storekeeper.store.port import Page

S = TypeVar("S")
T = TypeVar("T")
Limit = Annotated[int, QueryParameter(ge=1, le=200, description="How many items at most.")]
Cursor = Annotated[
    str | None,
    QueryParameter(max_length=1_000, description="Where to go on: `next` of the page before."),
]


class PageView(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Some items in a stable order; `next` is the cursor of the page that follows, if any."""

    items: tuple[T, ...]
    next: str | None = None


def page_answer(
    request: Request[Any, Any, Any], page: Page[S], view: Callable[[S], T]
) -> Answer[PageView[T]]:
    """A page of the store as the API shows it, item by item, with the way to the next."""
    return Answer(
        PageView(items=tuple(map(view, page.items)), next=page.next),
        headers=_link_to_next(request, page.next),
    )


def _link_to_next(request: Request[Any, Any, Any], cursor: str | None) -> dict[str, str]:
    """The Link header (RFC 8288) of a page that has a next one."""
    if cursor is None:
        return {}
    query = [
        (name, value) for name, value in request.query_params.multi_items() if name != "cursor"
    ]
    query.append(("cursor", cursor))
    return {"Link": f'<{request.url.path}?{urlencode(query)}>; rel="next"'}
