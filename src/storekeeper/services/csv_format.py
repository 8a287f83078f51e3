"""The shop's CSV files: which columns there are, and how a value becomes a cell and back.

Export and import are inverse to each other, cell by cell; nothing here reads or writes files.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from storekeeper.domain.errors import Invalid
from storekeeper.domain.money import (
    MINOR_DIGITS,
    Money,
    check_currency,
    from_decimal_text,
    to_decimal_text,
)
from storekeeper.domain.types import MAX_ON_HAND, MAX_QUANTITY

PRODUCT_COLUMNS = (
    "sku",
    "name",
    "description",
    "price",
    "currency",
    "category",
    "tags",
    "image_url",
    "attributes",
    "status",
    "track_stock",
    "allow_backorder",
    "low_stock_threshold",
    "is_parent",
    "parent_sku",
    "options",
)
STOCK_COLUMNS = ("sku", "location", "on_hand", "note")
# Digits of an amount that is within the limits whatever they are.
ORDINARY = 9
ERROR_COLUMNS = ("line", "field", "reason")

# What makes a spreadsheet take a cell for a formula (OWASP, CSV injection), full-width forms too.
_FORMULA = "=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20"
_RISKY = re.compile(f"'*[{_FORMULA}]")
_DEFUSED = re.compile(f"'+[{_FORMULA}]")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_AMOUNT = re.compile(r"(-?[0-9]{1,15})(?:\.([0-9]{1,6}))?")
_WHOLE = re.compile(r"-?[0-9]{1,15}")
_TAG = re.compile(r"(?:[^\\|]|\\.|\\$)+", re.DOTALL)
_ESCAPED = re.compile(r"\\([\\|])")
_BOOLS = {
    "true": True,
    "yes": True,
    "1": True,
    "false": False,
    "no": False,
    "0": False,
}
_texts = msgspec.json.Decoder(dict[str, str])


def defuse(cell: str) -> str:
    """The cell with an apostrophe before what a spreadsheet would run; numbers stay numbers.

    A value that itself is apostrophes and then such a sign gets one more, so that `restore` gives
    back every value exactly.
    """
    if _RISKY.match(cell) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def restore(cell: str) -> str:
    """The value before `defuse`."""
    return cell[1:] if _DEFUSED.match(cell) else cell


def rows_text(rows: Iterable[Sequence[str]]) -> str:
    """Rows as CSV text (RFC 4180), each cell defused."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerows([[defuse(cell) for cell in row] for row in rows])
    return buffer.getvalue()


def tags_cell(tags: Sequence[str]) -> str:
    """Tags parted by `|`; one in a tag is written `\\|`, a backslash `\\\\`."""
    return "|".join(tag.replace("\\", "\\\\").replace("|", "\\|") for tag in tags)


@lru_cache(maxsize=4_096)
def tags_of(cell: str) -> tuple[str, ...]:
    parts = (part.strip() for part in _TAG.findall(cell))
    return tuple(_ESCAPED.sub(r"\1", part) for part in parts if part)


def texts_cell(values: dict[str, str]) -> str:
    """Names and values as a JSON object; empty for none."""
    return msgspec.json.encode(values).decode() if values else ""


@lru_cache(maxsize=4_096)
def texts_of(cell: str, field: str) -> dict[str, str]:
    if not cell.strip():
        return {}
    try:
        return _texts.decode(cell)
    except (msgspec.DecodeError, UnicodeError):
        raise Invalid('is not a JSON object of texts, such as {"size": "L"}', field=field) from None


def bool_cell(value: bool) -> str:
    return "true" if value else "false"


def bool_of(cell: str, field: str, default: bool) -> bool:
    found = _BOOLS.get(cell)
    if found is None:
        text = cell.strip().lower()
        if not text:
            return default
        found = _BOOLS.get(text)
    if found is None:
        raise Invalid(f"{cell!r} is neither true nor false", field=field)
    return found


def whole_of(cell: str, field: str) -> int:
    text = cell.strip()
    if not _WHOLE.fullmatch(text):
        raise Invalid(f"{cell!r} is not a whole number", field=field)
    return int(text)


def count_of(cell: str, field: str) -> int:
    value = whole_of(cell, field)
    if not 0 <= value <= MAX_QUANTITY:
        raise Invalid(f"{cell!r} is not between 0 and {MAX_QUANTITY}", field=field)
    return value


def on_hand_of(cell: str, field: str) -> int:
    """Units on hand; below zero they are owed to customers."""
    value = whole_of(cell, field)
    if not -MAX_ON_HAND <= value <= MAX_ON_HAND:
        raise Invalid(f"{cell!r} is not between {-MAX_ON_HAND} and {MAX_ON_HAND}", field=field)
    return value


def price_of(cell: str, currency: str) -> Money:
    """Decimal text in a currency; raises `Invalid` naming the field."""
    check_currency(currency, "currency")
    text = cell.strip()
    if not text:
        raise Invalid("is missing", field="price")
    found = _AMOUNT.fullmatch(text)
    if found is None:
        raise Invalid(f"{cell!r} is not an amount such as 19.99", field="price")
    whole, part = found.group(1), found.group(2) or ""
    digits = MINOR_DIGITS[currency]
    if len(part) <= digits and len(whole) <= ORDINARY:
        # Most prices are read without decimal arithmetic, which takes several times as long.
        amount = int(whole + part.ljust(digits, "0"))
    else:
        amount = from_decimal_text(text, currency, "price")
    return Money(amount=amount, currency=currency)


def amount_cell(amount: int, currency: str) -> str:
    return to_decimal_text(amount, currency)


def _text(cell: str) -> Any:
    return cell


def _stripped(cell: str) -> Any:
    return cell.strip()


def _or_none(cell: str) -> Any:
    return cell or None


def _threshold(cell: str) -> Any:
    return count_of(cell, "low_stock_threshold") if cell.strip() else None


# How each column's cell becomes the product's field; price, currency and parent need the row.
PRODUCT_FIELDS: dict[str, Callable[[str], Any]] = {
    "sku": _stripped,
    "name": _text,
    "description": _text,
    "category": _or_none,
    "tags": tags_of,
    "image_url": lambda cell: cell.strip() or None,
    "attributes": lambda cell: texts_of(cell, "attributes"),
    "status": lambda cell: cell.strip().lower() or "active",
    "track_stock": lambda cell: bool_of(cell, "track_stock", True),
    "allow_backorder": lambda cell: bool_of(cell, "allow_backorder", False),
    "low_stock_threshold": _threshold,
    "is_parent": lambda cell: bool_of(cell, "is_parent", False),
    "options": lambda cell: texts_of(cell, "options"),
}
