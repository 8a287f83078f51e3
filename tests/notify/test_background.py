"""One process does the shop's own work; when it ends another takes over, and nothing stays undone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from storekeeper.domain.orders import Order
from storekeeper.notify.console import Console
from storekeeper.services.background import LEASE, Background
from storekeeper.services.leases import Tenure
from tests.contract.engines import ENGINES
from tests.notify.sinks import AwayStore, Recorder, a_relay, happens, until
from tests.support.builders import a_call, a_request, an_event
from tests.support.shop import Shop, shop_at

EXPIRED = "order.expired"


@pytest.fixture(params=sorted(ENGINES))
async def shop(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shop]:
    """On each store: its processes agree through nothing else."""
    async with shop_at(ENGINES[request.param], tmp_path) as shop:
        yield shop


def a_tenure(shop: Shop, holder: str, seconds: int = 10) -> Tenure:
    return Tenure(
        shop.store,
        shop.clock,
        id=LEASE,
        holder=holder,
        duration=timedelta(seconds=seconds),
    )


async def test_only_one_process_holds_the_lease(shop: Shop) -> None:
    tenures = [a_tenure(shop, f"process {number}") for number in range(5)]
    assert sum(await asyncio.gather(*(tenure.hold() for tenure in tenures))) == 1
    assert sum(tenure.is_held for tenure in tenures) == 1


async def test_a_lease_that_is_renewed_stays_and_one_that_is_not_goes(shop: Shop) -> None:
    one, other = a_tenure(shop, "one"), a_tenure(shop, "other")
    assert await one.hold()
    shop.clock.advance(seconds=6)
    assert await one.hold()
    shop.clock.advance(seconds=6)
    assert not await other.hold()
    assert one.is_held
    shop.clock.advance(seconds=4)
    assert [one.is_held] == [False]  # by the clock alone, before it has heard of another
    assert await other.hold()
    assert not await one.hold()


async def test_a_lease_let_go_is_free_at_once(shop: Shop) -> None:
    one, other = a_tenure(shop, "one"), a_tenure(shop, "other")
    assert await one.hold()
    await other.let_go()  # not its to give
    assert not await other.hold()
    await one.let_go()
    assert await other.hold()


async def nothing_due() -> int:
    return 0


async def a_background(
    shop: Shop,
    *sinks: Recorder,
    holder: str = "one",
    expire_due: Callable[[], Awaitable[int]] = nothing_due,
    lease_seconds: float = 0.3,
    store: Any = None,
    remove_pictures: Callable[[], Awaitable[int]] | None = None,
) -> Background:
    return Background(
        store=store or shop.store,
        clock=shop.clock,
        holder=holder,
        relay=await a_relay(shop, *sinks),
        expire_due=expire_due,
        sweep_seconds=0.02,
        remove_pictures=remove_pictures,
        lease_seconds=lease_seconds,
        grace_seconds=5.0,
    )


async def test_the_sweeper_releases_every_reservation_whose_time_is_over(shop: Shop) -> None:
    product = await shop.sell(stock=50)
    orders = [(await shop.checkout.place(a_call(), a_request(("MUG", 2)))).order for _ in range(5)]
    background = await a_background(shop, expire_due=lambda: shop.order_changes.expire_due(limit=2))
    assert await background.sweep() == 0
    assert (await shop.level(product)).reserved == 10
    shop.clock.advance(minutes=15)
    assert await background.sweep() == 5
    found = await shop.store.get_many(Order, [order.id for order in orders])
    assert {order.state for order in found.values()} == {"expired"}
    assert (await shop.level(product)).reserved == 0
    assert await shop.store.verify() == []


async def test_the_leader_alone_removes_pictures_that_nobody_shows(shop: Shop) -> None:
    swept: list[str] = []

    def sweeping(name: str) -> Callable[[], Awaitable[int]]:
        async def remove() -> int:
            swept.append(name)
            return 1

        return remove

    leading = await a_background(shop, remove_pictures=sweeping("one"))
    waiting = await a_background(shop, holder="two", remove_pictures=sweeping("two"))
    await leading.start()
    await until(lambda: bool(swept))
    await waiting.start()
    assert swept == ["one"], "once an hour"
    await leading.stop()
    await until(lambda: len(swept) > 1)
    await waiting.stop()
    assert swept == ["one", "two"]


async def test_the_leader_delivers_and_sweeps_and_the_next_one_takes_over(shop: Shop) -> None:
    await shop.sell(stock=50)
    first, second = Recorder(), Recorder()
    leading = await a_background(shop, first, expire_due=shop.order_changes.expire_due)
    waiting = await a_background(
        shop, second, holder="two", expire_due=shop.order_changes.expire_due
    )
    await leading.start()
    await until(lambda: leading.leads)
    await waiting.start()
    told = await happens(shop, "order:1")
    await until(lambda: first.got == told)
    assert leading.is_alive()
    assert waiting.is_alive()
    assert not waiting.leads

    await leading.stop()
    assert not leading.is_alive()
    await until(lambda: waiting.leads)
    order = (await shop.checkout.place(a_call(), a_request(("MUG", 2)))).order
    shop.clock.advance(minutes=15)
    await until(lambda: any(event.kind == "order.expired" for event in second.got))
    expired = await shop.store.get(Order, order.id)
    assert expired is not None
    assert expired.state == "expired"
    assert [event.id for event in first.got] == [told[0].id]
    assert told[0].id not in {event.id for event in second.got}
    await waiting.stop()


async def test_a_process_that_lost_its_lease_stops_working(shop: Shop) -> None:
    sink = Recorder()
    background = await a_background(shop, sink)
    await background.start()
    await until(lambda: background.leads)

    async def taken() -> bool:
        lease = await shop.store.lease(LEASE)
        assert lease is not None
        an_hour = shop.clock() + timedelta(hours=1)
        return await shop.store.hold(
            replace(lease, version=lease.version + 1, holder="other", until=an_hour)
        )

    # Another process took the lease while this one was not looking.
    while not await taken():
        continue
    await until(lambda: not background.leads)
    await asyncio.sleep(0)
    await background.stop()
    kept = await shop.store.lease(LEASE)
    assert kept is not None
    assert kept.holder == "other"


async def test_two_that_both_believe_they_lead_do_no_harm(
    shop: Shop, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a moment that can happen: clocks differ, and a machine may be stopped in between."""
    engine = ENGINES[request.node.callspec.params["shop"]]
    await shop.sell(stock=50)
    for _ in range(20):
        await shop.checkout.place(a_call(), a_request(("MUG", 2)))
    shop.clock.advance(minutes=15)
    async with shop_at(engine, tmp_path, clock=shop.clock, node=1) as other:
        leaders: list[tuple[Background, Recorder]] = []
        for number, at in enumerate((shop, other)):
            # Each of its own, so that neither hears of the other.
            monkeypatch.setattr("storekeeper.services.background.LEASE", f"lease:{number}")
            sink = Recorder(batch=3)
            background = await a_background(at, sink, expire_due=at.order_changes.expire_due)
            leaders.append((background, sink))
        (first, one), (second, two) = leaders
        await first.start()
        await second.start()
        await until(lambda: first.leads and second.leads)
        await until(lambda: len({e.id for e in one.got + two.got if e.kind == EXPIRED}) == 20)
        await asyncio.gather(first.stop(), second.stop())
    told = [stored.event for stored in await shop.store.events_after(0, 100)]
    assert sum(event.kind == EXPIRED for event in told) == 20
    assert (await shop.store.summary()).units_reserved == 0
    assert await shop.store.verify() == []


async def test_a_loop_that_fails_is_logged_and_starts_again(shop: Shop) -> None:
    calls = 0

    async def failing() -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("a fault of ours")
        return 0

    sink = Recorder()
    with capture_logs() as logs:
        background = await a_background(shop, sink, expire_due=failing)
        await background.start()
        await until(lambda: calls >= 2)
        told = await happens(shop, "order:1")
        await until(lambda: sink.got == told)
        await background.stop()
    failures = [entry for entry in logs if entry["event"] == "background loop failed"]
    assert [entry["loop"] for entry in failures] == ["sweeper"]


async def test_an_outage_of_the_store_is_told_once_and_leaves_no_traces(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storekeeper.services.background.LONGEST_REST_S", 0.05)
    monkeypatch.setattr("storekeeper.services.background.SETTLED_S", 0.2)
    store, sink = AwayStore(shop.store), Recorder()
    background = await a_background(shop, sink, store=store)
    with capture_logs() as logs:
        await background.start()
        await until(lambda: background.leads)
        store.is_away = True
        # The lease is asked for again and again, also when it has run out by the clock.
        await until(lambda: store.refused > 5)
        shop.clock.advance(seconds=10)
        await until(lambda: store.refused > 10)
        store.is_away = False
        told = await happens(shop, "order:1")
        await until(lambda: sink.got == told)
        await until(lambda: any(one["event"] == "the background work goes on" for one in logs))
        await background.stop()
    assert [one for one in logs if one["log_level"] == "error" or "exc_info" in one] == []
    (begun,) = [one for one in logs if one["event"] == "the background work waits for the store"]
    assert begun["reason"] == "the disk is full"


async def test_the_console_says_nothing_of_accounts(shop: Shop) -> None:
    with capture_logs() as logs:
        await Console().deliver(an_event("order:1", "order.placed", number="AB-1"))
        await Console().deliver(
            an_event("account:1", "account.password_reset_requested", link="nonce")
        )
        await Console().deliver(an_event("product:1", "stock.low", available=2))
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [
        ("order.placed", "info"),
        ("account.password_reset_requested", "info"),
        ("stock.low", "warning"),
    ]
    assert "nonce" not in str(logs[1])
    assert logs[2]["data"] == {"available": 2}
