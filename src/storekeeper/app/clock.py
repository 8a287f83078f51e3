"""The clock and the ids of a shop that runs; tests bring their own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import uuid_utils

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


def uuid7_text() -> str:
    return str(uuid_utils.uuid7())
