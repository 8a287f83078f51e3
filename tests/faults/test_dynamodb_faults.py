"""What DynamoDB, the network and the credentials can do to a busy shop, each on each call.

Nothing that was acknowledged may be lost, nothing may happen twice, and who was refused must be
told so in a way that a retry mends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from storekeeper.domain.errors import Overloaded, StoreUnavailable
from storekeeper.domain.orders import Order
from storekeeper.store.dynamodb import follower, remote
from tests.support import faulty_dynamodb as dynamo
from tests.support.acknowledged import CLEAN, examine
from tests.support.builders import a_call, a_request
from tests.support.faulty_dynamodb import FAULTS, FaultyDynamo
from tests.support.nodes import node
from tests.support.shop import Shop

T = TypeVar("T")
STOCK = 100_000
CLIENTS = 4
# What a customer does between two orders; keeps the number of orders down on a fast machine.
THINKING_S = 0.1
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
async def busy(*all_customers: Customers) -> AsyncIterator[None]:
    """All of them order meanwhile, and have what they ordered at the end."""
    async with asyncio.TaskGroup() as group:
        for customers in all_customers:
            for client in range(CLIENTS):
                group.create_task(customers.order(client))
        try:
            yield
        finally:
            for customers in all_customers:
                customers.is_over = True


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


# DynamoDB asks for fewer requests under two names; each is tried on one of the calls.
KINDS = {
    "throttled": (dynamo.THROTTLED, dynamo.SLOWED),
    **{fault.name: (fault, fault) for fault in FAULTS},
}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_fault_under_load_loses_nothing_and_doubles_nothing(
    kind: str, tmp_path: Path
) -> None:
    with FaultyDynamo() as proxy:
        async with node(tmp_path, 0, proxy.url) as hurt, node(tmp_path, 1) as sound:
            mug = await hurt.sell("MUG", stock=STOCK)
            here, there = Customers(hurt, "here"), Customers(sound, "there")
            async with busy(here, there):
                for operation, fault in zip(("PutItem", "Query"), KINDS[kind], strict=True):
                    failed, told = proxy.failed[operation], len(here.told)
                    proxy.fail(operation, fault)
                    await until(lambda: proxy.failed[operation] >= failed + ENOUGH)
                    await until(lambda: len(here.told) > told)
                    proxy.heal()
                    done = len(here.acknowledged)
                    await until(lambda: len(here.acknowledged) >= done + ENOUGH)
            acknowledged = here.acknowledged | there.acknowledged
            assert not there.told
            assert await examine(sound.store, acknowledged, there.place) == CLEAN
            for shop in (hurt, sound):
                assert (await shop.level(mug)).reserved == len(acknowledged)
                assert sum((await shop.store.summary()).orders.values()) == len(acknowledged)
                assert await shop.store.verify() == []
            is_busy = [isinstance(error, Overloaded) for error in here.told]
            if kind == "throttled":
                assert all(is_busy)
                assert all(error.members["retry_after"] >= 1 for error in here.told)
            else:
                assert not any(is_busy)
