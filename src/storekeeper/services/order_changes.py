"""What happens to an order after it was placed: confirmed, cancelled, shipped, returned, expired.

Every change reads the caller's order, lets the domain decide, and commits what it decided.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from storekeeper.domain import fulfilment, ordering
from storekeeper.domain.accounts import Principal
from storekeeper.domain.changes import ChangeSet, Refusal, Short, Stale, Taken
from storekeeper.domain.errors import (
    Conflict,
    InsufficientStock,
    Invalid,
    NotFound,
    OrderState,
    PreconditionFailed,
    ShopError,
)
from storekeeper.domain.ordering import Step
from storekeeper.domain.orders import LineQuantity, Order
from storekeeper.domain.stock import MAIN, Location
from storekeeper.domain.types import LocationId, OrderId
from storekeeper.services.base import (
    ATTEMPTS,
    Call,
    Tools,
    key_claims,
    made_before,
    require,
    require_of_key,
)
from storekeeper.services.catalog_cache import CatalogCache

Transition = Callable[[Order, Step], tuple[Order, ChangeSet]]


class OrderChanges:
    """`count` is told of every order that was confirmed, cancelled or expired."""

    def __init__(self, tools: Tools, catalog: CatalogCache) -> None:
        self._tools = tools
        self._store = tools.store
        self._catalog = catalog
        self.count: Callable[[str], None] = lambda outcome: None

    async def confirm(self, call: Call, order_id: OrderId, if_match: int | None = None) -> Order:
        """Takes the reserved stock; confirming a confirmed order changes nothing."""
        require_of_key(call, "orders:write")
        is_new = False

        def transition(order: Order, step: Step) -> tuple[Order, ChangeSet]:
            nonlocal is_new
            is_new = order.confirmed_at is None or order.state == "cancelled"
            return ordering.confirm(order, step) if is_new else (order, ChangeSet())

        order = await self.change(call, order_id, transition, if_match=if_match)
        if is_new:
            self.count("confirmed")
        return order

    async def cancel(
        self, call: Call, order_id: OrderId, reason: str = "", if_match: int | None = None
    ) -> Order:
        """Puts the stock back. Customers may until something is shipped, staff also after."""
        require_of_key(call, "orders:write")
        is_staff = call.principal.may("orders:write")
        is_new = False

        def transition(order: Order, step: Step) -> tuple[Order, ChangeSet]:
            nonlocal is_new
            is_new = order.state != "cancelled"
            if not is_new:
                return order, ChangeSet()
            if order.state == "partially_shipped" and not is_staff:
                raise OrderState(
                    "a part of the order was shipped already; ask the shop", state=order.state
                )
            return ordering.cancel(order, step, reason)

        order = await self.change(call, order_id, transition, if_match=if_match)
        if is_new:
            self.count("cancelled")
        return order

    async def ship(
        self,
        call: Call,
        order_id: OrderId,
        *,
        lines: Sequence[LineQuantity] | None,
        location_id: LocationId | None = None,
        carrier: str = "",
        tracking_number: str = "",
        if_match: int | None = None,
    ) -> Order:
        """Sends units, all that is left with `lines` None. Without a location they leave from
        where they are allocated, one shipment from each place."""
        require(call, "orders:write")
        if location_id is not None:
            await self._require_location(location_id)

        def transition(order: Order, step: Step) -> tuple[Order, ChangeSet]:
            return fulfilment.ship(
                order, lines, location_id, step, carrier=carrier, tracking_number=tracking_number
            )

        return await self.change(call, order_id, transition, if_match=if_match)

    async def deliver(
        self,
        call: Call,
        order_id: OrderId,
        shipment_id: str | None = None,
        if_match: int | None = None,
    ) -> Order:
        """Marks a shipment, or all, as delivered; again changes nothing."""
        require(call, "orders:write")

        def transition(order: Order, step: Step) -> tuple[Order, ChangeSet]:
            if order.state == "delivered":
                return order, ChangeSet()
            return fulfilment.deliver(order, shipment_id, step)

        return await self.change(call, order_id, transition, if_match=if_match)

    async def take_back(
        self,
        call: Call,
        order_id: OrderId,
        *,
        lines: Sequence[LineQuantity] | None,
        location_id: LocationId = MAIN,
        restock: bool = True,
        reason: str = "",
        if_match: int | None = None,
    ) -> Order:
        """Takes shipped units back, on hand again with `restock`, scrapped without."""
        require(call, "orders:write")
        await self._require_location(location_id)

        def transition(order: Order, step: Step) -> tuple[Order, ChangeSet]:
            return fulfilment.take_back(
                order, lines, location_id, step, restock=restock, reason=reason
            )

        return await self.change(call, order_id, transition, if_match=if_match)

    async def expire_due(self, limit: int = 100) -> int:
        """Releases reservations whose time is over; answers how many. Safe to run anywhere."""
        step = self._tools.step(Principal(account_id=None, role="system"))
        due = await self._store.expired_orders(step.now, limit)
        # Together, so that they share a flush.
        ended = await asyncio.gather(*(self._expire(order, step) for order in due))
        return sum(ended)

    async def _expire(self, order: Order, step: Step) -> bool:
        _, change = ordering.expire(order, step)
        try:
            await self._store.commit(change)
        except Stale:
            return False  # confirmed or cancelled in between
        self.count("expired")
        return True

    async def change(
        self,
        call: Call,
        order_id: OrderId,
        transition: Transition,
        *,
        if_match: int | None = None,
    ) -> Order:
        """Reads the caller's order, lets the domain decide, commits; retries when it was stale.

        Raises `NotFound` for an order that isn't the caller's, `PreconditionFailed`.
        """
        if await made_before(self._store, call):
            return await self.order(call.principal, order_id)
        for _ in range(ATTEMPTS):
            try:
                return await self._try_to_change(call, order_id, transition, if_match)
            except (Stale, Taken, ShopError) as error:
                if isinstance(error, Stale) and error.kind == "Location":
                    self._catalog.forget_locations()
                # What an earlier try did is the answer, however the order stands by now.
                if await made_before(self._store, call):
                    return await self.order(call.principal, order_id)
                if isinstance(error, ShopError):
                    raise
        raise Conflict("others keep changing this order; try again shortly")

    async def _try_to_change(
        self, call: Call, order_id: OrderId, transition: Transition, if_match: int | None
    ) -> Order:
        order = await self.order(call.principal, order_id)
        if if_match is not None and order.version != if_match:
            raise PreconditionFailed(
                f"the order is at version {order.version}; read it again", current=order.version
            )
        changed, change = transition(order, await self._step(call.principal))
        claims = key_claims(call, order_id)
        if changed is order and not claims:
            return order
        back_at = [move.location_id for move in change.movements if move.on_hand > 0]
        checks = await self._catalog.checks_of(back_at) if back_at else ()
        try:
            # The key is taken also where nothing is left to do, or it could do something else.
            await self._store.commit(change + ChangeSet(checks=checks, claims=claims))
        except (Stale, Taken):
            raise
        except Short as short:
            raise self._short_lines(short) from None
        except Refusal as refusal:
            raise Conflict(str(refusal)) from refusal
        return changed

    async def _step(self, principal: Principal) -> Step:
        """A step that brings units of a closed location to the first one that is open."""
        places = await self._catalog.locations()
        return msgspec.structs.replace(
            self._tools.step(principal),
            restock_to=lambda place: place if place in places else places[0],
        )

    async def order(self, principal: Principal, order_id: OrderId) -> Order:
        """An order that the caller may see; raises `NotFound` for any other."""
        order = await self._store.get(Order, order_id)
        if order is None or not self._may_see(principal, order):
            raise NotFound(f"there is no order {order_id}")
        return order

    def _may_see(self, principal: Principal, order: Order) -> bool:
        may_all = principal.may("orders:read") or principal.may("orders:write")
        if may_all or principal.role == "system":
            return True
        if principal.account_id is None or principal.api_key_id is not None:
            return principal.order_id is not None and principal.order_id == order.id
        return order.customer_id == principal.account_id

    def _short_lines(self, short: Short) -> InsufficientStock:
        lines = [
            {
                "product_id": shortage.product_id,
                "location_id": shortage.location_id,
                "requested": shortage.requested,
                "available": shortage.available,
            }
            for shortage in short.lines
        ]
        places = ", ".join(dict.fromkeys(str(line["location_id"]) for line in lines))
        return InsufficientStock(
            f"there is not enough stock at {places}; leave location_id out to ship the units from "
            "where they are allocated",
            lines=lines,
        )

    async def _require_location(self, location_id: LocationId) -> None:
        if await self._store.get(Location, location_id) is None:
            raise Invalid(f"there is no location {location_id}", field="location_id")
