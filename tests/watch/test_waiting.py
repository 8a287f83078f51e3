"""What waits for CloudWatch: it must not fill the memory, nor lose more than it has to."""

from __future__ import annotations

from datetime import timedelta

from storekeeper.telemetry.cloudwatch.client import batches
from storekeeper.telemetry.cloudwatch.figures import Figures, Key, Spread, Totals
from storekeeper.telemetry.cloudwatch.waiting import LONGEST, MOST, Waiting
from tests.support.clock import START, Clock

PLACED = Key("storekeeper_orders_total", (("outcome", "placed"),))


def one_minute_each(waiting: Waiting, minutes: int) -> int:
    clock, dropped = Clock(), 0
    for _ in range(minutes):
        since = clock()
        dropped += waiting.add(since, clock.advance(minutes=1), {PLACED: Totals.of(1)})
    return dropped


def emptied(waiting: Waiting) -> list[Totals]:
    found: list[Totals] = []
    while (interval := waiting.oldest) is not None:
        figure = interval.figures[PLACED]
        assert isinstance(figure, Totals)
        found.append(figure)
        waiting.sent()
    return found


def test_a_day_without_cloudwatch_loses_no_order_and_takes_no_more_memory() -> None:
    waiting = Waiting()
    assert one_minute_each(waiting, 24 * 60) == 0
    assert len(waiting) == MOST
    told = emptied(waiting)
    assert sum(figure.total for figure in told) == 24 * 60
    assert max(figure.total for figure in told) == LONGEST / timedelta(minutes=1)
    assert told[-1] == Totals.of(1), "the newest stay as fine as they were"
    assert told[0] == Totals(samples=60.0, total=60.0, least=1.0, most=1.0)


def test_after_days_the_oldest_are_given_up_and_counted() -> None:
    waiting = Waiting(most=4, longest=timedelta(minutes=10))
    dropped = one_minute_each(waiting, 100)
    told = emptied(waiting)
    assert dropped > 0
    assert len(told) == 4
    assert dropped * 10 + sum(figure.total for figure in told) == 100


def test_joined_figures_are_told_as_of_the_earlier_time() -> None:
    """An alarm would take the sum of an hour for that of its last minute."""
    waiting = Waiting(most=1)
    one_minute_each(waiting, 30)
    assert waiting.oldest is not None
    assert waiting.oldest.at == START + timedelta(minutes=1)
    assert waiting.oldest.until == START + timedelta(minutes=30)


def test_histograms_join_without_growing() -> None:
    waiting = Waiting(most=1)
    seconds = Key("storekeeper_http_request_seconds")
    waiting.add(START, START, {seconds: Spread((1.0, 2.0), (1.0, 0.0, 0.0), 0.5)})
    waiting.add(START, START, {seconds: Spread((1.0, 2.0), (2.0, 1.0, 1.0), 9.0)})
    assert waiting.oldest is not None
    assert waiting.oldest.figures[seconds] == Spread((1.0, 2.0), (3.0, 1.0, 1.0), 9.5)


def test_no_request_is_larger_than_cloudwatch_takes() -> None:
    figures: Figures = {
        Key("storekeeper_orders_total", (("outcome", str(number)),)): Totals.of(number)
        for number in range(2_500)
    }
    parts = list(batches(figures, size=10**9))
    assert [len(part) for part in parts] == [1_000, 1_000, 500]
    smaller = list(batches(figures, size=100_000))
    assert max(len(part) for part in smaller) < 200
    assert {key for part in smaller for key in part} == set(figures)
