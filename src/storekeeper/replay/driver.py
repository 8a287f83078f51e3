"""Plays a script against a shop, batch by batch, so that it can be stopped anywhere and resumed.

Every step is harmless to repeat (its key is the invoice's number), and how far the replay has come
is kept after each batch. So a kill costs at most one batch that is played again and changes
nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any, Protocol

from storekeeper.domain.catalog import ProductDetails
from storekeeper.domain.types import Struct
from storekeeper.replay.comparison import ShopFigures
from storekeeper.replay.happenings import Adjustment, Bookkeeping, Return, Sale
from storekeeper.replay.schedule import Act, Schedule
from storekeeper.replay.script import Person, Script, Stage, Watch, unwatched

CHUNK = 250


class Client(Protocol):
    """A way into the shop. Every method may be called again with the same arguments, and concurrently
    with itself, without doing anything twice."""

    at_once: int

    async def begin(self, script: Script) -> int:
        """How many happenings an earlier run played; -1 when not even the preparation was done."""

    async def reached(self, count: int) -> None:
        """Keeps how many happenings are played."""

    async def add_products(self, products: Sequence[ProductDetails]) -> None: ...

    async def add_stock(self, units: Mapping[str, int]) -> None: ...

    async def add_people(self, people: Mapping[str, Person]) -> None: ...

    async def sell(self, sale: Sale, stage: Stage) -> None: ...

    async def order_id(self, sale: Sale) -> str:
        """The order that the sale made, in this run or an earlier one."""

    async def take_back(
        self, returned: Return, sale: Sale, order_id: str, units: Mapping[int, int]
    ) -> None:
        """Units per line of the sale, lines counted from 0."""

    async def adjust(self, by: Return | Adjustment, sku: str, units: int, note: str) -> None: ...

    async def figures(self, script: Script) -> ShopFigures: ...


class Played(Struct, frozen=True, kw_only=True):
    """What a run did. `orders` and `seconds` are of this run, `tally` of all runs together."""

    orders: int
    seconds: float
    resumed_at: int
    count: int
    tally: Mapping[str, int]


async def play(script: Script, client: Client, watch: Watch = unwatched) -> Played:
    """Plays what is left of the script; answers when all of it is played."""
    at = await client.begin(script)
    await _prepare(script, client, watch, is_prepared=at >= 0)
    at = max(at, 0)
    schedule = Schedule(script.opening, script.claims, size=client.at_once)
    started = time.perf_counter()
    orders = 0
    done = at
    for batch in schedule.batches(script.played(), skip=at):
        await together(_act(act, script, client, schedule.sold) for act in batch)
        done += len(batch)
        orders += sum(isinstance(act.happening, Sale) for act in batch)
        await client.reached(done)
        watch("Playing", done, script.count)
    return Played(
        orders=orders,
        seconds=time.perf_counter() - started,
        resumed_at=min(at, script.count),
        count=script.count,
        tally=dict(schedule.tally),
    )


async def together(coroutines: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Runs all at once; the first failure ends the others and is what the caller sees."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for coroutine in coroutines:
                tasks.create_task(coroutine)
    except* Exception as group:
        raise group.exceptions[0] from None


async def _prepare(script: Script, client: Client, watch: Watch, *, is_prepared: bool) -> None:
    people = list(script.people.items())
    # People are looked up in every run, as their ids are the shop's to give.
    for start in range(0, len(people), CHUNK):
        await client.add_people(dict(people[start : start + CHUNK]))
        watch("Adding customers", min(start + CHUNK, len(people)), len(people))
    products = script.products
    for start in range(0, len(products), CHUNK):
        await client.add_products(products[start : start + CHUNK])
        watch("Adding products", min(start + CHUNK, len(products)), len(products))
    if is_prepared:
        return
    stock = [(sku, units) for sku, units in script.opening.items() if units]
    for start in range(0, len(stock), CHUNK):
        await client.add_stock(dict(stock[start : start + CHUNK]))
        watch("Receiving opening stock", min(start + CHUNK, len(stock)), len(stock))
    await client.reached(0)


async def _act(act: Act, script: Script, client: Client, sold: Mapping[str, Sale]) -> None:
    happening = act.happening
    match happening:
        case Sale():
            await client.sell(happening, script.stage(happening))
        case Return():
            await _return(happening, act, client, sold)
        case Adjustment():
            await client.adjust(
                happening, happening.sku, happening.quantity, happening.note or "correction"
            )
        case Bookkeeping():
            pass


async def _return(returned: Return, act: Act, client: Client, sold: Mapping[str, Sale]) -> None:
    """Takes back what some order covers; the rest comes into stock without an order."""
    units: dict[str, Counter[int]] = {}
    leftover: Counter[str] = Counter()
    for line, match in act.matches:
        for taken in match.taken:
            units.setdefault(taken.invoice_no, Counter())[taken.line_index] += taken.quantity
        if match.leftover:
            leftover[line.sku] += match.leftover
    for invoice_no, lines in units.items():
        sale = sold[invoice_no]
        await client.take_back(returned, sale, await client.order_id(sale), lines)
    for sku, count in leftover.items():
        await client.adjust(returned, sku, count, "returned; no order of this customer covers it")
