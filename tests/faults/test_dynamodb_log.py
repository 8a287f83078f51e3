"""The log of a shop on DynamoDB: what a shop of several machines would lose without it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from storekeeper.domain.changes import ChangeSet, Put, Short
from storekeeper.domain.errors import StoreUnavailable
from storekeeper.domain.work import Setting
from storekeeper.store.dynamodb.follower import REFUSING_S
from storekeeper.store.dynamodb.setup import create_tables
from storekeeper.store.dynamodb.tables import COMMITS, TABLES
from tests.contract.engines import prefix_of
from tests.support import local_engines
from tests.support.builders import an_order, moving
from tests.support.faulty_dynamodb import DENIED, RESET_AFTER, FaultyDynamo
from tests.support.nodes import node
from tests.support.role import OwnRemote
from tests.support.shop import Shop

NODES = 4
UNITS = 250
ASKED = 1_000
SHOPPERS = 12


async def test_four_nodes_sell_exactly_what_there_is_and_share_the_work(tmp_path: Path) -> None:
    """Oversold by the node next door is oversold all the same."""
    async with (
        node(tmp_path, 0) as first,
        node(tmp_path, 1) as second,
        node(tmp_path, 2) as third,
        node(tmp_path, 3) as fourth,
    ):
        shops = [first, second, third, fourth]
        mug = await first.sell("MUG", stock=UNITS - NODES)
        for shop in shops:
            # Each is at work already when the sale begins.
            await shop.store.commit(moving(mug, 1))
        sold: Counter[int] = Counter()

        async def buy(number: int) -> None:
            at = number % NODES
            try:
                await shops[at].store.commit(an_order((mug, 1), id=f"order-{number}")[1])
                sold[at] += 1
            except Short:
                sold[-1] += 1

        async def shopper(first_number: int) -> None:
            # One after the other, so that the nodes commit many small batches beside each other.
            for number in range(first_number, ASKED, SHOPPERS):
                await buy(number)

        await asyncio.gather(*(shopper(number) for number in range(SHOPPERS)))
        print("units sold by node:", [sold[at] for at in range(NODES)])
        assert sold[-1] == ASKED - UNITS
        assert sum(sold[at] for at in range(NODES)) == UNITS
        assert min(sold[at] for at in range(NODES)) >= UNITS / NODES / 5, sold
        for shop in shops:
            level = await shop.level(mug)
            assert (level.on_hand - level.reserved, await shop.store.verify()) == (0, [])


@asynccontextmanager
async def proxied(folder: Path) -> AsyncIterator[tuple[FaultyDynamo, Shop]]:
    """A node whose calls to DynamoDB can be made to fail."""
    with FaultyDynamo() as proxy:
        async with node(folder, 0, proxy.url) as shop:
            yield proxy, shop


async def test_an_answer_that_got_lost_makes_no_second_order(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (proxy, shop):
        mug = await shop.sell("MUG", stock=10)
        proxy.fail("PutItem", RESET_AFTER, times=1)
        await shop.store.commit(an_order((mug, 4))[1])
        assert proxy.failed["PutItem"] == 1
        assert (await shop.level(mug)).reserved == 4
        async with node(tmp_path, 1) as neighbour:
            assert (await neighbour.level(mug)).reserved == 4
            assert await neighbour.store.verify() == []


async def test_when_all_answers_get_lost_the_next_look_tells_what_was_written(
    tmp_path: Path,
) -> None:
    """The caller hears 503 and asks again under the same id; the order that stands is found."""
    async with proxied(tmp_path) as (proxy, shop):
        mug = await shop.sell("MUG", stock=10)
        proxy.fail("PutItem", RESET_AFTER)
        order, change = an_order((mug, 4))
        with pytest.raises(StoreUnavailable):
            await shop.store.commit(change)
        proxy.heal()
        assert await shop.store.get(type(order), order.id) == order
        assert (await shop.level(mug)).reserved == 4
        assert await shop.store.verify() == []


async def test_a_node_that_is_cut_off_tells_how_old_its_knowledge_is(tmp_path: Path) -> None:
    """An operator sees it in the metrics before customers see old pages."""
    async with proxied(tmp_path) as (proxy, shop):
        await shop.store.catch_up()
        proxy.fail("Query", DENIED)
        async with asyncio.timeout(30):
            while shop.store.lag() < 1:
                await asyncio.sleep(0.05)
            proxy.heal()
            while shop.store.lag() > 1:
                await asyncio.sleep(0.05)


async def test_an_entry_larger_than_an_item_is_all_or_nothing(tmp_path: Path) -> None:
    """The longest order of a real shop has over a thousand lines; nothing may stand in its way."""
    noise = random.Random(1).randbytes(700_000).hex()
    async with node(tmp_path, 0) as shop, node(tmp_path, 1) as neighbour:
        await shop.store.commit(ChangeSet(puts=(Put(Setting(id="big", version=1, value=noise)),)))
        await shop.store.commit(ChangeSet(puts=(Put(Setting(id="next", version=1, value="1")),)))
        found = await neighbour.store.get(Setting, "big")
        assert found is not None
        assert found.value == noise
        assert await neighbour.store.get(Setting, "next") is not None


async def test_a_node_far_behind_knows_the_newest_before_it_answers(tmp_path: Path) -> None:
    """DynamoDB answers a megabyte at a time; the end of a page isn't the end of the log."""
    noise = random.Random(1)
    async with node(tmp_path, 0) as shop:
        records = [
            Setting(id=f"setting-{number}", version=1, value=noise.randbytes(300_000).hex())
            for number in range(5)
        ]
        for record in records:
            await shop.store.commit(ChangeSet(puts=(Put(record),)))
        async with node(tmp_path, 1) as fresh:
            assert await fresh.store.get(Setting, "setting-4") == records[-1]


async def test_a_node_that_lost_its_file_fills_it_anew(tmp_path: Path) -> None:
    async with node(tmp_path, 0) as shop:
        mug = await shop.sell("MUG", stock=10)
        await shop.store.commit(an_order((mug, 4))[1])
        before = await shop.store.summary()
    for file in tmp_path.glob("node-0.db*"):
        file.unlink()
    async with node(tmp_path, 0) as shop:
        assert await shop.store.summary() == before
        assert await shop.store.verify() == []


async def test_a_replica_of_another_shop_is_refused(tmp_path: Path) -> None:
    """Following the wrong log would mix two shops' stock."""
    other = tmp_path / "other"
    other.mkdir()
    async with node(tmp_path, 0) as shop:
        await shop.sell("MUG", stock=10)
    (tmp_path / "node-0.db").rename(other / "node-0.db")
    with pytest.raises(StoreUnavailable, match="is a replica of"):
        async with node(other, 0):
            pass


async def _drop(name: str, client: Any) -> None:
    await client.delete_table(TableName=name)


async def test_a_node_writes_nothing_into_tables_that_were_made_anew_under_it(
    tmp_path: Path,
) -> None:
    """Else the new log has gaps that nobody can read over, and what was answered is lost."""
    prefix = prefix_of(tmp_path)
    async with node(tmp_path, 0) as shop:
        mug = await shop.sell("MUG", stock=10)
        remote = OwnRemote(region="eu-west-1", endpoint=local_engines.url("dynamodb"))
        try:
            for table in TABLES:
                name = prefix + table.name
                await remote.ask(partial(_drop, name))
            with pytest.raises(StoreUnavailable):
                await shop.store.commit(an_order((mug, 1), id="order-1")[1])
            await asyncio.to_thread(create_tables, remote, prefix)
            with pytest.raises(StoreUnavailable, match="isn't the one"):
                await shop.store.catch_up()
            await asyncio.sleep(REFUSING_S)
            with pytest.raises(StoreUnavailable, match="isn't the one"):
                await shop.store.commit(an_order((mug, 1), id="order-2")[1])
            found = await remote.ask(lambda client: client.scan(TableName=prefix + COMMITS.name))
            assert found["Items"] == []
        finally:
            await asyncio.to_thread(remote.close)
