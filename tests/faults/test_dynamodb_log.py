"""The log of a shop on DynamoDB: what a shop of several machines would lose without it."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from storekeeper.domain.changes import ChangeSet, Put, Short
from storekeeper.domain.errors import StoreUnavailable
from storekeeper.domain.work import Setting
from storekeeper.store.dynamodb import log
from storekeeper.store.dynamodb.opening import make_tables, open_store
from tests.support import local_engines
from tests.support.builders import an_order
from tests.support.clock import Clock
from tests.support.ids import Ids
from tests.support.shop import Shop
from tools.engines.launch import CREDENTIALS

NODES = 4
UNITS = 250
ASKED = 1_000


@asynccontextmanager
async def node(folder: Path, number: int, endpoint: str = "") -> AsyncIterator[Shop]:
    """One of the machines of the shop whose tables are named after `folder`."""
    os.environ.update(CREDENTIALS)
    prefix = f"t{abs(hash(str(folder))):x}-"
    engine = local_engines.url("dynamodb")
    await asyncio.to_thread(lambda: make_tables(region="eu-west-1", endpoint=engine, prefix=prefix))
    clock, new_id = Clock(), Ids(number)
    store = await asyncio.to_thread(
        lambda: open_store(
            folder / f"node-{number}.db",
            region="eu-west-1",
            endpoint=endpoint or engine,
            prefix=prefix,
            clock=clock,
            new_id=new_id,
        )
    )
    try:
        yield Shop(store=store, clock=clock, new_id=new_id)
    finally:
        await store.close()


class DroppingProxy:
    """Passes everything on, but for the next `drops` answers to writes: it ends the connection
    instead, when the write is done."""

    def __init__(self) -> None:
        target = urlsplit(local_engines.url("dynamodb"))
        self._target = (str(target.hostname), int(target.port or 0))
        self.drops = 0
        self.dropped = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> DroppingProxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        inner_reader, inner_writer = await asyncio.open_connection(*self._target)
        try:
            while head := await _head(reader):
                inner_writer.write(head + await reader.readexactly(_length(head)))
                answer = await _head(inner_reader)
                body = await inner_reader.readexactly(_length(answer))
                if self.drops and b"DynamoDB_20120810.PutItem" in head:
                    self.drops -= 1
                    self.dropped += 1
                    return
                writer.write(answer + body)
                await writer.drain()
        finally:
            inner_writer.close()
            writer.close()


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


async def test_four_nodes_sell_exactly_what_there_is_and_share_the_work(tmp_path: Path) -> None:
    """Oversold by the node next door is oversold all the same."""
    async with (
        node(tmp_path, 0) as first,
        node(tmp_path, 1) as second,
        node(tmp_path, 2) as third,
        node(tmp_path, 3) as fourth,
    ):
        shops = [first, second, third, fourth]
        mug = await first.sell("MUG", stock=UNITS)
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
            for number in range(first_number, ASKED, 40):
                await buy(number)

        await asyncio.gather(*(shopper(number) for number in range(40)))
        assert sold[-1] == ASKED - UNITS
        assert sum(sold[at] for at in range(NODES)) == UNITS
        assert min(sold[at] for at in range(NODES)) >= UNITS / NODES / 5, sold
        for shop in shops:
            level = await shop.level(mug)
            assert (level.on_hand - level.reserved, await shop.store.verify()) == (0, [])


async def test_an_answer_that_got_lost_makes_no_second_order(tmp_path: Path) -> None:
    async with DroppingProxy() as proxy, node(tmp_path, 0, proxy.url) as shop:
        mug = await shop.sell("MUG", stock=10)
        proxy.drops = 1
        await shop.store.commit(an_order((mug, 4))[1])
        assert proxy.dropped == 1
        assert (await shop.level(mug)).reserved == 4
        async with node(tmp_path, 1) as neighbour:
            assert (await neighbour.level(mug)).reserved == 4
            assert await neighbour.store.verify() == []


async def test_when_all_answers_get_lost_the_next_look_tells_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller hears 503 and asks again under the same id; the order that stands is found."""
    monkeypatch.setattr(log, "FIRST_REST_S", 0.001)
    async with DroppingProxy() as proxy, node(tmp_path, 0, proxy.url) as shop:
        mug = await shop.sell("MUG", stock=10)
        proxy.drops = 1_000
        order, change = an_order((mug, 4))
        with pytest.raises(StoreUnavailable):
            await shop.store.commit(change)
        proxy.drops = 0
        assert await shop.store.get(type(order), order.id) == order
        assert (await shop.level(mug)).reserved == 4
        assert await shop.store.verify() == []


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


async def test_a_node_sees_the_last_of_many_large_entries(tmp_path: Path) -> None:
    """A page of the log has a megabyte at most; what lies after it was committed as well."""
    noise = random.Random(1).randbytes(250_000).hex()
    async with node(tmp_path, 0) as shop:
        for name in "abcdef":
            change = ChangeSet(puts=(Put(Setting(id=name, version=1, value=noise)),))
            await shop.store.commit(change)
        async with node(tmp_path, 1) as neighbour:
            assert await neighbour.store.get(Setting, "f") is not None


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
