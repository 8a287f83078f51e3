"""The cart of whoever visits: an account's is kept by the shop, a guest's in a cookie."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Callable

import msgspec

from storekeeper.domain import carts
from storekeeper.domain.carts import MOST_CART_LINES, CartLine, Lines
from storekeeper.domain.errors import LimitReached
from storekeeper.domain.money import MINOR_DIGITS, Money
from storekeeper.domain.types import MAX_AMOUNT, MAX_QUANTITY, AccountId, fold_sku
from storekeeper.services.carts import Carts
from storekeeper.web import cookies
from storekeeper.web.visit import Visit, unpacked

_KEPT_S = 90 * 86_400
# A browser keeps 4,096 characters of a cookie, its name and guards among them.
_MOST_CHARACTERS = 3_800
_MOST_BYTES = 64_000
# SKU, quantity, price as last shown.
_Packed = list[tuple[str, int, int, str]]


def carts_of(visit: Visit) -> Carts:
    found: Carts = visit.pages.shop.carts
    return found


async def lines_of(visit: Visit) -> tuple[CartLine, ...]:
    account_id = visit.principal.account_id
    if account_id is not None:
        return await carts_of(visit).kept(account_id)
    return _from_cookie(visit.jar.get(cookies.CART))


async def change_cart(
    visit: Visit, change: Callable[[Lines], tuple[CartLine, ...]]
) -> tuple[CartLine, ...]:
    """The visitor's lines after `change`. Raises `LimitReached`."""
    account_id = visit.principal.account_id
    if account_id is not None:
        return await carts_of(visit).change(account_id, change)
    lines = change(_from_cookie(visit.jar.get(cookies.CART)))
    keep_in_cookie(visit, lines)
    return lines


async def fit_cart(visit: Visit) -> tuple[CartLine, ...]:
    """The visitor's lines with no more units than there are, without what isn't for sale."""
    view = await carts_of(visit).look(visit.principal, await lines_of(visit))
    most = {
        fold_sku(look.line.sku): 0 if look.listed is None else look.available for look in view.looks
    }

    def fitted(lines: Lines) -> tuple[CartLine, ...]:
        found = tuple(lines)
        for line in lines:
            left = most.get(fold_sku(line.sku))
            if left is not None and left < line.quantity:
                found = carts.changed(found, msgspec.structs.replace(line, quantity=left))
        return found

    return await change_cart(visit, fitted)


async def bring_cart(visit: Visit, account_id: AccountId) -> None:
    """What a guest chose goes with them when they log in. Where both together are too much, it
    waits in the browser: nobody is kept from logging in by a cart."""
    brought = _from_cookie(visit.jar.get(cookies.CART))
    if not brought:
        return
    try:
        await carts_of(visit).merge(account_id, brought)
    except LimitReached:
        visit.tell(visit.say("Your two carts together are too full to be joined."), kind="bad")
    else:
        visit.jar.drop(cookies.CART)


def keep_in_cookie(visit: Visit, lines: Lines) -> None:
    if not lines:
        visit.jar.drop(cookies.CART)
        return
    packed: _Packed = [
        (line.sku, line.quantity, line.seen.amount, line.seen.currency) for line in lines
    ]
    body = zlib.compress(msgspec.json.encode(packed), 9)
    text = base64.urlsafe_b64encode(body).rstrip(b"=").decode()
    if len(text) > _MOST_CHARACTERS:
        raise LimitReached("your cart is full; log in, and it holds more")
    visit.jar.keep(cookies.CART, text, _KEPT_S)


def _from_cookie(text: str) -> tuple[CartLine, ...]:
    """What a cookie says that is sound, each product once; anybody can write one."""
    if not text:
        return ()
    try:
        body = zlib.decompressobj().decompress(unpacked(text), _MOST_BYTES)
        packed = msgspec.json.decode(body, type=_Packed)
    except (binascii.Error, zlib.error, msgspec.DecodeError, UnicodeDecodeError):
        return ()
    found = {
        fold_sku(sku): CartLine(
            sku=sku, quantity=quantity, seen=Money(amount=amount, currency=currency)
        )
        for sku, quantity, amount, currency in packed[:MOST_CART_LINES]
        if 0 < len(sku) <= 64
        and sku.isprintable()
        and 0 < quantity <= MAX_QUANTITY
        and 0 <= amount <= MAX_AMOUNT
        and currency in MINOR_DIGITS
    }
    return tuple(found.values())
