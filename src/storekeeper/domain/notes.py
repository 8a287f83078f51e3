"""What staff write down about an order, for each other alone."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from storekeeper.domain.types import TEXT, AccountId, OrderId, Struct

MOST_NOTES = 100
NoteText = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=2_000,
        pattern=r"^[^\x00]*$",
        examples=["Rang her: the neighbour takes it in."],
        extra=TEXT,
    ),
]


class OrderNote(Struct, frozen=True, kw_only=True):
    """One note. It stays as it was written; only its author takes it away.

    `customer_id` is the order's: what was written of somebody goes when they go.
    """

    id: str
    version: int
    order_id: OrderId
    text: NoteText
    at: datetime
    by: str
    author_id: AccountId
    customer_id: AccountId | None = None
