"""The proof against loss: `kill -9` at a random moment under load, then everything is looked up.

One shop is started, loaded with orders by many clients and killed, again and again on the same
file. A client whose connection broke asks once more with the same Idempotency-Key, as a real one
would, and may be interrupted again. The tests use this as well, with few rounds.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import load, machine, shops
from benchmarks.receiver import Receiver
from benchmarks.servers import Server, serve
from storekeeper.app import open_shop
from storekeeper.config import Settings
from storekeeper.domain.events import PUBLIC_KINDS
from storekeeper.domain.orders import Order
from storekeeper.domain.types import Struct
from storekeeper.domain.work import Position
from storekeeper.notify.port import position_id
from storekeeper.notify.webhook import sink_name
from storekeeper.services.base import BY_SYSTEM
from storekeeper.services.webhooks import NewEndpoint

PRODUCTS = 100
CLIENTS = 64
# Load lasts between these, in seconds, before the kill.
SHORTEST, LONGEST = 0.01, 0.2
# One round in so many is killed while it starts, and one while the relay delivers.
IN_START = 7
IN_RELAY = 5
# A killed server's lease on background work runs out after ten seconds.
RELAY_SECONDS = 20.0
DELIVERY_SECONDS = 600.0


class Findings(Struct, frozen=True, kw_only=True):
    """What came of it. All but the first figures must be 0."""

    kills: int
    acknowledged: int
    retried: int
    events: int
    told_again: int
    slowest_start: float
    lost: int
    doubled: int
    changed: int
    differences: int
    untold: int
    behind: int
    seed: int

    @property
    def is_sound(self) -> bool:
        return not (
            self.lost
            or self.doubled
            or self.changed
            or self.differences
            or self.untold
            or self.behind
        )


class Proof:
    """`database` must not exist yet. The same seed kills at the same moments."""

    def __init__(
        self, database: Path, receiver: Receiver, *, seed: int = 1, say: Callable[[str], None]
    ) -> None:
        self._database = database
        self._receiver = receiver
        self._seed = seed
        self._draw = random.Random(seed)
        self._say = say
        self._tokens: list[str] = []
        self._settings: dict[str, Any] = {"webhook_private_addresses": "true"}
        # Orders by key: as sent, until answered; then the id that was answered.
        self._open: dict[str, bytes] = {}
        self._again: deque[str] = deque()
        self._acknowledged: dict[str, str] = {}
        self._made = self._kills = self._retried = 0
        self._lost = self._changed = self._differences = 0
        self._slowest_start = 0.0

    def prepare(self) -> None:
        """A shop with products, customers and an endpoint that hears of every event."""
        asyncio.run(shops.fill(self._database, PRODUCTS))
        asyncio.run(self._add_endpoint())
        with self._serve() as shop:
            self._tokens = shops.log_all_in(shop.port)

    def round(self, number: int) -> None:
        """Starts, looks up what was promised before, takes orders, is killed."""
        if number % IN_START == IN_START - 1:
            starting = self._serve(wait=False)
            time.sleep(self._draw.uniform(0.0, 1.0))
            starting.kill()
            self._kills += 1
        shop = self._serve()
        try:
            self._slowest_start = max(self._slowest_start, shop.start_seconds)
            self._look_up()
            if number % IN_RELAY == IN_RELAY - 1:
                self._await_relay()
            load.run(self._load_and_kill(shop, self._draw.uniform(SHORTEST, LONGEST)))
            self._kills += 1
        finally:
            shop.kill()
        self._say(
            f"kill {self._kills}: {len(self._acknowledged):,} orders acknowledged, "
            f"{len(self._open)} to ask for again"
        )

    def finish(self) -> Findings:
        """Gets an answer to all that is open, waits for the relay, and looks at everything."""
        with self._serve() as shop:
            self._look_up()
            load.run(self._settle_all(shop))
            untold, events = self._await_deliveries()
        return asyncio.run(self._findings(untold, events))

    def _serve(self, *, wait: bool = True) -> Server:
        return serve(
            self._database,
            wait=wait,
            cores=set(machine.cores()),
            log=self._database.with_suffix(".log"),
            **self._settings,
        )

    async def _load_and_kill(self, shop: Server, after: float) -> None:
        clients = await load.connect(shop.port, self._next_order, CLIENTS, self._answered)
        for client in clients:
            client.send_next()
        await asyncio.sleep(after)
        shop.kill()
        await asyncio.gather(*(client.closed for client in clients))

    async def _settle_all(self, shop: Server) -> None:
        def source() -> tuple[bytes, Any] | None:
            return self._next_order() if self._again else None

        clients = await load.connect(shop.port, source, CLIENTS, self._answered)
        for client in clients:
            client.send_next()
        await asyncio.gather(*(client.closed for client in clients))
        if self._open:
            raise RuntimeError(f"{len(self._open)} orders were never answered")

    def _next_order(self) -> tuple[bytes, Any]:
        if self._again:
            key = self._again.popleft()
            self._retried += 1
            return self._open[key], key
        key = f"proof-{self._seed}-{self._made}"
        message = self._order(key)
        self._made += 1
        self._open[key] = message
        return message, key

    def _order(self, key: str) -> bytes:
        skus = self._draw.sample(range(PRODUCTS), 3)
        body = {
            "lines": [{"sku": shops.sku(n), "quantity": 1 + n % 3} for n in skus],
            "confirm": self._draw.random() < 0.5,
        }
        return load.request(
            "POST",
            "/orders",
            token=self._tokens[self._made % len(self._tokens)],
            body=json.dumps(body).encode(),
            key=key.encode(),
        )

    def _answered(self, key: str, status: int, body: bytes, seconds: float) -> None:
        if status == 0:
            self._again.append(key)
            return
        if status != 201:
            raise RuntimeError(f"order {key} was answered {status}: {body!r}")
        del self._open[key]
        id = json.loads(body)["id"]
        if self._acknowledged.setdefault(key, id) != id:
            self._changed += 1

    def _look_up(self) -> None:
        """Every acknowledged order is there, and every level is what the ledger says."""
        lost, differences = asyncio.run(self._missing())
        self._lost += lost
        self._differences += differences

    async def _missing(self) -> tuple[int, int]:
        async with self._open_beside() as shop:
            wanted = list(self._acknowledged.values())
            lost = 0
            for start in range(0, len(wanted), 500):
                chunk = wanted[start : start + 500]
                found = await shop.store.get_many(Order, chunk)
                lost += len(set(chunk) - set(found))
            return lost, len(await shop.store.verify())

    def _await_relay(self) -> None:
        """Until events go out, if there are any to go: the kill is to fall between them."""
        before = self._receiver.told.total()
        deadline = time.monotonic() + RELAY_SECONDS
        while self._receiver.told.total() == before and time.monotonic() < deadline:
            time.sleep(0.05)

    def _await_deliveries(self) -> tuple[int, int]:
        """How many events the receiver was never told of, of how many."""
        events = asyncio.run(self._events())
        deadline = time.monotonic() + DELIVERY_SECONDS
        shown = 0.0
        while untold := len(events.difference(self._receiver.told)):
            if time.monotonic() > deadline:
                break
            if time.monotonic() - shown > 10:
                shown = time.monotonic()
                self._say(f"{untold:,} of {len(events):,} events still to be delivered")
            time.sleep(0.1)
        # The relay writes down that it has delivered after it has done so.
        time.sleep(2.0)
        return untold, len(events)

    async def _events(self) -> set[str]:
        found: set[str] = set()
        at = self._first_event
        async with self._open_beside() as shop:
            while page := await shop.store.events_after(at, 1_000):
                found.update(one.event.id for one in page if one.event.kind in PUBLIC_KINDS)
                at = page[-1].seq
        return found

    async def _findings(self, untold: int, events: int) -> Findings:
        lost, differences = await self._missing()
        ids = set(self._acknowledged.values())
        kept: list[str] = []
        async with self._open_beside() as shop:
            async for batch in shop.store.scan(Order):
                kept.extend(order.id for order in batch)
            last = await shop.store.last_event_seq()
            positions = [position_id("console"), position_id(sink_name(self._endpoint))]
            found = await shop.store.get_many(Position, positions)
            # A relay's own work makes no events, so its place must be at the very end.
            behind = sum(last - found[name].at for name in positions)
        return Findings(
            kills=self._kills,
            acknowledged=len(self._acknowledged),
            retried=self._retried,
            events=events,
            told_again=self._receiver.told.total() - len(self._receiver.told),
            slowest_start=self._slowest_start,
            lost=self._lost + lost,
            # More orders than keys, or two keys with one order.
            doubled=len(kept) - len(ids) + len(self._acknowledged) - len(ids),
            changed=self._changed,
            differences=self._differences + differences,
            untold=untold,
            behind=behind,
            seed=self._seed,
        )

    async def _add_endpoint(self) -> None:
        async with self._open_beside() as shop:
            endpoint, _ = await shop.webhooks.create(BY_SYSTEM, NewEndpoint(url=self._receiver.url))
            self._endpoint = endpoint.id
            self._first_event = await shop.store.last_event_seq()

    def _open_beside(self) -> Any:
        """The shop's file in this process too, beside the server."""
        return open_shop(Settings(database=str(self._database), webhook_private_addresses=True))


def prove(
    database: Path,
    rounds: int,
    *,
    seed: int = 1,
    say: Callable[[str], None] = lambda text: None,
) -> Findings:
    """Kills a shop so many times and answers what came of it."""
    with Receiver() as receiver:
        proof = Proof(database, receiver, seed=seed, say=say)
        proof.prepare()
        for number in range(rounds):
            proof.round(number)
        return proof.finish()
