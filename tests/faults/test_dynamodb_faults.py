"""What DynamoDB, the network and the credentials can do to a busy shop, each on each call.

Nothing that was acknowledged may be lost, nothing may happen twice, and who was refused must be
told so in a way that a retry mends.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from storekeeper.domain.errors import Overloaded, StoreUnavailable
from storekeeper.domain.orders import Order
from storekeeper.services.background import LEASE
from storekeeper.services.leases import Tenure
from storekeeper.store.dynamodb import follower, remote
from storekeeper.store.dynamodb.remote import Remote
from storekeeper.store.dynamodb.rights import OF_LOG, OF_VERIFY, OF_VIEWS
from storekeeper.store.dynamodb.tables import TABLES
from tests.contract.engines import prefix_of
from tests.faults.chores import Chores, calls_of
from tests.support import faulty_dynamodb as dynamo
from tests.support import local_engines
from tests.support.acknowledged import CLEAN, examine
from tests.support.builders import a_call, a_request
from tests.support.faulty_dynamodb import FAULTS, Fault, FaultyDynamo
from tests.support.nodes import REGION, node
from tests.support.shop import Shop

T = TypeVar("T")
STOCK = 100_000
CLIENTS = 4
# What a customer does between two orders; keeps the number of orders down on a fast machine.
THINKING_S = 0.15
# Of one fault: so many calls fail, some callers are told, so many orders come through after.
ENOUGH = 3


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long here; what is waited for is the same."""
    monkeypatch.setattr(remote, "READ_S", 0.8)
    monkeypatch.setattr(remote, "PATIENCE_S", 2.0)
    monkeypatch.setattr(remote, "LONGEST_REST_S", 0.05)
    monkeypatch.setattr(follower, "REFUSING_S", 0.05)


class Customers:
    """They order through a node all the time and read their orders back; who is refused with a
    503 asks again under the same key until it is acknowledged."""

    def __init__(self, shop: Shop, name: str) -> None:
        self._shop = shop
        self._name = name
        self.acknowledged: dict[str, str] = {}
        self.told: list[Overloaded | StoreUnavailable] = []
        self.is_over = False

    async def place(self, key: str) -> str:
        placed = await self._shop.checkout.place(a_call(key, "hash"), a_request(("MUG", 1)))
        return placed.order.id

    async def order(self, client: int) -> None:
        number = 0
        while not self.is_over:
            key = f"{self._name}-{client}-{number}"
            id = await self._patiently(lambda key=key: self.place(key))  # type: ignore[misc]
            self.acknowledged[key] = id
            found = await self._patiently(lambda id=id: self._shop.store.get(Order, id))  # type: ignore[misc]
            assert found is not None, "an order that was acknowledged can't be read"
            number += 1
            await asyncio.sleep(THINKING_S)

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await work()
            except (Overloaded, StoreUnavailable) as error:
                self.told.append(error)
                await asyncio.sleep(0.01)


@asynccontextmanager
async def busy(*all_customers: Customers, chores: Chores) -> AsyncIterator[None]:
    """All of them order meanwhile, and have what they ordered at the end; so for the chores."""
    async with asyncio.TaskGroup() as group:
        chores.start(group)
        for customers in all_customers:
            for client in range(CLIENTS):
                group.create_task(customers.order(client))
        try:
            yield
        finally:
            chores.is_over = True
            for customers in all_customers:
                customers.is_over = True


@asynccontextmanager
async def a_proxy() -> AsyncIterator[FaultyDynamo]:
    with FaultyDynamo() as proxy:
        yield proxy


@asynccontextmanager
async def a_way(url: str) -> AsyncIterator[Remote]:
    """Clients of their own, as the work beside requests has."""
    way = Remote(region=REGION, endpoint=url)
    try:
        yield way
    finally:
        await asyncio.to_thread(way.close)


def a_tenure(shop: Shop) -> Tenure:
    term = timedelta(seconds=10)
    return Tenure(shop.store, shop.clock, id=LEASE, holder="sound", duration=term)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


# What customers wait for fails until they are told; what only the work beside requests asks, so many
# times: it may come through at the end of its tries.
OF_CUSTOMERS = ("Query", "PutItem")
BESIDE = ("GetItem", "DeleteItem", "DescribeTable")
TIMES = 2
# DynamoDB asks for fewer requests under two names; each is tried on one of the calls.
KINDS: dict[str, tuple[tuple[Fault, Fault], ...]] = {
    "throttled": ((dynamo.SLOWED, dynamo.THROTTLED),),
    "lost": tuple((fault, fault) for fault in (dynamo.BROKEN, dynamo.RESET, dynamo.RESET_AFTER)),
    "silent": ((dynamo.SILENT, dynamo.SILENT),),
    "silent after it was done": ((dynamo.SILENT_AFTER, dynamo.SILENT_AFTER),),
    "refused": tuple(
        (fault, fault) for fault in (dynamo.EXPIRED, dynamo.DENIED, dynamo.SKEWED, dynamo.UNSIGNED)
    ),
}
# No request and no work beside them makes these: commands do, which end with one sentence.
OF_COMMANDS = {
    "CreateTable",
    "UpdateTable",
    "DescribeTimeToLive",
    "UpdateTimeToLive",
    "DescribeContinuousBackups",
    "UpdateContinuousBackups",
    "Scan",
}


def test_no_call_of_the_store_and_no_fault_is_forgotten() -> None:
    """By the source: whoever adds a call has to say where it is made to fail."""
    assert calls_of(beside=("bucket",)) == {*OF_CUSTOMERS, *BESIDE} | OF_COMMANDS
    assert {fault for some in KINDS.values() for pair in some for fault in pair} == {
        dynamo.THROTTLED,
        dynamo.SLOWED,
        *FAULTS,
    }


@pytest.mark.parametrize("kind", KINDS)
async def test_a_fault_under_load_loses_nothing_and_doubles_nothing(
    kind: str, tmp_path: Path
) -> None:
    prefix = prefix_of(tmp_path)
    async with (
        a_proxy() as proxy,
        node(tmp_path, 0, proxy.url) as hurt,
        node(tmp_path, 1) as sound,
        a_way(proxy.url) as way,
        a_way(local_engines.url("dynamodb")) as sound_way,
    ):
        mug = await hurt.sell("MUG", stock=STOCK)
        assert await a_tenure(sound).hold()
        here, there = Customers(hurt, "here"), Customers(sound, "there")
        chores = Chores(hurt, way, sound_way, prefix)
        async with busy(here, there, chores=chores):
            for pair in KINDS[kind]:
                await meet(proxy, pair[0])
                for operation, fault in zip(OF_CUSTOMERS, pair, strict=True):
                    await suffer(proxy, operation, fault, here)
            await chores.all_done()
        acknowledged = here.acknowledged | there.acknowledged
        assert not there.told
        assert await examine(sound.store, acknowledged, there.place) == CLEAN
        for shop in (hurt, sound):
            assert (await shop.level(mug)).reserved == len(acknowledged)
            assert sum((await shop.store.summary()).orders.values()) == len(acknowledged)
            assert await shop.store.verify() == []
        assert await chores.left_over() == 0
        assert await chores.differences() == []
        told = here.told + chores.told
        assert all(isinstance(error, Overloaded) == (kind == "throttled") for error in told), {
            error.detail for error in told
        }
        if kind == "throttled":
            assert all(error.members["retry_after"] >= 1 for error in told)
        assert set(proxy.asked) <= rights()


async def meet(proxy: FaultyDynamo, fault: Fault) -> None:
    """Each call of the work beside requests fails some times."""
    before = Counter(proxy.failed)
    for operation in BESIDE:
        proxy.fail(operation, fault, TIMES)
    await until(lambda: all(proxy.failed[each] >= before[each] + TIMES for each in BESIDE))


async def suffer(proxy: FaultyDynamo, operation: str, fault: Fault, here: Customers) -> None:
    """The call fails until customers were told, then all goes well again."""
    failed, told = proxy.failed[operation], len(here.told)
    proxy.fail(operation, fault)
    await until(lambda: proxy.failed[operation] >= failed + ENOUGH)
    await until(lambda: len(here.told) > told)
    proxy.heal()
    done = len(here.acknowledged)
    await until(lambda: len(here.acknowledged) >= done + ENOUGH)


def rights() -> set[tuple[str, str]]:
    """What a role may do by what is tried at the start: nothing else may go over the wire."""
    tried = {
        (str(action), table.name)
        for kind in (OF_LOG, OF_VIEWS, OF_VERIFY)
        for table, actions in kind.items()
        for action in actions
    }
    return tried | {("DescribeTable", table.name) for table in TABLES}
