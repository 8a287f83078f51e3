"""One sink's way through the events: what is due again first, then what is new, in order.

The events of one subject reach the sink in the order of their commits: while one of them fails,
the later ones wait behind it. What was tried, and how far the sink has come, is one change set;
a crash before it means that the sink gets the same events, with the same ids, once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import stamina
import structlog

from storekeeper.domain.changes import ChangeSet, Put, Refusal, Stale
from storekeeper.domain.errors import Overloaded, StoreUnavailable
from storekeeper.domain.events import Event
from storekeeper.domain.work import Delivery, Position
from storekeeper.notify.port import Outcome, Sink, Teller, delivery_id, failed, position_id
from storekeeper.notify.retry import Retry, due_now, parked
from storekeeper.store.port import Store, StoredEvent, unique

log = structlog.get_logger(__name__)
# Failures in a row after which a sink counts as down: then it gets one event at a time, with
# pauses, and the events wait where they are instead of becoming one failing delivery each.
MISSES = 5
LONGEST_PAUSE_S = 30.0
# Events that are looked through at once for those that the sink wants.
READ = 1_000
# Deliveries of one subject that are taken up together.
CHAIN = 20

Try = tuple[Delivery, Event]


class Feed:
    """Drives one sink; `step` isn't to be called twice at once."""

    def __init__(
        self,
        sink: Sink,
        store: Store,
        clock: Callable[[], datetime],
        retry: Retry,
        observe: Callable[[str, str], None],
    ) -> None:
        self.sink = sink
        self._store = store
        self._clock = clock
        self._retry = retry
        self._observe = observe
        self._misses = 0
        self._resume_at: datetime | None = None
        # Where the sink was when there was nothing to do; None while there is.
        self._idle_at: int | None = None

    async def step(self) -> bool:
        """Handles one batch; answers whether the next can follow at once."""
        if self._is_resting() or await self._is_idle():
            return False
        self._idle_at = None
        retried = await self._retry_due()
        if self._is_resting():
            return False
        return await self._go_on() or retried

    async def start(self) -> None:
        """Gives a new sink its place: what happened before it was there is no news to it."""
        position = Position(
            id=position_id(self.sink.name), version=1, at=await self._store.last_event_seq()
        )
        try:
            await self._store.commit(ChangeSet(puts=(Put(position),)))
        except Stale:
            return  # another process was faster

    def _is_resting(self) -> bool:
        return self._resume_at is not None and self._clock() < self._resume_at

    async def _is_idle(self) -> bool:
        """Whether there is still nothing to do. All is asked together, as an engine may have to
        look elsewhere for each question that comes alone."""
        if self._idle_at is None:
            return False
        position, due, stored = await asyncio.gather(
            self._store.get(Position, position_id(self.sink.name)),
            self._store.due_deliveries(self.sink.name, self._clock(), 1),
            self._store.events_after(self._idle_at, 1),
        )
        return position is not None and position.at == self._idle_at and not due and not stored

    @property
    def _limit(self) -> int:
        return 1 if self._misses >= MISSES else self.sink.batch

    async def _go_on(self) -> bool:
        position = await self._store.get(Position, position_id(self.sink.name))
        if position is None:
            return False  # the endpoint was deleted a moment ago
        stored = await self._store.events_after(position.at, READ)
        if not stored:
            self._idle_at = position.at
            return False
        is_more = len(stored) == READ
        wanted = [one for one in stored if self.sink.wants(one.event)]
        if len(wanted) > self._limit:
            is_more = True
            wanted = wanted[: self._limit]
            stored = [one for one in stored if one.seq <= wanted[-1].seq]
        sink = self.sink
        if isinstance(sink, Teller):
            # Nothing to look up before, nothing to keep after.
            sink.tell([one.event for one in wanted])
            for _ in wanted:
                self._observe(sink.name, "delivered")
            results = []
        else:
            results = await self._first_tries(wanted)
        moved = Position(id=position.id, version=position.version + 1, at=stored[-1].seq)
        try:
            await self._commit((moved, *results))
        except Stale as stale:
            log.warning("relay overtaken", sink=self.sink.name, record=stale.id)
            return False
        return is_more

    async def _first_tries(self, stored: Sequence[StoredEvent]) -> list[Delivery]:
        """Tries events that are new to the sink; those whose subject is held up are parked."""
        if not stored:
            return []
        drafts = [self._draft(one) for one in stored]
        known = await self._store.get_many(Delivery, [draft.id for draft in drafts])
        blocked = await self._store.blocked_subjects(
            self.sink.name, unique(draft.subject for draft in drafts)
        )
        now = self._clock()
        tries: list[Try] = []
        waiting: list[Delivery] = []
        for draft, one in zip(drafts, stored, strict=True):
            if draft.id in known:
                continue
            if draft.subject in blocked:
                waiting.append(parked(draft, now))
            else:
                tries.append((draft, one.event))
        results = await self._run(tries)
        kept = [one for one in results if self.sink.keeps_record or one.state != "delivered"]
        return waiting + kept

    async def _retry_due(self) -> bool:
        """Tries the earliest failing delivery of each subject that is due; when it gets through,
        those that wait behind it follow at once."""
        now = self._clock()
        due: list[Delivery] = await self._store.due_deliveries(self.sink.name, now, self._limit)
        if not due:
            return False
        failing: list[Delivery] = await self._store.failing_deliveries(
            self.sink.name, unique(one.subject for one in due), CHAIN + 1
        )
        chains: dict[str, list[Delivery]] = {}
        for delivery in failing:
            chains.setdefault(delivery.subject, []).append(delivery)
        ready = {subject: chain for subject, chain in chains.items() if _is_due(chain[0], now)}
        members = [one for chain in ready.values() for one in chain[:CHAIN]]
        members.sort(key=lambda one: one.event_seq)
        events = await self._store.events_at([one.event_seq for one in members])
        results = await self._run([(one, events[one.event_seq].event) for one in members])
        outcome = {one.id: one for one in results}
        stuck = {one.subject for one in results if one.state == "failing"}
        for subject, chain in ready.items():
            if subject not in stuck and len(chain) > CHAIN:
                outcome[chain[CHAIN].id] = due_now(chain[CHAIN], now)
        for delivery in due:
            # Due, but not its turn: an admin replayed it behind one that waits for its time.
            if delivery.id not in outcome and (
                delivery.subject in stuck or delivery.subject not in ready
            ):
                outcome[delivery.id] = parked(delivery, now)
        await self._commit_each(list(outcome.values()))
        return bool(outcome)

    async def _run(self, tries: Sequence[Try]) -> list[Delivery]:
        """Tries all, subjects beside each other as far as the sink allows."""
        if not tries:
            return []
        lanes: dict[str, list[Try]] = {}
        for delivery, event in tries:
            lane = delivery.subject if self.sink.parallel > 1 else ""
            lanes.setdefault(lane, []).append((delivery, event))
        gate = asyncio.Semaphore(self.sink.parallel)

        async def run(lane: Sequence[Try]) -> list[Delivery]:
            async with gate:
                return await self._run_in_order(lane)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(lane)) for lane in lanes.values()]
        results = [one for task in tasks for one in task.result()]
        if self._misses >= MISSES:
            wait = min(LONGEST_PAUSE_S, 2.0 ** min(self._misses - MISSES, 10))
            self._resume_at = self._clock() + timedelta(seconds=wait)
        return results

    async def _run_in_order(self, tries: Sequence[Try]) -> list[Delivery]:
        """One after the other; after a failure the later ones of its subject are parked."""
        results: list[Delivery] = []
        stuck: set[str] = set()
        for delivery, event in tries:
            if delivery.subject in stuck:
                now = self._clock()
                if delivery.version == 0 or _is_due(delivery, now):
                    results.append(parked(delivery, now))
                continue
            settled = await self._try(delivery, event)
            results.append(settled)
            if settled.state == "failing":
                stuck.add(settled.subject)
        return results

    async def _try(self, delivery: Delivery, event: Event) -> Delivery:
        outcome = await self._deliver(event)
        if outcome.delivered:
            self._misses = 0
        elif not outcome.is_final:
            self._misses += 1
        settled = self._retry.settle(delivery, outcome, self._clock())
        self._observe(self.sink.name, settled.state)
        if settled.state != "delivered":
            log.warning(
                "delivery failed",
                sink=self.sink.name,
                event_id=event.id,
                kind=event.kind,
                state=settled.state,
                attempts=settled.attempts,
                status_code=settled.status_code,
            )
        return settled

    async def _deliver(self, event: Event) -> Outcome:
        try:
            return await self.sink.deliver(event)
        except Exception as error:
            log.error("sink fault", sink=self.sink.name, event_id=event.id, exc_info=error)
            return failed(f"fault in the sink: {type(error).__name__}")

    def _draft(self, stored: StoredEvent) -> Delivery:
        event = stored.event
        return Delivery(
            id=delivery_id(self.sink.name, event.id),
            version=0,
            sink=self.sink.name,
            event_id=event.id,
            event_seq=stored.seq,
            kind=event.kind,
            subject=event.subject,
            state="failing",
            attempts=0,
            at=self._clock(),
        )

    async def _commit(self, records: Sequence[Position | Delivery]) -> None:
        """What was sent can't be called back, so a busy store is asked again for a while."""
        change = ChangeSet(puts=tuple(Put(record) for record in records))
        async for attempt in stamina.retry_context(
            on=(Overloaded, StoreUnavailable), attempts=8, timeout=20.0, wait_max=3.0
        ):
            with attempt:
                await self._store.commit(change)

    async def _commit_each(self, records: Sequence[Delivery]) -> None:
        """Together, or one by one where somebody (a replay, a deletion) changed some of them."""
        try:
            await self._commit(records)
        except Stale:
            for record in records:
                try:
                    await self._commit([record])
                except Refusal:
                    continue


def _is_due(delivery: Delivery, now: datetime) -> bool:
    return delivery.next_at is None or delivery.next_at <= now
