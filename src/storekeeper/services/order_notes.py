"""Notes of staff on orders. Customers never see them."""

from __future__ import annotations

from storekeeper.domain.accounts import Account, Principal
from storekeeper.domain.changes import ChangeSet, Check, Delete, Put
from storekeeper.domain.errors import Conflict, Forbidden, Invalid, LimitReached, NotFound
from storekeeper.domain.notes import MOST_NOTES, OrderNote
from storekeeper.domain.orders import Order
from storekeeper.domain.types import OrderId
from storekeeper.services.base import (
    Call,
    Tools,
    commit_once,
    made_before,
    require,
    with_fresh_reads,
)


def may_remove(principal: Principal, note: OrderNote) -> bool:
    """Its author, and admins: an author may have left."""
    return note.author_id == principal.account_id or principal.role == "admin"


class OrderNotes:
    """Notes are added and, by their author or an admin, removed; nobody rewrites one."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store

    async def of(self, call: Call, order_id: str) -> tuple[OrderNote, ...]:
        """All of an order, oldest first. Raises `NotFound`."""
        require(call, "orders:read")
        await self._order(order_id)
        # Some who write at the same time may pass the limit by a few.
        found = await self._store.find(OrderNote, "order", order_id, limit=2 * MOST_NOTES)
        return found.items

    async def add(self, call: Call, order_id: str, text: str) -> tuple[OrderNote, bool]:
        """The note, and whether a try before had made it. Raises `NotFound`, `Invalid` for a note
        that says nothing, `LimitReached`, `KeyReused`, `Conflict` where the order's account was
        deleted."""
        require(call, "orders:write")
        author = call.principal.account_id
        if author is None:
            raise Forbidden("a note has an author; log in")
        if not text.strip():
            raise Invalid("a note has at least one letter", field="text")
        if (before := await made_before(self._store, call)) is not None:
            return await self._note(order_id, before), True
        id = self._tools.new_id()

        async def attempt() -> str:
            order = await self._order(order_id)
            count = await self._store.count(OrderNote, "order", order.id, at_most=MOST_NOTES)
            if count >= MOST_NOTES:
                raise LimitReached(
                    f"an order has at most {MOST_NOTES} notes; remove one of yours first",
                    field="text",
                )
            note = OrderNote(
                id=id,
                version=1,
                order_id=order.id,
                text=text.strip(),
                at=self._tools.clock(),
                by=call.principal.name,
                author_id=author,
                customer_id=order.customer_id,
            )
            change = ChangeSet(puts=(Put(note),), checks=await self._still_there(order))
            return await commit_once(self._store, call, id, change)

        owner = await with_fresh_reads(attempt)
        return await self._note(order_id, owner), owner != id

    async def remove(self, call: Call, order_id: str, note_id: str) -> None:
        """Raises `NotFound`, `Forbidden` for a note that somebody else wrote."""
        require(call, "orders:write")

        async def attempt() -> None:
            note = await self._note(order_id, note_id)
            if not may_remove(call.principal, note):
                raise Forbidden("only who wrote a note, or an admin, removes it")
            delete = Delete("OrderNote", note.id, note.version)
            await self._store.commit(ChangeSet(deletes=(delete,)))

        await with_fresh_reads(attempt)

    async def _still_there(self, order: Order) -> tuple[Check, ...]:
        """Of somebody who was deleted nothing more is written: nothing would clear it away."""
        if order.customer_id is None:
            return ()
        customer = await self._store.get(Account, order.customer_id)
        if customer is None:
            return ()
        if customer.status != "active":
            raise Conflict("this order's account was deleted; nothing more is written about it")
        return (Check("Account", customer.id, customer.version),)

    async def _order(self, order_id: str) -> Order:
        order = await self._store.get(Order, OrderId(order_id))
        if order is None:
            raise NotFound(f"there is no order {order_id}")
        return order

    async def _note(self, order_id: str, note_id: str) -> OrderNote:
        note = await self._store.get(OrderNote, note_id)
        if note is None or note.order_id != order_id:
            raise NotFound(f"there is no note {note_id} on this order")
        return note
