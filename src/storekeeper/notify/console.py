"""The default channel: one log line for each event, so that a shop without mail sees its alerts."""

from __future__ import annotations

import structlog

from storekeeper.domain.events import PUBLIC_KINDS, STOCK_LOW, Event
from storekeeper.notify.port import DELIVERED, Outcome

log = structlog.get_logger("storekeeper.events")


class Console:
    """Writes through structlog, as JSON or for people as the log is set. Never fails.

    What an event says of an account stays out of the log.
    """

    name = "console"
    batch = 500
    parallel = 1
    keeps_record = False

    def wants(self, event: Event) -> bool:
        return True

    async def deliver(self, event: Event) -> Outcome:
        tell = log.warning if event.kind == STOCK_LOW else log.info
        data = event.data if event.kind in PUBLIC_KINDS else {}
        tell(
            event.kind,
            id=event.id,
            subject=event.subject,
            at=event.at.isoformat(),
            **{"data": data} if data else {},
        )
        return DELIVERED
