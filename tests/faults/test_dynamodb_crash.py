"""A node killed at any step of a large order: the order is there as a whole, or not at all."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.work import Setting
from storekeeper.store.dynamodb import parts
from tests.contract.engines import prefix_of
from tests.support import local_engines
from tests.support.builders import a_product, creating, moving
from tests.support.clock import START
from tests.support.faulty_dynamodb import FaultyDynamo, Moment
from tests.support.interrupted_node import LINES, PART_BYTES, place, sku
from tests.support.nodes import REGION, node
from tests.support.processes import lines_of, process, wait_for
from tests.support.role import OwnRemote
from tests.support.shop import Shop

STOCK = 100


async def make_shop(folder: Path) -> None:
    async with node(folder, 0) as shop:
        for start in range(0, LINES, 200):
            products = [a_product(sku(n)) for n in range(start, min(LINES, start + 200))]
            change = creating(*products)
            for product in products:
                change += moving(product, STOCK)
            await shop.store.commit(change)


class Step(NamedTuple):
    """A write of an item of some kind, the `number`th of it, when it is `asked` or `done`; or a
    moment inside the node."""

    kind: str
    number: int = 0
    moment: Moment = "done"

    @property
    def key(self) -> str:
        """The idempotency key of its order."""
        return " ".join(map(str, self)) if self.number else self.kind


UNHARMED = Step("unharmed")
INSIDE = (Step("before the replica"), Step("before the answer"))


def interrupted(folder: Path, step: Step) -> None:
    """Lets a node place the order of that step and kills it there."""
    seen = 0
    with FaultyDynamo() as proxy:
        worker = ("tests.support.interrupted_node", str(folder), "1", proxy.url, step.key)
        with process("-m", *worker) as started:

            def watch(request: bytes, moment: Moment) -> None:
                nonlocal seen
                if f'"pk": {{"S": "{step.kind}'.encode() in request and moment == step.moment:
                    seen += 1
                    if seen == step.number:
                        started.kill()
                        raise ConnectionAbortedError

            wait_for(started, "ready")
            proxy.watch = watch
            assert started.stdin is not None
            started.stdin.write("\n")
            started.stdin.flush()
            said = list(lines_of(started))
            is_killed = started.wait(60) == -signal.SIGKILL
            assert (is_killed, len(said)) == ((False, 1) if step == UNHARMED else (True, 0)), step


async def items(folder: Path) -> Counter[str]:
    """How many items of each kind lie in the table of the log; a look that no shop takes."""
    remote = OwnRemote(region=REGION, endpoint=local_engines.url("dynamodb"))

    async def look(client: Any) -> Counter[str]:
        pages = client.get_paginator("scan").paginate(
            TableName=f"{prefix_of(folder)}commits", ProjectionExpression="pk"
        )
        found: Counter[str] = Counter()
        async for page in pages:
            found.update(item["pk"]["S"].partition("#")[0] for item in page["Items"])
        return found

    try:
        return await remote.ask(look)
    finally:
        await asyncio.to_thread(remote.close)


async def reserved(shop: Shop) -> set[int]:
    """The different amounts that are reserved of the products of the order."""
    products = await shop.store.products_by_sku([sku(n).casefold() for n in range(LINES)])
    assert len(products) == LINES
    levels = await shop.store.levels([product.id for product in products.values()])
    return {level.reserved for level in levels}


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_killed_at_any_step_a_large_order_is_whole_or_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps: the draft, each part, the item that names them, the replica, the answer."""
    await make_shop(tmp_path)
    await asyncio.to_thread(interrupted, tmp_path, UNHARMED)
    count = (await items(tmp_path))["part"]
    assert count > 1
    writes = [("drafts", 1), *(("part", number + 1) for number in range(count)), ("log", 1)]
    moments: tuple[Moment, ...] = ("asked", "done")
    steps = [*(Step(*write, moment) for write in writes for moment in moments), *INSIDE]
    placed = 1
    async with node(tmp_path, 0) as shop:
        for step in steps:
            await asyncio.to_thread(interrupted, tmp_path, step)
            # Whoever names the parts decides; before that there is no order.
            placed += step in (Step("log", 1, "done"), *INSIDE)
            assert await reserved(shop) == {placed}, step
            assert await shop.store.verify() == [], step
        # The node that was killed each time goes on with its own file, and knows the same.
        async with node(tmp_path, 1) as again:
            assert await reserved(again) == {placed}
            assert await again.store.verify() == []
        monkeypatch.setattr(parts, "PART_BYTES", PART_BYTES)
        # Who asks again under a step's key meets its order, or gets it now.
        for step in steps:
            await place(shop, step.key)
        assert await reserved(shop) == {len(steps) + 1}
        assert await shop.store.verify() == []


async def test_parts_that_nothing_names_are_removed_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of an entry that stands are the shop's data; they must outlive every sweep."""
    monkeypatch.setattr(parts, "PART_BYTES", 1_000)
    noise = "".join(f"{n:x}" for n in range(2_000))
    async with node(tmp_path, 0) as shop:
        await shop.store.commit(ChangeSet(puts=(Put(Setting(id="kept", version=1, value=noise)),)))
        kept = await items(tmp_path)
        assert kept["part"] > 1
        log = shop.store._log  # type: ignore[attr-defined]
        await log._remote.ask(
            lambda client: parts.write(client, log._table, kept["log"] + 1, "ab" * 16, b"x" * 2_500)
        )
        await shop.store.purge(START, 100)
        # Their number is free: they may still be named.
        assert (await items(tmp_path))["part"] == kept["part"] + 3
        await shop.sell("MUG")
        assert await shop.store.purge(START, 100) == 1
        after = await items(tmp_path)
        assert (after["part"], after["drafts"]) == (kept["part"], 0)
    async with node(tmp_path, 1) as fresh:
        found = await fresh.store.get(Setting, "kept")
        assert found is not None
        assert found.value == noise
