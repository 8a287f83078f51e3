"""Placing, confirming, cancelling and expiring orders."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Annotated

import msgspec

from storekeeper.domain import fulfilment, ordering
from storekeeper.domain.accounts import Account, Email, Principal
from storekeeper.domain.allocation import STRATEGIES, Available, from_one
from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import ChangeSet, Refusal, Short, Stale, Taken
from storekeeper.domain.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    InsufficientStock,
    Invalid,
    KeyReused,
    NotFound,
    OrderState,
    PreconditionFailed,
    ProductUnavailable,
    ShopError,
)
from storekeeper.domain.money import Money, check_currency
from storekeeper.domain.ordering import Placing, Step, WantedLine
from storekeeper.domain.orders import Address, Allocation, LineQuantity, Order
from storekeeper.domain.stock import MAIN, Location
from storekeeper.domain.types import (
    MAX_LINES,
    AccountId,
    LocationId,
    Note,
    OrderId,
    ProductId,
    Quantity,
    Sku,
    Struct,
)
from storekeeper.services.base import Call, Tools, key_claims, made_before, require
from storekeeper.services.catalog_cache import CatalogCache

RETRIES = 16
Transition = Callable[[Order, Step], tuple[Order, ChangeSet]]


class LineRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line to order: a product by `product_id` or `sku`, and how many units.

    `unit_price` is for staff who agreed on a price; others are refused.
    """

    quantity: Quantity
    product_id: ProductId | None = None
    sku: Sku | None = None
    unit_price: Money | None = None


class PlaceOrder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to order. Guests give `email`; staff may order for a customer by `customer_id`.

    `expected_total`: the total that was shown; the order is refused if it isn't the one now.
    `confirm`: take the stock at once instead of reserving it.
    """

    lines: Annotated[tuple[LineRequest, ...], msgspec.Meta(min_length=1, max_length=MAX_LINES)]
    shipping_address: Address | None = None
    note: Note = ""
    email: Email | None = None
    customer_id: AccountId | None = None
    expected_total: Money | None = None
    confirm: bool = False


class Placed(Struct, frozen=True, kw_only=True):
    """An order, and whether an earlier try with the same key had made it."""

    order: Order
    is_replay: bool = False


class Checkout:
    """`reservation` is how long placing holds stock; `secret` signs guests' links."""

    def __init__(
        self,
        tools: Tools,
        catalog: CatalogCache,
        *,
        reservation: timedelta = timedelta(minutes=15),
        strategy: str = "one_if_possible",
        secrets: Sequence[bytes],
    ) -> None:
        self._tools = tools
        self._store = tools.store
        self._catalog = catalog
        self._reservation = reservation
        self._strategy = STRATEGIES[strategy]
        self._secrets = secrets
        self.count: Callable[[str], None] = lambda outcome: None

    async def place(self, call: Call, request: PlaceOrder) -> Placed:
        """Reserves (or with `confirm` takes) the stock of all lines, or of none.

        Raises `InsufficientStock`, `ProductUnavailable`, `TotalChanged`, `KeyReused`, `Invalid`.
        """
        _require_of_key(call)
        self._check_rights(call.principal, request)
        order_id = self._order_id(call, request)
        try:
            return await self._place(call, request, order_id)
        except ShopError as error:
            # A retry of an order that stands is answered with it, whatever has changed since.
            before = await self._placed_before(order_id, call) if call.key else None
            if before is not None:
                return before
            if isinstance(error, (InsufficientStock, ProductUnavailable)):
                self.count("refused")
            raise

    async def _place(self, call: Call, request: PlaceOrder, order_id: OrderId) -> Placed:
        email = await self._email_for(call.principal, request)
        for _ in range(RETRIES):
            products = await self._catalog.products(request.lines)
            try:
                order = await self._try_to_place(call, request, order_id, email, products)
            except Stale as stale:
                if stale.kind == "Order":
                    raise AlreadyExists("the order stands already") from None
                self._catalog.forget(stale.id)
            except Taken:
                continue  # another order has this number; the next try draws a new one
            except Short as short:
                available = await self._really_short(short, products, request)
                if available:
                    raise self._shortage(available, products, request) from None
            else:
                self.count("placed")
                if request.confirm:
                    self.count("confirmed")
                return Placed(order=order)
        raise Conflict("products or stock keep changing under this order; try again shortly")

    async def confirm(self, call: Call, order_id: OrderId, if_match: int | None = None) -> Order:
        """Takes the reserved stock; confirming a confirmed order changes nothing."""
        _require_of_key(call)
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
        _require_of_key(call)
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
        location_id: LocationId = MAIN,
        carrier: str = "",
        tracking_number: str = "",
        if_match: int | None = None,
    ) -> Order:
        """Sends units from a location; `lines` None means all that is left."""
        require(call, "orders:write")
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
        for _ in range(RETRIES):
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

    def guest_token(self, order_id: str) -> str:
        """The secret in a guest's link; made from the order's id, so that it needs no keeping."""
        return _sign(self._secrets[0], order_id)

    def is_guest_token(self, order_id: str, token: str) -> bool:
        given = token.encode()
        return any(
            hmac.compare_digest(_sign(secret, order_id).encode(), given) for secret in self._secrets
        )

    def _may_see(self, principal: Principal, order: Order) -> bool:
        may_all = principal.may("orders:read") or principal.may("orders:write")
        if may_all or principal.role == "system":
            return True
        if principal.account_id is None or principal.api_key_id is not None:
            return principal.order_id is not None and principal.order_id == order.id
        return order.customer_id == principal.account_id

    async def _try_to_place(
        self,
        call: Call,
        request: PlaceOrder,
        order_id: OrderId,
        email: str,
        products: Sequence[Product],
    ) -> Order:
        step = self._tools.step(call.principal)
        wanted = [
            WantedLine(product=product, quantity=line.quantity, unit_price=line.unit_price)
            for line, product in zip(request.lines, products, strict=True)
        ]
        locations = await self._catalog.locations()
        available = {} if len(locations) == 1 else await self._available(products)

        def allocate(lines: Sequence[WantedLine]) -> dict[int, tuple[Allocation, ...]]:
            if len(locations) == 1:
                return from_one(lines, locations[0])
            return self._strategy(lines, locations, available)

        customer_id = request.customer_id
        if customer_id is None and not call.principal.may("orders:write"):
            customer_id = call.principal.account_id
        order, change = ordering.place(
            Placing(
                id=order_id,
                number=new_number(),
                lines=wanted,
                expires_at=step.now + self._reservation,
                confirm=request.confirm,
                customer_id=customer_id,
                email=email,
                shipping_address=request.shipping_address,
                note=request.note,
                expected_total=request.expected_total,
                fingerprint=call.fingerprint,
            ),
            allocate,
            step,
        )
        await self._store.commit(change)
        return order

    def _check_rights(self, principal: Principal, request: PlaceOrder) -> None:
        is_staff = principal.may("orders:write")
        if not is_staff:
            if request.customer_id not in (None, principal.account_id):
                raise Forbidden("only staff order for somebody else", field="customer_id")
            for number, line in enumerate(request.lines):
                if line.unit_price is not None:
                    raise Forbidden("only staff set a price", field=f"lines[{number}].unit_price")
        for number, line in enumerate(request.lines):
            if line.unit_price is not None:
                check_currency(line.unit_price.currency, f"lines[{number}].unit_price.currency")
                if line.unit_price.amount < 0:
                    raise Invalid("a price isn't negative", field=f"lines[{number}].unit_price")
        if request.expected_total is not None:
            check_currency(request.expected_total.currency, "expected_total.currency")

    async def _email_for(self, principal: Principal, request: PlaceOrder) -> str:
        """The address that hears of the order. A customer's own is read when it is needed."""
        if request.email is not None:
            return request.email
        if request.customer_id not in (None, principal.account_id):
            account = await self._store.get(Account, str(request.customer_id))
            if account is None or account.status != "active":
                raise Invalid("there is no such customer", field="customer_id")
        elif principal.account_id is None:
            raise Invalid("a guest's order needs an e-mail address", field="email")
        return ""

    def _order_id(self, call: Call, request: PlaceOrder) -> OrderId:
        """The same key of the same caller gives the same id, on any node, for ever."""
        if not call.key:
            return OrderId(self._tools.new_id())
        owner = call.principal.account_id or f"guest:{(request.email or '').casefold()}"
        digest = hashlib.sha256(f"{owner}\n{call.key}".encode()).digest()
        # A UUID of version 8: its bits are ours to choose (RFC 9562, section 5.8).
        value = int.from_bytes(digest[:16], "big")
        value = value & ~(0xF << 76) | (8 << 76)
        value = value & ~(0x3 << 62) | (2 << 62)
        return OrderId(str(uuid.UUID(int=value)))

    async def _placed_before(self, order_id: OrderId, call: Call) -> Placed | None:
        order = await self._store.get(Order, order_id)
        if order is None:
            return None
        if order.fingerprint != call.fingerprint:
            raise KeyReused(
                "this Idempotency-Key was sent before with another order; use a new key",
                field="Idempotency-Key",
            )
        return Placed(order=order, is_replay=True)

    async def _available(self, products: Sequence[Product]) -> Available:
        found: dict[ProductId, dict[LocationId, int]] = {}
        ids = list({product.id for product in products if product.track_stock})
        for level in await self._store.levels(ids):
            found.setdefault(level.product_id, {})[level.location_id] = level.available
        return found

    async def _really_short(
        self, short: Short, products: Sequence[Product], request: PlaceOrder
    ) -> dict[ProductId, int]:
        """What there is, over all open locations, of each product that falls short. With several
        locations a guard may fail at one while another has the units: then it is none."""
        active = await self._catalog.locations()
        if len(active) == 1:
            return {shortage.product_id: shortage.available for shortage in short.lines}
        available = await self._available(products)
        wanted: dict[ProductId, int] = {}
        for line, product in zip(request.lines, products, strict=True):
            if product.track_stock and not product.allow_backorder:
                wanted[product.id] = wanted.get(product.id, 0) + line.quantity
        found = {
            id: sum(max(0, available.get(id, {}).get(place, 0)) for place in active)
            for id in wanted
        }
        return {id: units for id, units in found.items() if units < wanted[id]}

    def _shortage(
        self,
        available: Mapping[ProductId, int],
        products: Sequence[Product],
        request: PlaceOrder,
    ) -> InsufficientStock:
        """Each line that asks for a product that falls short, with what there is of it."""
        lines = [
            {
                "line": number,
                "product_id": product.id,
                "sku": product.sku,
                "requested": line.quantity,
                "available": available[product.id],
            }
            for number, (line, product) in enumerate(
                zip(request.lines, products, strict=True), start=1
            )
            if product.id in available
        ]
        return InsufficientStock(
            "there is not enough of "
            + ", ".join(sorted({str(line["sku"]) for line in lines}))
            + "; order less of it",
            field="lines",
            lines=lines,
        )

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
        return InsufficientStock("there is not enough stock at this location", lines=lines)

    async def _require_location(self, location_id: LocationId) -> None:
        if await self._store.get(Location, location_id) is None:
            raise Invalid(f"there is no location {location_id}", field="location_id")


def _require_of_key(call: Call) -> None:
    """People order for themselves without any scope; a key does only what it was made for."""
    if call.principal.api_key_id is not None:
        require(call, "orders:write")


_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class RandomBytes:
    """Bytes of the system's random source, fetched many at a time: one call costs 25 us."""

    def __init__(self, size: int = 4_096) -> None:
        self._size = size
        self._pool = b""
        self._at = 0
        self._owner = 0

    def take(self, count: int) -> bytes:
        # After a fork two processes would hold the same pool.
        if self._at + count > len(self._pool) or self._owner != os.getpid():
            self._pool, self._at, self._owner = os.urandom(self._size), 0, os.getpid()
        taken = self._pool[self._at : self._at + count]
        self._at += count
        return taken


_random = RandomBytes()


def new_number() -> str:
    """A short number that can't be guessed and reads well: Crockford's base 32, 50 random bits."""
    value = int.from_bytes(_random.take(7), "big")
    digits = "".join([_ALPHABET[value >> shift & 31] for shift in range(45, -1, -5)])
    return f"{digits[:5]}-{digits[5:]}"


def normal_number(text: str) -> str:
    """The number that somebody meant who typed O for 0, I or L for 1, or left out the dash."""
    found = text.strip().upper().translate(str.maketrans("OIL", "011", " -"))
    return f"{found[:5]}-{found[5:]}"


def _sign(secret: bytes, order_id: str) -> str:
    return hmac.new(secret, f"guest-order:{order_id}".encode(), hashlib.sha256).hexdigest()
