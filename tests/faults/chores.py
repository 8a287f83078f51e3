"""What a node does beside its requests, over and over: calls to DynamoDB that no customer makes."""

from __future__ import annotations

import ast
import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from storekeeper.domain.errors import Overloaded, StoreUnavailable
from storekeeper.services.background import LEASE
from storekeeper.services.leases import Tenure
from storekeeper.store import dynamodb
from storekeeper.store.dynamodb import parts
from storekeeper.store.dynamodb.checking import Checker
from storekeeper.store.dynamodb.log import Log
from storekeeper.store.dynamodb.remote import Remote
from storekeeper.store.dynamodb.views import Views
from storekeeper.store.port import ViewDifference
from tests.support.shop import Shop

RUBBISH = b"of a large entry whose writer was killed"
REST_S = 0.1
# What clients of AWS are called in the adapter.
CLIENTS = ("client", "self._client")


def calls_of(*names: str, beside: tuple[str, ...] = ()) -> set[str]:
    """The calls that stand in the adapter's source, in the words of AWS: in the modules `names`, or
    in all but those `beside`."""
    found: set[str] = set()
    for path in Path(str(dynamodb.__file__)).parent.glob("*.py"):
        if path.stem in names if names else path.stem not in beside:
            found.update(_calls_in(ast.parse(path.read_text())))
    return found


def _calls_in(source: ast.Module) -> Iterator[str]:
    for node in ast.walk(source):
        function = node.func if isinstance(node, ast.Call) else None
        if isinstance(function, ast.Attribute) and ast.unparse(function.value) in CLIENTS:
            yield "".join(word.capitalize() for word in function.attr.split("_"))


class Chore:
    """How often one was done, and what was told when it couldn't be."""

    def __init__(self) -> None:
        self.done = 0
        self.told: list[Overloaded | StoreUnavailable] = []


class Chores:
    """Those of the node `hurt`, whose way to DynamoDB is `way`. `sound` is the way of another node,
    which holds the lease."""

    def __init__(self, hurt: Shop, way: Remote, sound: Remote, prefix: str) -> None:
        self._shop = hurt
        self._way = way
        self._sound = sound
        self._prefix = prefix
        self.views = self._new_views()
        self.all: dict[str, Chore] = {}
        self.is_over = False

    def start(self, group: asyncio.TaskGroup) -> None:
        for work in (self._sweep, self._try_for_the_lease, self._find_place, self._show):
            chore = self.all[work.__name__] = Chore()
            group.create_task(self._go_on(chore, work))

    @property
    def told(self) -> list[Overloaded | StoreUnavailable]:
        return [error for chore in self.all.values() for error in chore.told]

    async def all_done(self) -> None:
        """Each once more from now on: none was stopped for good."""
        done = {name: chore.done for name, chore in self.all.items()}
        async with asyncio.timeout(30):
            while any(chore.done == done[name] for name, chore in self.all.items()):
                await asyncio.sleep(0.01)

    async def left_over(self) -> int:
        """Drafts that are still there after a last sweep."""
        await self._shop.store.purge(self._shop.clock(), 1_000)
        answer = await self._sound.ask(
            lambda client: client.query(
                TableName=self._prefix + "commits",
                KeyConditionExpression="pk = :drafts",
                ExpressionAttributeValues={":drafts": {"S": "drafts"}},
            )
        )
        return len(answer["Items"])

    async def differences(self) -> list[ViewDifference]:
        """Between the shop and what other programs are shown."""
        replica: Any = self._shop.store
        return await Checker(self._way, self._prefix, replica, self.views).differences()

    async def _go_on(self, chore: Chore, work: Callable[[], Awaitable[None]]) -> None:
        while not self.is_over:
            try:
                await work()
                chore.done += 1
            except (Overloaded, StoreUnavailable) as error:
                chore.told.append(error)
            await asyncio.sleep(REST_S)

    async def _sweep(self) -> None:
        table = self._prefix + "commits"
        name = uuid.uuid4().hex
        # Its number is taken, so nothing can ever name it.
        await self._sound.ask(lambda client: parts.write(client, table, 1, name, RUBBISH))
        await self._shop.store.purge(self._shop.clock(), 1_000)

    async def _try_for_the_lease(self) -> None:
        term = timedelta(seconds=10)
        shop = self._shop
        tenure = Tenure(shop.store, shop.clock, id=LEASE, holder="hurt", duration=term)
        assert not await tenure.hold(), "two nodes hold the lease"

    async def _find_place(self) -> None:
        """As a node does that begins to lead."""
        await self._new_views().position()

    async def _show(self) -> None:
        await self.views.bring_up()

    def _new_views(self) -> Views:
        replica: Any = self._shop.store
        return Views(self._way, self._prefix, Log(self._way, self._prefix), replica)
