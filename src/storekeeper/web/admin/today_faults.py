"""The share of requests that the shop answered with a fault of its own, over a range of days."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import date

from storekeeper.domain.types import Struct
from storekeeper.services.csv_format import rows_text
from storekeeper.services.traffic import Day, TrafficCounts
from storekeeper.web.admin.today_sales import Range

MILLION = 1_000_000
FAULT_COLUMNS = (
    *("key", "requests", "errors"),
    *("key_before", "requests_before", "errors_before"),
)


class Answered(Struct, frozen=True, kw_only=True):
    """Requests of a time, and those of them that were answered with a status of 500 or more."""

    requests: int = 0
    faults: int = 0

    @property
    def rate(self) -> int | None:
        """Faults in a million requests; None where there were no requests."""
        return round(self.faults * MILLION / self.requests) if self.requests else None


class FaultPoint(Struct, frozen=True, kw_only=True):
    """As `today_sales.Point`, of requests."""

    start: date
    now: Answered
    start_before: date
    before: Answered


class Faults(Struct, frozen=True, kw_only=True):
    points: Sequence[FaultPoint]
    total: Answered
    earlier: Answered


async def faults_of(traffic: TrafficCounts, asked: Range) -> Faults:
    days = await traffic.days(asked.since.date(), asked.before.date())
    earlier = await traffic.days(asked.earlier.since.date(), asked.since.date())
    now: dict[date, list[Day]] = defaultdict(list)
    before: dict[date, list[Day]] = defaultdict(list)
    for one in days:
        now[asked.bucket_of(one.day)].append(one)
    for one in earlier:
        before[asked.beside(one.day)].append(one)
    return Faults(
        points=[
            FaultPoint(
                start=start,
                now=_sum(now[start]),
                start_before=asked.start_before(start),
                before=_sum(before[start]),
            )
            for start in asked.buckets()
        ],
        total=_sum(days),
        earlier=_sum(earlier),
    )


async def faults_file(traffic: TrafficCounts, asked: Range) -> AsyncIterator[str]:
    """The same as CSV, a row for each bucket."""
    found = await faults_of(traffic, asked)

    async def text() -> AsyncIterator[str]:
        yield rows_text([FAULT_COLUMNS])
        yield rows_text(
            (
                *(point.start.isoformat(), *_cells(point.now)),
                *(point.start_before.isoformat(), *_cells(point.before)),
            )
            for point in found.points
        )

    return text()


def _cells(answered: Answered) -> Sequence[str]:
    return (str(answered.requests), str(answered.faults))


def _sum(days: Sequence[Day]) -> Answered:
    return Answered(
        requests=sum(one.requests for one in days), faults=sum(one.faults for one in days)
    )
