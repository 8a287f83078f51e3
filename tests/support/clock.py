"""A clock that stands still until a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

START = datetime(2030, 1, 1, 9, 0, tzinfo=UTC)


class Clock:
    """Called like the real one; answers UTC."""

    def __init__(self, now: datetime = START) -> None:
        self._now = now

    def __call__(self) -> datetime:
        return self._now

    def advance(self, **units: float) -> datetime:
        """Moves on by `timedelta(**units)` and answers the new time."""
        self._now += timedelta(**units)
        return self._now

    def set(self, now: datetime) -> None:
        if now.tzinfo is None:
            raise ValueError("the shop's clock needs a time zone")
        self._now = now.astimezone(UTC)
