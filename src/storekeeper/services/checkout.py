"""Placing orders: all lines or none, once per key. What comes later is in `order_changes`."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any

import msgspec

from storekeeper.domain import ordering
from storekeeper.domain.accounts import Account, Email, Principal
from storekeeper.domain.allocation import STRATEGIES, Available, from_one
from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import Short, Stale, Taken
from storekeeper.domain.countries import check_country
from storekeeper.domain.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    InsufficientStock,
    Invalid,
    KeyReused,
    ProductUnavailable,
    ShopError,
)
from storekeeper.domain.money import Money, check_currency
from storekeeper.domain.ordering import Placing, WantedLine
from storekeeper.domain.orders import Address, Allocation, Order
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
from storekeeper.services.base import ATTEMPTS, Call, Tools, require_of_key
from storekeeper.services.catalog_cache import CatalogCache
from storekeeper.services.live_settings import LiveSettings
from storekeeper.services.order_numbers import new_number

# Products that a refusal's words name; its `lines` name all.
TOLD = 5


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
    """`reservation` is how long placing holds stock, unless `live` settings say it; `secrets` sign
    guests' links."""

    def __init__(
        self,
        tools: Tools,
        catalog: CatalogCache,
        *,
        reservation: timedelta = timedelta(minutes=15),
        strategy: str = "one_if_possible",
        secrets: Sequence[bytes],
        live: LiveSettings | None = None,
    ) -> None:
        self._tools = tools
        self._store = tools.store
        self._catalog = catalog
        self._reservation = reservation
        self._live = live
        self._strategy = STRATEGIES[strategy]
        self._secrets = secrets
        self.count: Callable[[str], None] = lambda outcome: None

    async def place(self, call: Call, request: PlaceOrder) -> Placed:
        """Reserves (or with `confirm` takes) the stock of all lines, or of none.

        Raises `InsufficientStock`, `ProductUnavailable`, `TotalChanged`, `KeyReused`, `Invalid`.
        """
        require_of_key(call, "orders:write")
        _check_rights(call.principal, request)
        _check_values(request)
        order_id = self._order_id(call)
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
        if self._live is not None:
            self._reservation = (await self._live.refresh()).reservation
        for _ in range(ATTEMPTS):
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
                    raise _shortage(available, products, request) from None
            else:
                self.count("placed")
                if request.confirm:
                    self.count("confirmed")
                return Placed(order=order)
        raise Conflict("products or stock keep changing under this order; try again shortly")

    async def placed_with(self, call: Call) -> Order | None:
        """The order that an earlier try with this key made, whatever it was sent with."""
        return await self._store.get(Order, self._order_id(call)) if call.key else None

    def guest_token(self, order_id: str) -> str:
        """The secret in a guest's link; made from the order's id, so that it needs no keeping."""
        return _sign(self._secrets[0], order_id)

    def is_guest_token(self, order_id: str, token: str) -> bool:
        given = token.encode()
        return any(
            hmac.compare_digest(_sign(secret, order_id).encode(), given) for secret in self._secrets
        )

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

    def _order_id(self, call: Call) -> OrderId:
        """The same key of the same caller gives the same id, on any node, for ever.

        Guests are one caller: nothing that comes with a key tells one from another for certain, so
        a key that was sent with another body, another address too, is refused.
        """
        if not call.key:
            return OrderId(self._tools.new_id())
        owner = call.principal.account_id or call.principal.role
        h = hashlib.sha256(f"{owner}\n{call.key}".encode()).hexdigest()
        # A UUID of version 8: its bits are ours to choose (RFC 9562, section 5.8).
        variant = "89ab"[int(h[16], 16) & 3]
        return OrderId(f"{h[:8]}-{h[8:12]}-8{h[13:16]}-{variant}{h[17:20]}-{h[20:32]}")

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
    available: Mapping[ProductId, int], products: Sequence[Product], request: PlaceOrder
) -> InsufficientStock:
    """Each product that falls short, with what its lines ask for together and what there is."""
    short: dict[ProductId, dict[str, Any]] = {}
    for number, (line, product) in enumerate(zip(request.lines, products, strict=True), start=1):
        if product.id not in available:
            continue
        entry = short.setdefault(
            product.id,
            {
                "product_id": product.id,
                "sku": product.sku,
                "line_numbers": [],
                "requested": 0,
                "available": available[product.id],
            },
        )
        entry["line_numbers"].append(number)
        entry["requested"] += line.quantity
    told = []
    for one in list(short.values())[:TOLD]:
        count = len(one["line_numbers"])
        on_lines = f" on {count} lines together" if count > 1 else ""
        told.append(
            f"{one['sku']} ({one['requested']} ordered{on_lines}, {one['available']} available)"
        )
    more = f" and {len(short) - TOLD} more" if len(short) > TOLD else ""
    return InsufficientStock(
        f"there is not enough of {', '.join(told)}{more}; order less of it",
        field="lines",
        lines=list(short.values()),
    )


def _check_rights(principal: Principal, request: PlaceOrder) -> None:
    is_staff = principal.may("orders:write")
    if not is_staff:
        if request.customer_id not in (None, principal.account_id):
            raise Forbidden("only staff order for somebody else", field="customer_id")
        for number, line in enumerate(request.lines):
            if line.unit_price is not None:
                raise Forbidden("only staff set a price", field=f"lines[{number}].unit_price")


def _check_values(request: PlaceOrder) -> None:
    """Raises `Invalid` for currencies, prices and countries that are none."""
    for number, line in enumerate(request.lines):
        if line.unit_price is not None:
            check_currency(line.unit_price.currency, f"lines[{number}].unit_price.currency")
            if line.unit_price.amount < 0:
                raise Invalid("a price isn't negative", field=f"lines[{number}].unit_price")
    if request.expected_total is not None:
        check_currency(request.expected_total.currency, "expected_total.currency")
    if request.shipping_address is not None:
        check_country(request.shipping_address.country, "shipping_address.country")


def _sign(secret: bytes, order_id: str) -> str:
    return hmac.new(secret, f"guest-order:{order_id}".encode(), hashlib.sha256).hexdigest()
