"""A cart: what somebody means to order. It promises nothing and reserves nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from storekeeper.domain.errors import LimitReached
from storekeeper.domain.money import Money
from storekeeper.domain.types import MAX_QUANTITY, AccountId, Struct, fold_sku

MOST_CART_LINES = 1_000
# A cart that nobody touches for so long is removed.
CART_KEPT = timedelta(days=180)


class CartLine(Struct, frozen=True, kw_only=True):
    """Units of a product, each once in a cart; `seen` is the unit price when it was last shown."""

    sku: str
    quantity: int
    seen: Money


class Cart(Struct, frozen=True, kw_only=True):
    """The cart of an account, under the account's id."""

    id: AccountId
    version: int
    lines: tuple[CartLine, ...]
    updated_at: datetime
    expires_at: datetime


Lines = Sequence[CartLine]


def added(lines: Lines, line: CartLine) -> tuple[CartLine, ...]:
    """With that many units more of a product. Raises `LimitReached`."""
    there = next((one for one in lines if _is_same(one, line.sku)), None)
    quantity = line.quantity + (there.quantity if there else 0)
    return changed(lines, msgspec.structs.replace(line, quantity=min(quantity, MAX_QUANTITY)))


def changed(lines: Lines, line: CartLine) -> tuple[CartLine, ...]:
    """With exactly that many units of a product, none for 0; a new one comes last."""
    if any(_is_same(one, line.sku) for one in lines):
        found = tuple(line if _is_same(one, line.sku) else one for one in lines)
    else:
        found = (*lines, line)
    return _checked(one for one in found if one.quantity > 0)


def merged(kept: Lines, brought: Lines) -> tuple[CartLine, ...]:
    """Two carts of one person as one: of what is in both, the larger number, so that logging in
    twice doubles nothing."""
    found = {fold_sku(line.sku): line for line in kept}
    for line in brought:
        there = found.get(fold_sku(line.sku))
        if there is None or there.quantity < line.quantity:
            found[fold_sku(line.sku)] = line
    return _checked(found.values())


def without(lines: Lines, taken: Lines) -> tuple[CartLine, ...]:
    """What is left after these units were ordered; what came into the cart meanwhile stays."""
    units = {fold_sku(line.sku): line.quantity for line in taken}
    return tuple(
        msgspec.structs.replace(line, quantity=left)
        for line in lines
        if (left := line.quantity - units.get(fold_sku(line.sku), 0)) > 0
    )


def _is_same(line: CartLine, sku: str) -> bool:
    return fold_sku(line.sku) == fold_sku(sku)


def _checked(lines: Iterable[CartLine]) -> tuple[CartLine, ...]:
    found = tuple(lines)
    if len(found) > MOST_CART_LINES:
        raise LimitReached(f"a cart holds {MOST_CART_LINES} products; order these first")
    return found
