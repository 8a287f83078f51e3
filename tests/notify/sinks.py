"""Channels that tests look into, and a relay over them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from storekeeper.domain.changes import ChangeSet
from storekeeper.domain.errors import StoreUnavailable
from storekeeper.domain.events import Event
from storekeeper.domain.work import Delivery
from storekeeper.notify.port import DELIVERED, Outcome, Sink, failed
from storekeeper.notify.relay import Relay
from storekeeper.notify.retry import Retry
from storekeeper.store.port import Store
from tests.support.builders import an_event
from tests.support.shop import Shop

DOWN = failed("not today", status_code=500)
REFUSED = failed("never", status_code=400, is_final=True)


class Recorder:
    """Takes events as `answer` says, and remembers what got through and what was tried."""

    def __init__(
        self,
        name: str = "mail",
        *,
        answer: Callable[[Event], Outcome] = lambda event: DELIVERED,
        parallel: int = 4,
        batch: int = 10,
        keeps_record: bool = True,
        wants: Callable[[Event], bool] = lambda event: True,
    ) -> None:
        self.name = name
        self.parallel = parallel
        self.batch = batch
        self.keeps_record = keeps_record
        self.wants = wants
        self.answer = answer
        self.tried: list[Event] = []
        self.got: list[Event] = []

    async def deliver(self, event: Event) -> Outcome:
        self.tried.append(event)
        outcome = self.answer(event)
        await asyncio.sleep(0)
        if outcome.delivered:
            self.got.append(event)
        return outcome


class Pool:
    """Sinks that a test adds and takes away."""

    def __init__(self, *sinks: Sink) -> None:
        self.members: list[Sink] = list(sinks)

    async def sinks(self) -> Sequence[Sink]:
        return list(self.members)


class AwayStore:
    """A store that a test takes away for a while; `refused` counts what was asked of it then."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.is_away = False
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        # Which loops an engine has is known without asking its disk.
        if self.is_away and name != "loops":
            self.refused += 1
            raise StoreUnavailable("the disk is full")
        return getattr(self._store, name)


async def a_relay(shop: Shop, *sinks: Sink, attempts: int = 5) -> Relay:
    """A relay whose channels start now; waits are the longest that chance allows."""
    relay = Relay(
        store=shop.store,
        clock=shop.clock,
        channels=sinks,
        retry=Retry(attempts=attempts, random=lambda: 0.0),
    )
    await relay.prepare()
    return relay


async def happens(shop: Shop, *subjects: str, kind: str = "order.placed") -> list[Event]:
    """One event after the other, each in a commit of its own."""
    events = [an_event(subject, kind) for subject in subjects]
    for event in events:
        await shop.store.commit(ChangeSet(events=(event,)))
    return events


async def settle(relay: Relay) -> None:
    """Steps until there is nothing to do at once."""
    while await relay.step():
        pass


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def deliveries(shop: Shop, sink: str, state: str) -> list[Delivery]:
    page = await shop.store.find(Delivery, "sink_state", f"{sink}|{state}")
    return list(page.items)
