"""Turns what msgspec says of bad input into the shop's own refusal, in words for people."""

from __future__ import annotations

import re

import msgspec

from storekeeper.domain.errors import Invalid

_AT = re.compile(r"^(?P<what>.*?) - at `\$?(?P<where>[^`]*)`$", re.DOTALL)
_MISSING = re.compile(r"missing required field `(?P<name>[^`]+)`")
# A regular expression tells a shopkeeper nothing; these say what it stands for.
_PATTERNS = {
    "sku": "has line breaks or other control characters, or begins or ends with a space",
    "image_url": "is not a web address such as https://example.com/mug.jpg",
    "tags": "a tag has no comma and no line break, and no space at its ends",
    "id": "takes small letters, digits and dashes, such as shop-2",
}


def field_and_reason(error: msgspec.ValidationError) -> tuple[str | None, str]:
    """The path of the input that is wrong, and what is wrong with it."""
    found = _AT.match(str(error))
    field = (found["where"].lstrip(".") or None) if found else None
    reason = found["what"] if found else str(error)
    missing = _MISSING.search(reason)
    if missing:
        name = missing["name"]
        return f"{field}.{name}" if field else name, "is missing"
    if "matching regex" in reason:
        name = re.split(r"[.\[]", field or "")[0]
        return field, _PATTERNS.get(name, "has characters that are not allowed here")
    return field, reason


def invalid_of(error: msgspec.ValidationError) -> Invalid:
    field, reason = field_and_reason(error)
    return Invalid(f"{field}: {reason}" if field else reason, field=field)
