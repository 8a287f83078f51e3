"""What CloudWatch hasn't taken yet: bounded, the older the coarser, the oldest given up last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from storekeeper.telemetry.cloudwatch.figures import Figures, joined

MOST = 60
LONGEST = timedelta(hours=1)


@dataclass
class Interval:
    """What happened from `since` until `until`, told to CloudWatch as of `at`."""

    since: datetime
    until: datetime
    at: datetime
    figures: Figures


class Waiting:
    """At most `most` intervals. One too many: the oldest neighbours that together last no longer
    than `longest` become one, and where there are none, the oldest interval is dropped."""

    def __init__(self, most: int = MOST, longest: timedelta = LONGEST) -> None:
        self._most = most
        self._longest = longest
        self._intervals: list[Interval] = []

    def __len__(self) -> int:
        return len(self._intervals)

    @property
    def oldest(self) -> Interval | None:
        return self._intervals[0] if self._intervals else None

    def add(self, since: datetime, until: datetime, figures: Figures) -> int:
        """Takes an interval's figures; answers how many older ones were given up for them."""
        self._intervals.append(Interval(since, until, until, figures))
        if len(self._intervals) <= self._most:
            return 0
        return self._make_room()

    def sent(self) -> None:
        """The oldest interval is done with."""
        del self._intervals[0]

    def _make_room(self) -> int:
        for place in range(len(self._intervals) - 1):
            one, two = self._intervals[place : place + 2]
            if two.until - one.since <= self._longest:
                # As of the earlier time, so that no alarm takes an hour's sum for a minute's.
                both = Interval(one.since, two.until, one.at, joined(one.figures, two.figures))
                self._intervals[place : place + 2] = [both]
                return 0
        return len(self._intervals.pop(0).figures)
