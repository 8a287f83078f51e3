"""Filters of the orders' table that somebody keeps under a name."""

from __future__ import annotations

from collections.abc import Sequence

from storekeeper.domain.errors import LimitReached
from storekeeper.domain.types import AccountId, ShortText, Struct

MOST_VIEWS = 20


class OrderView(Struct, frozen=True, kw_only=True):
    """A name and the filters behind it, as typed. No person can be filtered by: what is kept here
    outlives the customer."""

    name: ShortText
    state: str = ""
    sku: str = ""
    since: str = ""
    until: str = ""


class OrderViews(Struct, frozen=True, kw_only=True):
    """All of one account, under the account's id."""

    id: AccountId
    version: int
    views: tuple[OrderView, ...]


def with_view(views: Sequence[OrderView], view: OrderView) -> tuple[OrderView, ...]:
    """The last one of a name is what it means. Raises `LimitReached`."""
    found = (*without_view(views, view.name), view)
    if len(found) > MOST_VIEWS:
        raise LimitReached(f"{MOST_VIEWS} filters can be saved; remove one first", field="name")
    return found


def without_view(views: Sequence[OrderView], name: str) -> tuple[OrderView, ...]:
    return tuple(view for view in views if view.name.casefold() != name.casefold())
