"""Reads this process's figures every minute and sends them, beside the requests.

The shop never waits for CloudWatch and never stops for it: what can't be sent waits, bounded, and
the log says why.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Protocol

import structlog

from storekeeper.domain.errors import ShopError
from storekeeper.telemetry.cloudwatch.client import NotTaken, batches
from storekeeper.telemetry.cloudwatch.figures import Figures
from storekeeper.telemetry.cloudwatch.reading import Reader
from storekeeper.telemetry.cloudwatch.waiting import Interval, Waiting
from storekeeper.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)
# A store that doesn't answer takes no longer than this from the others' figures.
GAUGES_S = 5.0
FLUSH_S = 5.0


class Taker(Protocol):
    """Who takes the figures."""

    async def put(self, at: datetime, figures: Figures) -> None:
        """Raises `NotTaken`."""

    def close(self) -> None: ...


class Gauges(Protocol):
    """What stands at the moment: of this process, and of the whole shop."""

    def of_process(self) -> Mapping[str, float]: ...

    def of_shop(self) -> Awaitable[Mapping[str, float]]: ...


class Watch:
    """One process's. `leads()`: whether it is the one that speaks for the whole shop.

    `seconds`: from one look to the next; the first is taken at the start, so that wrong settings
    are told at once. `flush_seconds`: how long the last figures may take when the shop stops.
    """

    def __init__(
        self,
        *,
        metrics: Metrics,
        gauges: Gauges,
        leads: Callable[[], bool],
        client: Taker,
        clock: Callable[[], datetime],
        seconds: float,
        node: str = "",
        flush_seconds: float = FLUSH_S,
    ) -> None:
        self._metrics = metrics
        self._gauges = gauges
        self._leads = leads
        self._client = client
        self._clock = clock
        self._seconds = seconds
        self._reader = Reader(metrics.registry, node)
        self._flush_seconds = flush_seconds
        self._waiting = Waiting()
        self._looked_at = clock()
        self._trouble = ""
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Works in a task of its own until `stop`."""
        self._running = asyncio.create_task(self._run(), name="cloudwatch")

    async def stop(self) -> None:
        """Sends the last figures, as far as CloudWatch takes them in time."""
        if self._running is None:
            return
        self._stopping.set()
        try:
            async with asyncio.timeout(self._flush_seconds):
                await self._running
                await self._look()
        except TimeoutError:
            self._tell(f"CloudWatch didn't answer within {self._flush_seconds:g} s")
        if len(self._waiting):
            log.warning("figures are lost with the process's end", intervals=len(self._waiting))
        self._running = None
        await asyncio.to_thread(self._client.close)

    async def turn(self) -> None:
        """Looks once, and sends that and whatever waits still."""
        gauges = await self._read_gauges()
        # Every route has a histogram, so that reading them all would hold up requests for a while.
        figures = await asyncio.to_thread(self._reader.read, gauges)
        since, self._looked_at = self._looked_at, self._clock()
        self._give_up(self._waiting.add(since, self._looked_at, figures))
        try:
            while (interval := self._waiting.oldest) is not None:
                await self._send(interval)
                self._waiting.sent()
        except NotTaken as error:
            self._tell(str(error))
        else:
            self._tell("")

    async def _run(self) -> None:
        while not self._stopping.is_set():
            await self._look()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._seconds)

    async def _look(self) -> None:
        """A turn; a fault in it ends neither the watch nor the shop."""
        try:
            await self.turn()
        except Exception as error:
            log.error("the figures can't be read", exc_info=error)

    async def _send(self, interval: Interval) -> None:
        """What is sent leaves the interval, so that it isn't sent again after a failure."""
        for part in list(batches(interval.figures)):
            try:
                await self._client.put(interval.at, part)
            except NotTaken as error:
                if not error.is_final:
                    raise
                log.error("figures refused", reason=str(error), figures=len(part))
                self._give_up(len(part))
            for key in part:
                del interval.figures[key]

    async def _read_gauges(self) -> dict[str, float]:
        """The shop's as a whole only where this process speaks for it, so that several don't pay
        and ask for the same."""
        found = dict(self._gauges.of_process())
        if self._leads():
            try:
                async with asyncio.timeout(GAUGES_S):
                    found.update(await self._gauges.of_shop())
            except (ShopError, TimeoutError) as error:
                log.warning("the shop's figures can't be read", reason=str(error) or "no answer")
        return found

    def _give_up(self, figures: int) -> None:
        if figures:
            self._metrics.dropped(figures)

    def _tell(self, trouble: str) -> None:
        """Once for each trouble, not for each try."""
        if trouble and trouble != self._trouble:
            log.warning("figures can't be sent", reason=trouble, waiting=len(self._waiting))
        elif self._trouble and not trouble:
            log.info("figures are sent again")
        self._trouble = trouble
