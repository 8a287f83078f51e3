"""Refusals in the reader's language.

The domain says in English what exactly is wrong. In any other language the kind of refusal is told,
by its code, and beside the field that is meant.
"""

from __future__ import annotations

from storekeeper.domain.errors import ShopError
from storekeeper.web.languages import LANGUAGES, Language, mark

_BY_CODE = {
    "invalid": mark("This value can't be used."),
    "already_exists": mark("This is taken already."),
    "weak_password": mark("This password is too easy to guess; take a longer one."),
    "wrong_password": mark("The password is wrong."),
    "too_many_requests": mark("That was tried too often. Please wait a little, then try again."),
    "last_admin": mark("The last admin can't be removed."),
    "open_orders": mark("There are orders that are still open. Cancel them, or wait for them."),
    "limit_reached": mark("That is as much as there may be."),
    "forbidden": mark("You may not do this."),
    "conflict": mark("Somebody else was faster. Please try again."),
    "product_unavailable": mark("A product is not for sale any more."),
    "insufficient_stock": mark("There is not enough stock."),
    "payload_too_large": mark("That is too large."),
}
_OTHERS = mark("This can't be done now.")


def told(error: ShopError, language: Language) -> str:
    if language.code == LANGUAGES[0]:
        return error.detail
    return language.texts.gettext(_BY_CODE.get(error.code, _OTHERS))
