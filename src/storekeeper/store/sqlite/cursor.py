"""Opaque positions in a list: where the last page ended."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from storekeeper.domain.errors import Invalid


def encode(kind: str, *position: Any) -> str:
    packed = msgspec.msgpack.encode([kind, *position])
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def decode(cursor: str, kind: str, *types: type[Any]) -> tuple[Any, ...]:
    """The position; raises `Invalid` for a cursor that isn't of this list and sort order."""
    try:
        packed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        found = msgspec.msgpack.decode(packed)
    except (ValueError, binascii.Error, msgspec.DecodeError):
        found = None
    if (
        not isinstance(found, list)
        or len(found) != len(types) + 1
        or found[0] != kind
        or not all(map(_is_position, found[1:], types))
    ):
        raise Invalid(
            "the cursor isn't one that this list with this sort order gave; start without it",
            field="cursor",
        )
    return tuple(found[1:])


def _is_position(value: Any, wanted: type[Any]) -> bool:
    """Whether a cursor of ours could hold it: SQLite's integers have 64 bits."""
    return type(value) is wanted and (wanted is not int or -(2**63) <= value < 2**63)
