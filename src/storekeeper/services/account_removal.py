"""Deleting an account: its orders are kept, everything personal goes; safe to break off."""

from __future__ import annotations

import contextlib
from datetime import timedelta

from storekeeper.domain import events
from storekeeper.domain.accounts import EMAIL, Account, ApiKey, normal_email
from storekeeper.domain.carts import Cart
from storekeeper.domain.changes import ChangeSet, Delete, Put, Release, Stale
from storekeeper.domain.errors import Forbidden, NotFound, OpenOrders
from storekeeper.domain.notes import OrderNote
from storekeeper.domain.ordering import without_personal_data
from storekeeper.domain.orders import OPEN_STATES, Order
from storekeeper.domain.types import AccountId
from storekeeper.domain.views import OrderViews
from storekeeper.services.account_records import (
    account_event,
    changed,
    ending_admin,
    ending_sessions,
    own_account,
    records_of,
)
from storekeeper.services.base import BY_SYSTEM, Call, Tools, require, with_fresh_reads
from storekeeper.services.credentials import Credentials
from storekeeper.store.port import OrderQuery

ORDERS_AT_ONCE = 20
NOTES_AT_ONCE = 100
# What one request clears itself; the sweeper does the rest of a longer history.
PAGES_IN_REQUEST = 25
# A request that was under way when its account was closed has long been answered by then.
SETTLED_AFTER = timedelta(minutes=5)


class AccountRemoval:
    """First one commit closes the account and forgets its owner, then page by page its orders
    do. An account is `deleting` until a look at all its orders, some minutes later, finds
    nothing left to clear; `finish` does that, from any process, as often as it likes."""

    def __init__(self, tools: Tools, credentials: Credentials) -> None:
        self._tools = tools
        self._store = tools.store
        self._credentials = credentials

    async def remove_own(self, call: Call, *, password: str, client_address: str) -> None:
        """Raises `WrongPassword`, `OpenOrders`, `LastAdmin`, `TooManyRequests`."""
        account = await own_account(self._store, call.principal)
        await self._credentials.require(account, password, client_address, "password")
        await self._remove(call, account.id)

    async def remove(self, call: Call, account_id: str) -> None:
        """Removes somebody else's account; one that is gone already stays gone.

        Raises `Forbidden`, `NotFound`, `OpenOrders`, `LastAdmin`.
        """
        require(call, "users:write")
        if account_id == call.principal.account_id:
            raise Forbidden("delete your own account at /users/me, with your password")
        await self._remove(call, AccountId(account_id))

    async def finish(self, limit: int = 100) -> int:
        """Goes on with deletions that were broken off or have orders that closed since;
        answers how many accounts are done now."""
        done = 0
        cursor: str | None = None
        while True:
            page = await self._store.find(Account, "status", "deleting", limit=limit, cursor=cursor)
            for account in page.items:
                is_clear = await self._clear_notes(account.id, pages=None)
                is_clear &= await self._clear_orders(BY_SYSTEM, account.id, pages=None)
                if is_clear and account.updated_at <= self._tools.clock() - SETTLED_AFTER:
                    done += await self._settle(account)
            cursor = page.next
            if cursor is None:
                return done

    async def _remove(self, call: Call, account_id: AccountId) -> None:
        await with_fresh_reads(lambda: self._close(call, account_id))
        await self._clear_notes(account_id, pages=PAGES_IN_REQUEST)
        await self._clear_orders(call, account_id, pages=PAGES_IN_REQUEST)

    async def _close(self, call: Call, account_id: AccountId) -> None:
        account = await self._store.get(Account, account_id)
        if account is None:
            raise NotFound(f"there is no user {account_id}")
        if account.status != "active":
            return
        await self._refuse_open_orders(account_id)
        guard = await ending_admin(self._store, account)
        keys = await records_of(self._store, ApiKey, account_id)
        cart = await self._store.get(Cart, account_id)
        views = await self._store.get(OrderViews, account_id)
        step = self._tools.step(call.principal)
        closed = changed(
            account,
            step.now,
            email="",
            name="",
            password_hash="",
            role="customer",
            status="deleting",
        )
        await self._store.commit(
            guard
            + await ending_sessions(self._store, account, closed)
            + ChangeSet(
                puts=self._tools.audited(
                    call.principal,
                    "account.deleted",
                    f"account:{account.id}",
                    before={"role": account.role},
                ),
                deletes=tuple(Delete("ApiKey", key.id, key.version) for key in keys)
                + ((Delete("Cart", cart.id, cart.version),) if cart is not None else ())
                + ((Delete("OrderViews", views.id, views.version),) if views is not None else ()),
                releases=(Release(EMAIL, normal_email(account.email)),),
                events=(account_event(account, events.ACCOUNT_DELETED, step),),
            )
        )

    async def _refuse_open_orders(self, account_id: AccountId) -> None:
        for state in OPEN_STATES:
            page = await self._store.orders(
                OrderQuery(customer_id=account_id, state=state, limit=1)
            )
            if page.items:
                raise OpenOrders(
                    f"order {page.items[0].number} is {state}; cancel it or wait until it is shipped",
                    number=page.items[0].number,
                )

    async def _clear_notes(self, account_id: AccountId, pages: int | None) -> bool:
        """Whether nothing is left of what staff wrote about somebody's orders. Once an account is
        closed, nothing is added."""
        while pages is None or pages > 0:
            page = await self._store.find(OrderNote, "customer", account_id, limit=NOTES_AT_ONCE)
            if not page.items:
                return True
            deletes = tuple(Delete("OrderNote", note.id, note.version) for note in page.items)
            # Where an author was faster, the rest goes with the next look.
            with contextlib.suppress(Stale):
                await self._store.commit(ChangeSet(deletes=deletes))
            pages = None if pages is None else pages - 1
        return False

    async def _clear_orders(self, call: Call, account_id: AccountId, pages: int | None) -> bool:
        """Whether all orders are free of personal data; one that is still open needs its address
        until it is shipped."""
        cursor: str | None = None
        is_clear = True
        while pages is None or pages > 0:
            page = await self._store.orders(
                OrderQuery(customer_id=account_id, limit=ORDERS_AT_ONCE, cursor=cursor)
            )
            try:
                is_clear &= await self._clear(call, page.items)
            except Stale:
                continue  # an order moved on; the same page again, as it is now
            if page.next is None:
                return is_clear
            cursor = page.next
            pages = None if pages is None else pages - 1
        return False

    async def _clear(self, call: Call, orders: tuple[Order, ...]) -> bool:
        step = self._tools.step(call.principal)
        closed = [order for order in orders if order.state not in OPEN_STATES]
        cleared = [(order, without_personal_data(order, step)) for order in closed]
        puts = tuple(Put(after) for before, after in cleared if after is not before)
        if puts:
            await self._store.commit(ChangeSet(puts=puts))
        return len(closed) == len(orders)

    async def _settle(self, account: Account) -> bool:
        gone = changed(account, self._tools.clock(), status="deleted")
        # A key or session may have been made while the account was being closed.
        keys = await records_of(self._store, ApiKey, account.id)
        late = ChangeSet(deletes=tuple(Delete("ApiKey", key.id, key.version) for key in keys))
        try:
            await self._store.commit(await ending_sessions(self._store, account, gone) + late)
        except Stale:
            return False  # another process was faster
        return True
