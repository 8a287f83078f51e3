"""Looking after deliveries: what went out, what failed, and sending it again."""

from __future__ import annotations

from msgspec.structs import replace

from storekeeper.domain.changes import ChangeSet, Delete, Put, Refusal, Stale
from storekeeper.domain.errors import NotFound
from storekeeper.domain.types import Struct
from storekeeper.domain.work import Delivery, DeliveryState, WebhookEndpoint
from storekeeper.services.base import (
    Call,
    Tools,
    commit_once,
    made_before,
    require,
    with_fresh_reads,
)
from storekeeper.store.port import Page

SCOPE = "webhooks:write"
# Deliveries that are replayed, or forgotten, in one change set.
BATCH = 200


class DeliveryQuery(Struct, frozen=True, kw_only=True):
    """Which deliveries to list: newest first within a sink."""

    sink: str | None = None
    state: DeliveryState | None = None
    limit: int = 50
    cursor: str | None = None


class Deliveries:
    """What the relay recorded. Channels that keep no record of success show their failures."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store

    async def page(self, call: Call, query: DeliveryQuery) -> Page[Delivery]:
        require(call, SCOPE)
        index, value = _index(query)
        if not index:
            return await self._store.list_all(
                Delivery, limit=query.limit, cursor=query.cursor, newest_first=True
            )
        return await self._store.find(
            Delivery, index, value, limit=query.limit, cursor=query.cursor, newest_first=True
        )

    async def replay(self, call: Call, delivery_id: str) -> Delivery:
        """Sends it again at once, with all its tries before it, whatever became of it before.

        Events of the same subject that follow it wait until it is through. Raises `NotFound`.
        """
        require(call, SCOPE)
        if await made_before(self._store, call):
            return await self._one(delivery_id)

        async def attempt() -> Delivery:
            delivery = await self._one(delivery_id)
            await self._require_sink(delivery)
            replayed = self._afresh(delivery)
            change = ChangeSet(puts=(Put(replayed),))
            owner = await commit_once(self._store, call, delivery_id, change)
            return replayed if owner == delivery_id else await self._one(delivery_id)

        return await with_fresh_reads(attempt)

    async def replay_dead(self, call: Call, sink: str | None = None) -> int:
        """Sends every dead delivery again, of one sink or of all; answers how many.

        Needs no key: what was replayed isn't dead any more.
        """
        require(call, SCOPE)
        index, value = _index(DeliveryQuery(sink=sink, state="dead"))
        total = 0
        while True:
            page = await self._store.find(Delivery, index, value, limit=BATCH)
            if not page.items:
                return total
            puts = tuple(Put(self._afresh(dead)) for dead in page.items)
            try:
                await self._store.commit(ChangeSet(puts=puts))
            except Stale:
                continue
            total += len(puts)

    async def forget(self, sink: str) -> None:
        """Removes a sink's deliveries that wait or are dead; those that went well age away."""
        for state in ("failing", "dead"):
            while True:
                page = await self._store.find(
                    Delivery, "sink_state", f"{sink}|{state}", limit=BATCH
                )
                if not page.items:
                    break
                deletes = tuple(Delete("Delivery", one.id, one.version) for one in page.items)
                try:
                    await self._store.commit(ChangeSet(deletes=deletes))
                except Refusal:
                    continue  # the relay was at one of them

    async def _one(self, delivery_id: str) -> Delivery:
        delivery = await self._store.get(Delivery, delivery_id)
        if delivery is None:
            raise NotFound(f"there is no delivery {delivery_id}")
        return delivery

    async def _require_sink(self, delivery: Delivery) -> None:
        endpoint_id = delivery.sink.removeprefix("webhook:")
        if endpoint_id != delivery.sink and not await self._store.get(WebhookEndpoint, endpoint_id):
            raise NotFound(f"the endpoint of delivery {delivery.id} was deleted")

    def _afresh(self, delivery: Delivery) -> Delivery:
        return replace(
            delivery,
            version=delivery.version + 1,
            state="failing",
            attempts=0,
            next_at=self._tools.clock(),
        )


def _index(query: DeliveryQuery) -> tuple[str, str]:
    if query.sink is not None and query.state is not None:
        return "sink_state", f"{query.sink}|{query.state}"
    if query.sink is not None:
        return "sink", query.sink
    return ("state", query.state) if query.state is not None else ("", "")
