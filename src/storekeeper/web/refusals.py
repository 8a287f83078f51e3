"""Refusals in the reader's language.

The domain says in English what exactly is wrong. What customers meet has its sentence here; in any
other case another language tells the kind of refusal, by its code, beside the field that is meant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from storekeeper.domain.errors import ShopError
from storekeeper.web.languages import LANGUAGES, Language, mark
from storekeeper.web.refusals_of_staff import STAFF

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
    "link_invalid": mark("This link was used already or is too old. Please ask for a new one."),
}
_OTHERS = mark("This can't be done now.")
# A field as the API calls it; no page shows these names.
_FIELD = r"[a-z][\w.\[\]]*"
# What a detail says, and how a page says it in every language.
_BY_DETAIL = tuple(
    (re.compile(pattern, re.DOTALL), text)
    for pattern, text in (
        (
            r"this address has an account; log in, or set a new password",
            mark("This address has an account already. Log in, or ask for a new password."),
        ),
        (
            r"this picture was removed because no product showed it; upload it again",
            mark("This picture was removed because no product showed it. Upload it again."),
        ),
        (
            r"a password has at least (?P<count>\d+) characters",
            mark("A password has at least %(count)s characters."),
        ),
        (
            r"a password has at most (?P<count>\d+) characters",
            mark("A password has at most %(count)s characters."),
        ),
        (
            r"a password isn't your own name or address",
            mark("A password isn't your own name or address."),
        ),
        (
            r"this password is one of the most common; choose another",
            mark("This password is one of the most common. Please choose another."),
        ),
        (
            r"mails can't name this address for answers; .*",
            mark("Mails can't name this address for answers. Use one such as help@example.com."),
        ),
        (
            r"this order's account was deleted; nothing more is written about it",
            mark("This order's account was deleted. Nothing more is written about it."),
        ),
        (
            r"changing the address needs the password",
            mark("A new e-mail address needs your password."),
        ),
        (
            r"your cart is full; log in, and it holds more",
            mark("Your cart is full. Log in, and it holds more."),
        ),
        (
            r"a cart holds (?P<count>\d+) products; order these first",
            mark("A cart holds %(count)s products. Please order these first."),
        ),
        (
            r"order (?P<number>\S+) is \S+; cancel it or wait until it is shipped",
            mark("Order %(number)s is still open. Cancel it, or wait until it is on its way."),
        ),
        (
            r"this page was open for too long, .*",
            mark(
                "This page was open for too long, or cookies are switched off. Nothing was done. "
                "Go back, reload the page and send the form again."
            ),
        ),
        (
            r"this form was sent by another site; nothing was done",
            mark("This form was sent by another site. Nothing was done."),
        ),
        (
            rf"{_FIELD} must have at most (?P<count>\d+) characters",
            mark("At most %(count)s characters, please."),
        ),
        (rf"{_FIELD} must have at least \d+ characters?", mark("Please fill this in.")),
        (rf"{_FIELD} must be at least (?P<count>-?\d+)", mark("At least %(count)s, please.")),
        (rf"{_FIELD} must be at most (?P<count>\d+)", mark("At most %(count)s, please.")),
        (
            rf"{_FIELD} must have at most (?P<count>\d+) (?:items|entries)",
            mark("At most %(count)s of these, please."),
        ),
        (
            rf"{_FIELD} must be one line of text .*",
            mark("Please write one line of plain text."),
        ),
        (
            rf"{_FIELD} must be an e-mail address such as (?P<example>\S+)",
            mark("Please type an e-mail address such as %(example)s."),
        ),
        (
            r"(?:The email address|The part after the @-sign|An email address|The domain name) .*",
            mark("No mail can reach this address. Please look at it again."),
        ),
        (
            rf"{_FIELD} must be a country's code .*|\S* is no country's code .*",
            mark("Please choose a country."),
        ),
        *STAFF,
    )
)
_WAIT = re.compile(r"(?:too many failed tries|at most \d+ requests a minute); wait \d+ s.*")
_AMOUNT = re.compile(r".* (?:is not an amount .*|has more decimals than \w+ has)", re.DOTALL)
# A detail that quotes what was typed may be as long as a form.
_LONGEST = 2_000


def told(error: ShopError, language: Language) -> str:
    """The refusal as the page says it: in words that `forms.sentence` makes a sentence."""
    detail = error.detail
    if known := sentence_of(error, language):
        return known
    if language.code == LANGUAGES[0]:
        return detail
    if _AMOUNT.fullmatch(detail[:_LONGEST]):
        return language.texts.gettext(mark("Please type an amount such as 19.99."))
    return language.texts.gettext(_BY_CODE.get(error.code, _OTHERS))


def sentence_of(error: ShopError, language: Language) -> str | None:
    """What exactly is wrong, where there is a sentence for it in every language."""
    detail = error.detail
    if len(detail) <= _LONGEST:
        if _WAIT.fullmatch(detail):
            return _wait(error, language)
        for pattern, text in _BY_DETAIL:
            if found := pattern.fullmatch(detail):
                return language.texts.gettext(text) % _said(found.groupdict(), language)
    return None


def _said(groups: Mapping[str, str], language: Language) -> dict[str, str]:
    """What the sentence names; counts as they are written in the language."""
    count = groups.get("count", "")
    return {**groups, **({"count": language.number(int(count))} if count else {})}


def _wait(error: ShopError, language: Language) -> str:
    seconds: Any = error.members.get("retry_after", 1)
    text = language.texts.ngettext(
        "Too many tries. Please wait for %(num)s second.",
        "Too many tries. Please wait for %(num)s seconds.",
        seconds,
    )
    return text % {"num": language.number(seconds)}
