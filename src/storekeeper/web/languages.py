"""Languages of the pages: texts from catalogues, and numbers, money and times as they are written."""

from __future__ import annotations

import gettext
import io
import re
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache, cached_property, lru_cache
from importlib import resources

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_currency, format_decimal, get_decimal_symbol

from storekeeper.domain.countries import COUNTRIES
from storekeeper.domain.money import MINOR_DIGITS, Money

# The texts in the templates are the first one's.
LANGUAGES = ("en", "de")
# Days before months and a 24-hour clock, as this shop's first customers write them.
_LOCALES = {"en": "en_GB", "de": "de_DE"}
_MOST_ASKED = 20
# Amounts that are remembered as they are written; a shop has some prices, and many products.
_MOST_PRICES = 4_096
_AMOUNT = re.compile(r"-?\d+\.\d+")


def mark(text: str) -> str:
    """The text itself, noted for the catalogues; it is translated where it is shown."""
    return text


class Language:
    """One language: its texts, and how it writes what isn't text."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.locale = Locale.parse(_LOCALES[code])
        self.texts = _texts(code)
        self.name = (self.locale.language_name or code).capitalize()

    def money(self, amount: Money) -> str:
        return _money(self.locale, amount.amount, amount.currency)

    def number(self, value: int) -> str:
        return format_decimal(value, locale=self.locale)

    def typed(self, amount: str) -> str:
        """An amount as it is typed in this language, from "12.34"; any other text as it is."""
        return amount.replace(".", self._point) if _AMOUNT.fullmatch(amount) else amount

    def untyped(self, text: str) -> str:
        """The amount with a point again, which is good in every language."""
        return text.replace(self._point, ".") if text.count(self._point) == 1 else text

    @cached_property
    def _point(self) -> str:
        return get_decimal_symbol(self.locale)

    def day(self, at: datetime) -> str:
        return format_date(at, "long", locale=self.locale)

    def moment(self, at: datetime) -> str:
        """With its zone, which is UTC: a page without a script can't know the reader's."""
        return f"{format_datetime(at, 'd MMM y, HH:mm', locale=self.locale)} UTC"

    @cached_property
    def countries(self) -> list[tuple[str, str]]:
        """Codes and names, by name as the language sorts it."""
        names = self.locale.territories
        return sorted(((code, names.get(code, code)) for code in COUNTRIES), key=lambda one: one[1])

    def country(self, code: str) -> str:
        return str(self.locale.territories.get(code, code))


@lru_cache(maxsize=_MOST_PRICES)
def _money(locale: Locale, amount: int, currency: str) -> str:
    value = Decimal(amount).scaleb(-MINOR_DIGITS.get(currency, 2))
    return str(format_currency(value, currency, locale=locale))


@cache
def language(code: str) -> Language:
    return Language(code)


def choose(wanted: str, accepted: str) -> Language:
    """The language that a visitor asked for, else the first that their browser understands."""
    if wanted in LANGUAGES:
        return language(wanted)
    for code in _preferred(accepted):
        if code in LANGUAGES:
            return language(code)
    return language(LANGUAGES[0])


def _preferred(accepted: str) -> Sequence[str]:
    """The codes of an Accept-Language header, the most wanted first (RFC 9110, section 12.5.4)."""
    found: list[tuple[float, str]] = []
    for part in accepted.split(",")[:_MOST_ASKED]:
        name, _, quality = part.strip().partition(";q=")
        try:
            weight = float(quality or 1)
        except ValueError:
            continue
        found.append((-weight, name.split("-")[0].strip().lower()))
    return [code for _, code in sorted(found, key=lambda one: one[0])]


def _texts(code: str) -> gettext.NullTranslations:
    if code == LANGUAGES[0]:
        return gettext.NullTranslations()
    file = resources.files("storekeeper.web").joinpath(f"locale/{code}.po")
    with file.open("rb") as lines:
        catalog = read_po(lines, locale=code)
    compiled = io.BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)
