"""Days as they are typed into filters: whole days in UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from storekeeper.domain.errors import Invalid
from storekeeper.web.visit import Visit

MOST_CURSOR = 400


def day_of(visit: Visit, text: str, field: str) -> datetime | None:
    """The beginning of a day in UTC; raises `Invalid` for what is no day."""
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise Invalid(visit.say("Type a day such as 2026-01-31."), field=field) from None
    return datetime.combine(day, time(), tzinfo=UTC)


def next_day(day: datetime) -> datetime | None:
    """None after the last day that there is."""
    return None if day.date() == date.max else day + timedelta(days=1)
