"""When a failed delivery is tried again, and when it is given up; does no waiting itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from random import random as any_random

from msgspec.structs import replace

from storekeeper.domain.types import Struct
from storekeeper.domain.work import Delivery
from storekeeper.notify.port import Outcome

FIRST_S = 5.0
FACTOR = 4.0
LONGEST_S = 3_600.0
LONGEST_ASKED_S = 6 * 3_600.0
LONGEST_ERROR = 500


class Retry(Struct, frozen=True, kw_only=True):
    """Exponential backoff: 5 s, 20 s, 80 s and so on up to an hour, each less up to a half by
    chance, so that what failed together doesn't come back together."""

    attempts: int
    random: Callable[[], float] = any_random

    def delay(self, attempts: int) -> float:
        """Seconds to wait after so many tries."""
        full = min(LONGEST_S, FIRST_S * FACTOR ** min(attempts - 1, 20))
        return full * (1.0 - self.random() / 2)

    def settle(self, delivery: Delivery, outcome: Outcome, now: datetime) -> Delivery:
        """The delivery as it stands after a try."""
        attempts = delivery.attempts + 1
        settled = replace(
            delivery,
            version=delivery.version + 1,
            attempts=attempts,
            at=now,
            next_at=None,
            status_code=outcome.status_code,
            error=outcome.error[:LONGEST_ERROR],
        )
        if outcome.delivered:
            return replace(settled, state="delivered")
        if outcome.is_final or attempts >= self.attempts:
            return replace(settled, state="dead")
        wait = max(self.delay(attempts), min(outcome.retry_after or 0.0, LONGEST_ASKED_S))
        return replace(settled, state="failing", next_at=now + timedelta(seconds=wait))


def parked(delivery: Delivery, now: datetime) -> Delivery:
    """A delivery that waits for an earlier one of its subject, which will take it along.

    Its own time is only a net, should the earlier one vanish.
    """
    return replace(
        delivery,
        version=delivery.version + 1,
        state="failing",
        next_at=now + timedelta(seconds=LONGEST_S),
    )


def due_now(delivery: Delivery, now: datetime) -> Delivery:
    """A delivery whose turn has come."""
    return replace(delivery, version=delivery.version + 1, state="failing", next_at=now)
