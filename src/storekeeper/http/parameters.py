"""What several resources take: headers of a change, and times."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from litestar.params import HeaderParameter

from storekeeper.domain import errors

Key = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        max_length=255,
        description="Makes a retry harmless: the same key gives the same answer, for ever.",
    ),
]
IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        max_length=64,
        description="The ETag that the change is based on; 412 if it isn't the current one, or "
        "is weak (`W/`). `*` stands for any version.",
    ),
]


def as_utc(at: datetime | None, field: str) -> datetime | None:
    """Raises `Invalid` for a time without a zone, or that isn't in the years 1 to 9999 in UTC."""
    if at is None:
        return None
    if at.tzinfo is None:
        raise errors.Invalid("a time needs its zone, such as 2026-01-31T12:00:00Z", field=field)
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise errors.Invalid("a time is in the years 1 to 9999, in UTC", field=field) from None
