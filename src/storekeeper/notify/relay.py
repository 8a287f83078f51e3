"""The relay: brings every committed event to every sink, at least once, in order per subject.

Each sink goes at its own pace in a task of its own, so that a slow one holds up no other. Only
one process of a shop runs the relay at a time (`services.background`); two by mistake would send
some events twice, nothing worse.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import structlog

from storekeeper.domain.changes import ChangeSet, Delete, Stale
from storekeeper.domain.errors import ShopError
from storekeeper.domain.types import Struct
from storekeeper.domain.work import Delivery, Position
from storekeeper.notify.feed import Feed
from storekeeper.notify.port import Sink, SinkSource, position_id
from storekeeper.notify.retry import Retry
from storekeeper.store.port import Store
from storekeeper.telemetry.outage import AWAY, Outage

log = structlog.get_logger(__name__)
# The names of channels that settings switch on and off.
CHANNELS = ("console", "mail", "sns-orders", "sns-stock")
POLL_S = 1.0
# What waits for the store besides the sinks themselves, which have names of their own.
SINKS = "the list of sinks"
# A step that was woken waits this long, so that it finds more events and makes fewer commits; one
# that left something behind goes on as soon as others had their turn.
GATHER_S = 0.2
TURN_S = 0.005
LONGEST_REST_S = 30.0
# Deliveries in trouble are counted up to here, so that asking costs little whatever has gone wrong.
COUNTED = 100_000


class Lag(Struct, frozen=True, kw_only=True):
    """How far the slowest sink is behind: events, and seconds since the first of them.

    What was tried already is no part of it: `failing` deliveries are tried again or wait behind
    one that is, `dead` ones wait for an admin.
    """

    events: int
    seconds: float
    failing: int
    dead: int


class Relay:
    """`channels` are there for good, `endpoints` names those that come and go.

    `observe(sink, state)` is called after every try.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Callable[[], datetime],
        channels: Sequence[Sink],
        endpoints: SinkSource | None = None,
        retry: Retry,
        observe: Callable[[str, str], None] = lambda sink, state: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._channels = tuple(channels)
        self._endpoints = endpoints
        self._retry = retry
        self._observe = observe
        self._feeds: dict[str, Feed] = {}
        self._woken = asyncio.Event()
        self._outage = Outage(log, "the relay")

    async def prepare(self) -> None:
        """Gives new channels their place, and takes it from those switched off. To be awaited
        before the shop takes requests, so that no event falls before a channel's start."""
        present = {sink.name for sink in self._channels}
        positions = await self._store.get_many(Position, [position_id(name) for name in CHANNELS])
        for position in positions.values():
            if position.id.removeprefix("relay:") not in present:
                with contextlib.suppress(Stale):
                    delete = Delete("Position", position.id, position.version)
                    await self._store.commit(ChangeSet(deletes=(delete,)))
        for sink in self._channels:
            if position_id(sink.name) not in positions:
                await self._feed(sink).start()

    def wake(self) -> None:
        """Says that something was committed; without it the relay looks every second."""
        woken, self._woken = self._woken, asyncio.Event()
        woken.set()

    async def step(self) -> bool:
        """One batch for every sink, side by side; answers whether there is more to do."""
        feeds = await self._present()
        return any(await asyncio.gather(*(feed.step() for feed in feeds)))

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop` is set, then finishes the batches that are under way."""
        workers: dict[str, asyncio.Task[None]] = {}
        try:
            await self.prepare()
            while not stop.is_set():
                try:
                    await self._look_after(workers, stop)
                    self._outage.ends(SINKS)
                except ShopError as error:
                    # Those at work go on; what came or went is seen at the next look.
                    self._tell(error, SINKS)
                await _wait(stop, POLL_S)
            if workers:
                await asyncio.wait(workers.values())
        finally:
            await _end(workers.values())

    async def lag(self) -> Lag:
        """Of all sinks together, whichever process runs the relay."""
        sinks = await self._sinks()
        last = await self._store.last_event_seq()
        positions = await self._store.get_many(Position, [position_id(one.name) for one in sinks])
        slowest = min((position.at for position in positions.values()), default=last)
        behind = max(0, last - slowest)
        first = await self._store.events_after(slowest, 1) if behind else []
        waited = (self._clock() - first[0].event.at).total_seconds() if first else 0.0
        return Lag(
            events=behind,
            seconds=max(0.0, waited),
            failing=await self._store.count(Delivery, "state", "failing", at_most=COUNTED),
            dead=await self._store.count(Delivery, "state", "dead", at_most=COUNTED),
        )

    async def _look_after(
        self, workers: dict[str, asyncio.Task[None]], stop: asyncio.Event
    ) -> None:
        """One worker for each sink there is, none for one that is gone."""
        feeds = {feed.sink.name: feed for feed in await self._present()}
        for name in [name for name in workers if name not in feeds]:
            await _end([workers.pop(name)])
            self._outage.ends(name)
        for name, feed in feeds.items():
            if name not in workers or workers[name].done():
                workers[name] = asyncio.create_task(self._work(feed, stop), name=f"relay {name}")

    async def _work(self, feed: Feed, stop: asyncio.Event) -> None:
        """One sink's life; a fault is logged and tried again after a rest that grows."""
        rest = POLL_S
        while not stop.is_set():
            woken = self._woken
            try:
                is_busy = await feed.step()
                rest = POLL_S
                self._outage.ends(feed.sink.name)
            except Exception as error:
                self._tell(error, feed.sink.name)
                is_busy = False
                rest = min(LONGEST_REST_S, rest * 2)
            if is_busy:
                await _wait(stop, TURN_S)
            elif rest > POLL_S:
                await _wait(stop, rest)
            else:
                await _first_of(woken, stop)

    def _tell(self, error: Exception, who: str) -> None:
        if isinstance(error, AWAY):
            self._outage.begins(error.detail, who)
        else:
            log.error("relay fault", sink=who, exc_info=error)

    async def _sinks(self) -> list[Sink]:
        return [*self._channels, *(await self._endpoints.sinks() if self._endpoints else ())]

    async def _present(self) -> list[Feed]:
        sinks = await self._sinks()
        feeds = [self._feed(sink) for sink in sinks]
        names = {sink.name for sink in sinks}
        self._feeds = {name: feed for name, feed in self._feeds.items() if name in names}
        return feeds

    def _feed(self, sink: Sink) -> Feed:
        """The sink's feed, which goes on with what is known of the sink now."""
        feed = self._feeds.get(sink.name)
        if feed is None:
            feed = Feed(sink, self._store, self._clock, self._retry, self._observe)
            self._feeds[sink.name] = feed
        feed.sink = sink
        return feed


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


async def _first_of(woken: asyncio.Event, stop: asyncio.Event) -> None:
    """Until something was committed, the end, or a poll's time has passed."""
    waits = [asyncio.ensure_future(event.wait()) for event in (woken, stop)]
    try:
        await asyncio.wait(waits, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    if woken.is_set():
        await _wait(stop, GATHER_S)


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in (ended := list(tasks)):
        task.cancel()
    if ended:
        await asyncio.wait(ended)
