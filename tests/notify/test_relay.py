"""Every committed event reaches every channel, in order, whatever fails on the way."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.events import Event
from storekeeper.domain.work import Position
from storekeeper.notify.port import DELIVERED, Outcome, failed
from storekeeper.notify.relay import Relay
from storekeeper.notify.retry import Retry
from storekeeper.store.sqlite.store import SqliteStore
from tests.notify.sinks import (
    DOWN,
    REFUSED,
    AwayStore,
    Pool,
    Recorder,
    a_relay,
    deliveries,
    happens,
    settle,
    until,
)
from tests.support.clock import Clock
from tests.support.ids import Ids
from tests.support.shop import Shop


async def test_events_arrive_once_and_in_order_when_nothing_fails(shop: Shop) -> None:
    sink = Recorder(parallel=1, batch=3)
    relay = await a_relay(shop, sink)
    told = await happens(shop, *(f"order:{number % 4}" for number in range(20)))
    await settle(relay)
    assert sink.got == told


async def test_what_happened_before_a_channel_was_there_is_no_news_to_it(shop: Shop) -> None:
    await happens(shop, "order:1", "order:2")
    sink = Recorder()
    relay = await a_relay(shop, sink)
    later = await happens(shop, "order:3")
    await settle(relay)
    assert sink.got == later


async def test_a_channel_switched_off_for_a_while_does_not_send_its_backlog(shop: Shop) -> None:
    await a_relay(shop, Recorder("mail"))
    await a_relay(shop)  # the shop ran without mail
    await happens(shop, "order:1")
    sink = Recorder("mail")
    relay = await a_relay(shop, sink)
    later = await happens(shop, "order:2")
    await settle(relay)
    assert sink.got == later


async def test_events_that_a_sink_does_not_want_are_passed_over(shop: Shop) -> None:
    sink = Recorder(wants=lambda event: event.subject == "order:wanted", batch=2)
    relay = await a_relay(shop, sink)
    await happens(shop, *["order:other"] * 30, "order:wanted", *["order:other"] * 5)
    await settle(relay)
    assert [event.subject for event in sink.got] == ["order:wanted"]
    assert (await relay.lag()).events == 0


async def test_a_failing_event_holds_up_its_own_order_and_no_other(shop: Shop) -> None:
    bad: set[str] = {"order:1"}
    sink = Recorder(answer=lambda event: DOWN if event.subject in bad else DELIVERED)
    relay = await a_relay(shop, sink)
    told = await happens(shop, "order:1", "order:2", "order:1", "order:2")
    await settle(relay)
    assert sink.got == [told[1], told[3]]
    assert Counter(event.id for event in sink.tried)[told[2].id] == 0
    bad.clear()
    shop.clock.advance(seconds=6)
    await settle(relay)
    assert [event for event in sink.got if event.subject == "order:1"] == [told[0], told[2]]


async def test_an_event_that_comes_later_waits_behind_one_that_fails(shop: Shop) -> None:
    is_down = True
    sink = Recorder(answer=lambda event: DOWN if is_down else DELIVERED)
    relay = await a_relay(shop, sink)
    first = await happens(shop, "order:1")
    await settle(relay)
    second = await happens(shop, "order:1")
    await settle(relay)
    assert sink.tried == first
    is_down = False
    shop.clock.advance(minutes=10)
    await settle(relay)
    assert sink.got == first + second


async def test_a_long_queue_behind_one_event_follows_at_once_when_it_gets_through(
    shop: Shop,
) -> None:
    is_down = True
    sink = Recorder(answer=lambda event: DOWN if is_down else DELIVERED, batch=100)
    relay = await a_relay(shop, sink)
    told = await happens(shop, *["order:1"] * 55)
    await settle(relay)
    assert len(await deliveries(shop, "mail", "failing")) == 55
    is_down = False
    shop.clock.advance(seconds=6)
    await settle(relay)
    assert sink.got == told


async def test_an_event_on_record_is_not_sent_again_though_the_place_is_set_back(
    shop: Shop,
) -> None:
    sink = Recorder()
    relay = await a_relay(shop, sink)
    told = await happens(shop, "order:1", "order:2")
    await settle(relay)
    place = await shop.store.get(Position, "relay:mail")
    assert place is not None
    back = Position(id=place.id, version=place.version + 1, at=0)
    await shop.store.commit(ChangeSet(puts=(Put(back),)))
    await settle(relay)
    assert len(sink.got) == len(told)


async def test_retries_back_off_up_to_an_hour(shop: Shop) -> None:
    retry = Retry(attempts=99, random=lambda: 0.0)
    assert [retry.delay(attempts) for attempts in range(1, 8)] == [
        5,
        20,
        80,
        320,
        1_280,
        3_600,
        3_600,
    ]
    assert Retry(attempts=99, random=lambda: 1.0).delay(1) == 2.5


async def test_a_receiver_that_asks_for_time_gets_it(shop: Shop) -> None:
    sink = Recorder(answer=lambda event: failed("busy", status_code=429, retry_after=120.0))
    relay = await a_relay(shop, sink)
    await happens(shop, "order:1")
    await settle(relay)
    shop.clock.advance(seconds=119)
    await settle(relay)
    assert len(sink.tried) == 1
    shop.clock.advance(seconds=2)
    await settle(relay)
    assert len(sink.tried) == 2


async def test_a_final_refusal_is_dead_at_once_and_lets_the_next_one_through(shop: Shop) -> None:
    told: list[Event] = []
    sink = Recorder(answer=lambda event: REFUSED if event == told[0] else DELIVERED)
    relay = await a_relay(shop, sink)
    told += await happens(shop, "order:1", "order:1")
    await settle(relay)
    assert sink.got == [told[1]]
    assert [one.event_id for one in await deliveries(shop, "mail", "dead")] == [told[0].id]


async def test_a_fault_in_a_sink_counts_as_a_failure_that_may_pass(shop: Shop) -> None:
    def answer(event: Event) -> Outcome:
        if len(sink.tried) == 1:
            raise RuntimeError("a fault of ours")
        return DELIVERED

    sink = Recorder(answer=answer)
    relay = await a_relay(shop, sink)
    told = await happens(shop, "order:1")
    await settle(relay)
    shop.clock.advance(seconds=6)
    await settle(relay)
    assert sink.got == told


async def test_a_sink_that_is_down_gets_few_tries_and_then_everything(shop: Shop) -> None:
    is_down = True
    sink = Recorder(answer=lambda event: DOWN if is_down else DELIVERED, batch=10)
    relay = await a_relay(shop, sink, attempts=99)
    told = await happens(shop, *(f"order:{number}" for number in range(200)))
    for _ in range(60):
        await settle(relay)
        shop.clock.advance(seconds=1)
    assert len(await deliveries(shop, "mail", "failing")) < 40
    is_down = False
    for _ in range(20):
        shop.clock.advance(minutes=30)
        await settle(relay)
    assert Counter(event.id for event in sink.got) == Counter(event.id for event in told)


class Crash(Exception):
    """The process ends here."""


class CrashingStore:
    """The real store, but the process dies instead of writing down what was sent."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def commit(self, change: ChangeSet) -> None:
        raise Crash


async def test_a_crash_after_sending_sends_again_with_the_same_ids(shop: Shop) -> None:
    sink = Recorder()
    await a_relay(shop, sink)
    told = await happens(shop, "order:1", "order:2")
    crashing = Relay(
        store=CrashingStore(shop.store),  # type: ignore[arg-type]
        clock=shop.clock,
        channels=[sink],
        retry=Retry(attempts=5),
    )
    with pytest.raises(Crash):
        await crashing.step()
    assert {event.id for event in sink.got} == {event.id for event in told}
    await settle(await a_relay(shop, sink))
    assert Counter(event.id for event in sink.got) == {event.id: 2 for event in told}


async def test_an_outage_of_the_store_is_told_once_with_its_reason_and_so_is_its_end(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trace for each sink and second would bury what the operator looks for."""
    monkeypatch.setattr("storekeeper.notify.relay.POLL_S", 0.01)
    monkeypatch.setattr("storekeeper.notify.relay.LONGEST_REST_S", 0.02)
    store, stop = AwayStore(shop.store), asyncio.Event()
    mail, console = Recorder("mail"), Recorder("console")
    await a_relay(shop, mail, console)
    relay = Relay(
        store=store,
        clock=shop.clock,
        channels=[mail, console],
        retry=Retry(attempts=5),
    )
    with capture_logs() as logs:
        running = asyncio.create_task(relay.run(stop))
        told = await happens(shop, "order:1")
        await until(lambda: mail.got == console.got == told)
        store.is_away = True
        await until(lambda: store.refused > 10)
        told += await happens(shop, "order:2")
        store.is_away = False
        await until(lambda: mail.got == console.got == told)
        await until(lambda: len(logs) == 2)
        stop.set()
        await running
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [
        ("the relay waits for the store", "warning"),
        ("the relay goes on", "info"),
    ]
    assert logs[0]["reason"] == "the disk is full"


async def test_two_relays_by_mistake_lose_nothing(shop: Shop) -> None:
    one, other = Recorder(batch=3), Recorder(batch=3)
    first, second = await a_relay(shop, one), await a_relay(shop, other)
    told = await happens(shop, *(f"order:{number % 3}" for number in range(12)))
    while any(await asyncio.gather(first.step(), second.step())):
        pass
    await settle(first)
    assert {event.id for event in one.got + other.got} == {event.id for event in told}


async def test_lag_tells_how_far_the_slowest_channel_is_behind(shop: Shop) -> None:
    quick, stuck = Recorder("console"), Recorder("mail")
    relay = await a_relay(shop, quick, stuck)
    await happens(shop, "order:1", "order:2", "order:3")
    shop.clock.advance(seconds=40)
    await settle(await a_relay_of(shop, quick))
    lag = await relay.lag()
    assert (lag.events, lag.seconds) == (3, 40.0)
    await settle(relay)
    lag = await relay.lag()
    assert (lag.events, lag.seconds) == (0, 0.0)
    assert (lag.failing, lag.dead) == (0, 0)


async def test_deliveries_in_trouble_are_counted_until_they_got_through(shop: Shop) -> None:
    """An operator saw no lag while everything failed."""
    mail = Recorder("mail", answer=lambda event: DOWN if event.subject == "order:1" else REFUSED)
    relay = await a_relay(shop, mail)
    await happens(shop, "order:1", "order:1", "order:1", "order:2", "order:3")
    await settle(relay)
    lag = await relay.lag()
    assert (lag.events, lag.failing, lag.dead) == (0, 3, 2)
    mail.answer = lambda event: DELIVERED
    shop.clock.advance(hours=1)
    await settle(relay)
    lag = await relay.lag()
    assert (lag.events, lag.failing, lag.dead) == (0, 0, 2)


async def a_relay_of(shop: Shop, sink: Recorder) -> Relay:
    """A relay of one sink that leaves the others' places alone."""
    return Relay(
        store=shop.store,
        clock=shop.clock,
        channels=[],
        endpoints=Pool(sink),
        retry=Retry(attempts=5),
    )


async def test_a_slow_sink_holds_up_no_other(shop: Shop) -> None:
    class Slow(Recorder):
        async def deliver(self, event: Event) -> Outcome:
            await asyncio.Event().wait()
            return DELIVERED

    quick = Recorder("mail")
    relay = await a_relay(shop, Slow("console"), quick)
    stop = asyncio.Event()
    running = asyncio.create_task(relay.run(stop))
    try:
        for number in range(3):
            told = await happens(shop, f"order:{number}")
            relay.wake()
            async with asyncio.timeout(10):
                while told[0] not in quick.got:
                    await asyncio.sleep(0.01)
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_stopping_finishes_the_batch_that_is_under_way(shop: Shop) -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    class Waiting(Recorder):
        async def deliver(self, event: Event) -> Outcome:
            entered.set()
            await release.wait()
            return await super().deliver(event)

    sink = Waiting()
    relay = await a_relay(shop, sink)
    await happens(shop, "order:1")
    stop = asyncio.Event()
    running = asyncio.create_task(relay.run(stop))
    await entered.wait()
    stop.set()
    release.set()
    await running
    again = Recorder()
    await settle(await a_relay(shop, again))
    assert len(sink.got) == 1
    assert again.got == []


async def test_sinks_come_and_go_while_the_relay_runs(shop: Shop) -> None:
    pool = Pool()
    relay = Relay(
        store=shop.store,
        clock=shop.clock,
        channels=[],
        endpoints=pool,
        retry=Retry(attempts=5),
    )
    stop = asyncio.Event()
    running = asyncio.create_task(relay.run(stop))
    sink = Recorder("webhook:1")
    start = Position(id="relay:webhook:1", version=1, at=0)
    await shop.store.commit(ChangeSet(puts=(Put(start),)))
    pool.members.append(sink)
    told = await happens(shop, "order:1")
    async with asyncio.timeout(10):
        while sink.got != told:
            await asyncio.sleep(0.01)
    stop.set()
    await running


@given(
    subjects=st.lists(st.integers(0, 3), min_size=1, max_size=25),
    failures=st.lists(st.sampled_from(["ok", "ok", "down", "fault"]), min_size=1, max_size=30),
    parallel=st.sampled_from([1, 3]),
    batch=st.integers(1, 6),
)
def test_order_per_subject_survives_any_pattern_of_failures(
    subjects: Sequence[int], failures: Sequence[str], parallel: int, batch: int
) -> None:
    """However often a sink fails, each event gets through once, and those of a subject in the
    order of their commits."""

    async def run(place: Path) -> None:
        clock, new_id = Clock(), Ids()
        store = SqliteStore(place / "shop.db", clock=clock, new_id=new_id)
        shop = Shop(store=store, clock=clock, new_id=new_id)
        pattern = iter(failures)

        def answer(event: Event) -> Outcome:
            found = next(pattern, "ok")
            if found == "fault":
                raise RuntimeError("a fault of ours")
            return DOWN if found == "down" else DELIVERED

        sink = Recorder(answer=answer, parallel=parallel, batch=batch)
        try:
            relay = await a_relay(shop, sink, attempts=1_000)
            half = len(subjects) // 2
            told = await happens(shop, *(f"order:{number}" for number in subjects[:half]))
            await settle(relay)
            told += await happens(shop, *(f"order:{number}" for number in subjects[half:]))
            for _ in range(60):
                await settle(relay)
                clock.advance(hours=2)
            for subject in {event.subject for event in told}:
                assert [event.id for event in sink.got if event.subject == subject] == [
                    event.id for event in told if event.subject == subject
                ]
            assert await deliveries(shop, "mail", "failing") == []
        finally:
            await store.close()

    with tempfile.TemporaryDirectory() as place:
        asyncio.run(run(Path(place)))
