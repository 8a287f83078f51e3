"""The shop's own work beside requests: the relay, the sweeper of reservations, the purge, and what
the store's engine has to do.

Each runs in one process of the shop at a time, the one that holds the lease; when that process
ends or hangs, another takes over. A fault is logged and tried again; no loop ends silently.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog

from storekeeper.notify.relay import Lag, Relay
from storekeeper.services.leases import Tenure
from storekeeper.store.port import Loop, Store
from storekeeper.telemetry.outage import AWAY, Outage

log = structlog.get_logger(__name__)
LEASE = "lease:background"
LEASE_S = 10.0
PURGE_S = 3_600.0
REMOVALS_S = 60.0
PURGE_BATCH = 500
PICTURES_S = 3_600.0
LONGEST_REST_S = 60.0
# A loop that goes on for so long got an answer of the store: no single wait takes longer.
SETTLED_S = 20.0
# How long deliveries under way may still take when the shop stops.
GRACE_S = 8.0


class Background:
    """`expire_due()` releases some reservations and answers how many; it is called until none
    is left, every `sweep_seconds`. `finish_removals()` goes on with accounts being deleted,
    `remove_pictures()` removes those that no product shows and answers how many."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Callable[[], datetime],
        holder: str,
        relay: Relay,
        expire_due: Callable[[], Awaitable[int]],
        sweep_seconds: float,
        finish_removals: Callable[[], Awaitable[int]] | None = None,
        remove_pictures: Callable[[], Awaitable[int]] | None = None,
        lease_seconds: float = LEASE_S,
        grace_seconds: float = GRACE_S,
    ) -> None:
        self._store = store
        self._clock = clock
        self._relay = relay
        self._expire_due = expire_due
        self._sweep_seconds = sweep_seconds
        self._finish_removals = finish_removals
        self._remove_pictures = remove_pictures
        self._lease_seconds = lease_seconds
        self._grace_seconds = grace_seconds
        self._tenure = Tenure(
            store,
            clock,
            id=LEASE,
            holder=holder,
            duration=timedelta(seconds=lease_seconds),
        )
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._beat = 0.0
        self._outage = Outage(log, "the background work")

    async def start(self) -> None:
        """Gives the channels their place, then works in a task of its own until `stop`."""
        await self._relay.prepare()
        self._beat = time.monotonic()
        self._running = asyncio.create_task(self.run(), name="background")

    async def stop(self) -> None:
        """Finishes what is under way, within the grace time, and frees the lease."""
        self._stopping.set()
        if self._running is not None:
            await self._running
            self._running = None

    async def run(self) -> None:
        """Works whenever the lease is held; returns after `stop`."""
        work: asyncio.Task[None] | None = None
        end = asyncio.Event()
        try:
            while not self._stopping.is_set():
                await self._renew()
                if work is not None and work.done():
                    log.error("background work ended by itself", exc_info=work.exception())
                    work = None
                if self._tenure.is_held and work is None:
                    log.info("background work starts here")
                    end = asyncio.Event()
                    work = asyncio.create_task(self._work(end), name="background work")
                elif work is not None and not self._tenure.is_held:
                    log.warning("background work ends here: the lease is gone")
                    # Another process may be at it already, so nothing is finished first.
                    await _cancel(work)
                    work = None
                await _wait(self._stopping, self._lease_seconds / 3)
            if work is not None:
                end.set()
                await asyncio.wait([work], timeout=self._grace_seconds)
        finally:
            if work is not None:
                await _cancel(work)
        await self._let_go()

    def is_alive(self) -> bool:
        """Whether the loop that holds or awaits the lease has turned lately."""
        running = self._running is not None and not self._running.done()
        return running and time.monotonic() - self._beat < 3 * self._lease_seconds

    @property
    def leads(self) -> bool:
        """Whether this process does the work now."""
        return self._tenure.is_held

    async def lag(self) -> Lag:
        return await self._relay.lag()

    async def sweep(self) -> int:
        """Releases every reservation whose time is over; answers how many."""
        total = 0
        while count := await self._expire_due():
            total += count
        if total:
            log.info("reservations expired", orders=total)
        return total

    async def purge(self) -> int:
        """Removes every record whose time is over; answers how many."""
        total = 0
        while count := await self._store.purge(self._clock(), PURGE_BATCH):
            total += count
        if total:
            log.info("expired records removed", records=total)
        return total

    async def _renew(self) -> None:
        try:
            async with asyncio.timeout(self._lease_seconds / 2):
                await self._tenure.hold()
            self._beat = time.monotonic()
            self._outage.ends(LEASE)
        except (*AWAY, TimeoutError) as error:
            self._outage.begins(str(error) or "no answer in time", LEASE)
        except Exception as error:
            log.error("the lease can't be renewed", exc_info=error)

    async def _let_go(self) -> None:
        try:
            await self._tenure.let_go()
        except AWAY as error:
            log.warning("the lease can't be freed", reason=error.detail)
        except Exception as error:
            log.warning("the lease can't be freed", exc_info=error)

    async def _work(self, end: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep("relay", self._relay.run, end))
            group.create_task(self._keep("sweeper", self._sweeping, end))
            group.create_task(self._keep("purge", self._purging, end))
            for name, loop in self._store.loops().items():
                group.create_task(self._keep(name, loop, end))
            if self._finish_removals is not None:
                group.create_task(self._keep("removals", self._removing, end))
            if self._remove_pictures is not None:
                group.create_task(self._keep("pictures", self._removing_pictures, end))

    async def _keep(self, name: str, loop: Loop, end: asyncio.Event) -> None:
        """Starts a loop again after a fault, with rests that grow while it keeps failing."""
        rest = 1.0
        while not end.is_set():
            started = time.monotonic()
            settled = asyncio.get_running_loop().call_later(SETTLED_S, self._outage.ends, name)
            try:
                await loop(end)
            except Exception as error:
                if isinstance(error, AWAY):
                    self._outage.begins(error.detail, name)
                else:
                    log.error("background loop failed", loop=name, exc_info=error)
                if time.monotonic() - started > LONGEST_REST_S:
                    rest = 1.0
                await _wait(end, rest)
                rest = min(LONGEST_REST_S, rest * 2)
            finally:
                settled.cancel()

    async def _sweeping(self, end: asyncio.Event) -> None:
        while not end.is_set():
            await self.sweep()
            await _wait(end, self._sweep_seconds)

    async def _removing(self, end: asyncio.Event) -> None:
        while not end.is_set():
            if self._finish_removals is not None:
                await self._finish_removals()
            await _wait(end, REMOVALS_S)

    async def _removing_pictures(self, end: asyncio.Event) -> None:
        while not end.is_set():
            if self._remove_pictures is not None and (count := await self._remove_pictures()):
                log.info("unused pictures removed", pictures=count)
            await _wait(end, PICTURES_S)

    async def _purging(self, end: asyncio.Event) -> None:
        while not end.is_set():
            await self.purge()
            await _wait(end, PURGE_S)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
