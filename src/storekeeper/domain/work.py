"""Records that keep the shop's own work: webhooks, deliveries, jobs, leases, positions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from storekeeper.domain.types import AccountId, Struct

HttpUrl = Annotated[
    str,
    msgspec.Meta(
        max_length=2_000,
        pattern=r"^https?://[^\s\x00-\x1f]+$(?!\n)",
        examples=["https://example.com/hooks"],
        extra={"form": "a web address such as https://example.com/hooks"},
    ),
]
DeliveryState = Literal["delivered", "failing", "dead"]
JobState = Literal["waiting", "running", "done", "failed"]


class WebhookEndpoint(Struct, frozen=True, kw_only=True):
    """Where an integrator wants events. `secrets`: newest first; all sign while rotating.

    `kinds` empty means every event.
    """

    id: str
    version: int
    url: HttpUrl
    kinds: tuple[str, ...]
    secrets: tuple[str, ...]
    created_at: datetime
    created_by: AccountId | None = None
    active: bool = True
    description: str = ""
    # Why the relay switched it off; empty while it is on, or when an admin did.
    switched_off: str = ""


class Delivery(Struct, frozen=True, kw_only=True):
    """One event for one sink (`webhook:ID`, `mail`, `sns-orders` …), and how it went.

    `id` is `SINK|EVENT`. A failing one is tried again at `next_at`; a dead one waits for an admin.
    """

    id: str
    version: int
    sink: str
    event_id: str
    event_seq: int
    kind: str
    subject: str
    state: DeliveryState
    attempts: int
    at: datetime
    next_at: datetime | None = None
    status_code: int | None = None
    error: str = ""


class RowError(Struct, frozen=True, kw_only=True):
    """A row of an import that can't be taken: where, which field, and why."""

    line: int
    field: str
    reason: str


class Job(Struct, frozen=True, kw_only=True):
    """Long work and its progress.

    `done` and `total` are bytes to read; `rows` and `failed` are those of its `phase`, created,
    updated and unchanged those applied, or of a dry run those that would be. `errors` are the
    first of all bad rows. Up to `applied_line` the file is applied for good, and the figures are
    those of that part, so that a job that was interrupted goes on after it.
    """

    id: str
    version: int
    kind: str
    state: JobState
    created_at: datetime
    updated_at: datetime
    created_by: str
    total: int = 0
    done: int = 0
    rows: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: int = 0
    dry_run: bool = False
    skip_bad: bool = False
    errors: tuple[RowError, ...] = ()
    phase: str = ""
    message: str = ""
    applied_line: int = 0


class Lease(Struct, frozen=True, kw_only=True):
    """The right to do what only one process may do, until it ends."""

    id: str
    version: int
    holder: str
    until: datetime


class Position(Struct, frozen=True, kw_only=True):
    """How far a reader of the events (or a replay) has come."""

    id: str
    version: int
    at: int
    note: str = ""


class Setting(Struct, frozen=True, kw_only=True):
    """One thing that the shop remembers about itself."""

    id: str
    version: int
    value: str


class Traffic(Struct, frozen=True, kw_only=True):
    """Requests that all processes answered in a day, and those answered with 500 or more.

    `id` is the day in UTC (2026-01-31).
    """

    id: str
    version: int
    requests: int
    faults: int
    expires_at: datetime
