"""The default channel: one log line for each event, so that a shop without mail sees its alerts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from storekeeper.domain.events import PUBLIC_KINDS, STOCK_LOW, Event
from storekeeper.notify.port import DELIVERED, Outcome
from storekeeper.telemetry.logging import EventLine, log_lines


class Console:
    """Writes to the log, as JSON or for people as the log is set. Never fails.

    What an event says of an account stays out of the log.
    """

    name = "console"
    batch = 1_000
    parallel = 1
    keeps_record = False

    def wants(self, event: Event) -> bool:
        del event
        return True

    async def deliver(self, event: Event) -> Outcome:
        self.tell([event])
        return DELIVERED

    def tell(self, events: Sequence[Event]) -> None:
        now = datetime.now(UTC)
        log_lines(
            [
                EventLine(
                    event.kind,
                    "warning" if event.kind == STOCK_LOW else "info",
                    now,
                    event.id,
                    event.subject,
                    event.at,
                    event.data if event.kind in PUBLIC_KINDS else {},
                )
                for event in events
            ]
        )
