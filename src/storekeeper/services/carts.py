"""Carts of accounts, and what a cart comes to now. Guests' carts are kept by their browsers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from storekeeper.domain import carts
from storekeeper.domain.accounts import Principal
from storekeeper.domain.carts import CART_KEPT, Cart, CartLine, Lines
from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.money import Money, total
from storekeeper.domain.types import AccountId, Struct, fold_sku
from storekeeper.services.base import Tools, with_fresh_reads
from storekeeper.store.port import Listed


class CartLook(Struct, frozen=True, kw_only=True):
    """A line as it stands now. `listed` is None for a product that isn't for sale any more.

    `available` units can be ordered, None: as many as wanted. `price` is the one now.
    """

    line: CartLine
    listed: Listed | None
    price: Money
    available: int | None

    @property
    def is_short(self) -> bool:
        return self.available is not None and self.available < self.line.quantity

    @property
    def has_new_price(self) -> bool:
        return self.listed is not None and self.price != self.line.seen

    @property
    def is_orderable(self) -> bool:
        return self.listed is not None and not self.is_short

    @property
    def amount(self) -> Money:
        return self.price * self.line.quantity


class CartView(Struct, frozen=True, kw_only=True):
    """All lines, and the sum of those for sale; None where there is none or two currencies."""

    looks: tuple[CartLook, ...]
    total: Money | None

    @property
    def is_orderable(self) -> bool:
        return (
            bool(self.looks)
            and self.total is not None
            and all(look.is_orderable for look in self.looks)
        )

    @property
    def units(self) -> int:
        return sum(look.line.quantity for look in self.looks)


class Carts:
    """Reading and keeping carts. What is in one is checked when it is looked at and ordered."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store

    async def kept(self, account_id: AccountId) -> tuple[CartLine, ...]:
        cart = await self._store.get(Cart, account_id)
        return cart.lines if cart is not None else ()

    async def change(
        self, account_id: AccountId, change: Callable[[Lines], tuple[CartLine, ...]]
    ) -> tuple[CartLine, ...]:
        """The account's lines after `change`, which may be asked again while another tab is
        faster. Raises what it raises."""

        async def attempt() -> tuple[CartLine, ...]:
            cart = await self._store.get(Cart, account_id)
            before = cart.lines if cart is not None else ()
            lines = change(before)
            if lines == before:
                return lines
            now = self._tools.clock()
            after = Cart(
                id=account_id,
                version=1 if cart is None else cart.version + 1,
                lines=lines,
                updated_at=now,
                expires_at=now + CART_KEPT,
            )
            await self._store.commit(ChangeSet(puts=(Put(after),)))
            return lines

        return await with_fresh_reads(attempt)

    async def merge(self, account_id: AccountId, brought: Lines) -> tuple[CartLine, ...]:
        """Adds the cart that somebody filled before they logged in."""
        return await self.change(account_id, lambda kept: carts.merged(kept, brought))

    async def look(self, principal: Principal, lines: Lines) -> CartView:
        """What the lines come to now, with a few questions whatever their number."""
        found = await self._store.products_by_sku([fold_sku(line.sku) for line in lines])
        listed = await self._store.listed([product.id for product in found.values()])
        looks = []
        for line in lines:
            product = found.get(fold_sku(line.sku))
            one = listed.get(product.id) if product is not None else None
            if one is None or not one.product.is_sellable:
                looks.append(CartLook(line=line, listed=None, price=line.seen, available=0))
                continue
            looks.append(
                CartLook(
                    line=line, listed=one, price=one.product.price, available=orderable_units(one)
                )
            )
        return CartView(looks=tuple(looks), total=_total(looks))


def orderable_units(listed: Listed) -> int | None:
    """How many units of a product can be ordered now; None: as many as wanted."""
    product = listed.product
    if not product.track_stock or product.allow_backorder:
        return None
    return max(0, listed.stock.available)


def _total(looks: Sequence[CartLook]) -> Money | None:
    amounts = [look.amount for look in looks if look.listed is not None]
    currencies = {amount.currency for amount in amounts}
    if len(currencies) != 1:
        return None
    return total(amounts, currencies.pop())
