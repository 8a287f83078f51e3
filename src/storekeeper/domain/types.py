"""Names for the plain values that the domain passes around, with their limits."""

from __future__ import annotations

from typing import Annotated, NewType

import msgspec

ProductId = NewType("ProductId", str)
LocationId = NewType("LocationId", str)
OrderId = NewType("OrderId", str)
AccountId = NewType("AccountId", str)

MAX_QUANTITY = 10_000_000
# Of one product at one location; what many deliveries of `MAX_QUANTITY` add up to can be counted.
MAX_ON_HAND = 1_000_000_000_000
MAX_AMOUNT = 1_000_000_000_000
MAX_LINES = 5_000

# `$` alone would let a line break through at the end, so patterns say `$(?!\n)`. A regular expression
# tells a shopkeeper nothing: `form` says what it stands for, going on from "must be …".
ONE_LINE = {"form": "one line of text without control characters"}
TEXT = {"form": "text without NUL characters"}
READABLE = {"form": "one line of text with something to read in it, without control characters"}
# Characters that show nothing: format characters, zero-width ones and those that turn the direction.
_UNSEEN = r"\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
# No control or unseen characters, and no space at either end: such codes can't be told apart by eye.
Sku = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=64,
        pattern=(
            rf"^[^\s\x00-\x1f\x7f{_UNSEEN}]"
            rf"(?:[^\x00-\x1f\x7f{_UNSEEN}]*[^\s\x00-\x1f\x7f{_UNSEEN}])?$(?!\n)"
        ),
        examples=["85123A"],
        extra={
            "form": "one line of text without control or invisible characters, and no space at "
            "either end"
        },
    ),
]
Quantity = Annotated[int, msgspec.Meta(ge=1, le=MAX_QUANTITY, examples=[3])]
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_QUANTITY)]
UnitsCounted = Annotated[int, msgspec.Meta(ge=0, le=MAX_ON_HAND)]
ShortText = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=200,
        pattern=rf"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f{_UNSEEN}][^\x00-\x1f\x7f]*$(?!\n)",
        extra=READABLE,
    ),
]
LongText = Annotated[str, msgspec.Meta(max_length=20_000, pattern=r"^[^\x00]*$", extra=TEXT)]
Note = Annotated[str, msgspec.Meta(max_length=2_000, pattern=r"^[^\x00]*$", extra=TEXT)]


class Struct(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An immutable value. Strict: unknown fields are kept out at the edges, not here."""


def fold_sku(sku: str) -> str:
    """The form under which a SKU is unique: `85123a` and `85123A` are one."""
    return sku.strip().casefold()
