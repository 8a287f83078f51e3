"""Saved filters of the orders' table: everybody's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from storekeeper.domain import views
from storekeeper.domain.accounts import Principal
from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.errors import Unauthenticated
from storekeeper.domain.types import AccountId
from storekeeper.domain.views import OrderView, OrderViews
from storekeeper.services.base import Call, Tools, require, with_fresh_reads

Change = Callable[[Sequence[OrderView]], tuple[OrderView, ...]]


class SavedOrderViews:
    """Saving and removing may be repeated; both end the same."""

    def __init__(self, tools: Tools) -> None:
        self._store = tools.store

    async def of(self, principal: Principal) -> tuple[OrderView, ...]:
        """In the order in which they were saved."""
        if principal.account_id is None:
            return ()
        kept = await self._store.get(OrderViews, principal.account_id)
        return kept.views if kept is not None else ()

    async def save(self, call: Call, view: OrderView) -> tuple[OrderView, ...]:
        """Raises `LimitReached`."""
        return await self._change(call, lambda kept: views.with_view(kept, view))

    async def remove(self, call: Call, name: str) -> tuple[OrderView, ...]:
        return await self._change(call, lambda kept: views.without_view(kept, name))

    async def _change(self, call: Call, change: Change) -> tuple[OrderView, ...]:
        require(call, "orders:read")
        account_id = call.principal.account_id
        if account_id is None:
            raise Unauthenticated("log in first")

        async def attempt() -> tuple[OrderView, ...]:
            return await self._try(account_id, change)

        return await with_fresh_reads(attempt)

    async def _try(self, account_id: AccountId, change: Change) -> tuple[OrderView, ...]:
        kept = await self._store.get(OrderViews, account_id)
        before = kept.views if kept is not None else ()
        after = change(before)
        if after != before:
            version = 1 if kept is None else kept.version + 1
            record = OrderViews(id=account_id, version=version, views=after)
            await self._store.commit(ChangeSet(puts=(Put(record),)))
        return after
