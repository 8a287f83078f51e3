"""The table of the log as somebody sees it who looks into it, and ways to it that are troubled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from storekeeper.store.dynamodb import parts
from storekeeper.store.dynamodb.remote import Remote
from tests.dynamodb.logs import Written
from tests.support.role import acting


class Broken(Exception):
    """The node was killed."""


class Commits:
    """The table of the log, as somebody sees it who looks into it."""

    def __init__(self, store: Any, prefix: str) -> None:
        self.remote: Remote = store._remote
        self.name = f"{prefix}commits"

    async def items(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self._ask(self._scan)
        return found

    async def written(self) -> list[Written]:
        """The entries, in order, as any node reads them."""
        log = [item for item in await self.items() if item["pk"]["S"] == "log"]
        found = []
        for item in sorted(log, key=lambda item: int(item["sk"]["N"])):
            now, data = await self._ask(partial(parts.read, table=self.name, item=item))
            found.append(Written(int(now["sk"]["N"]), int(now["format"]["N"]), data))
        return found

    async def text(self) -> str:
        return b"".join(one.text() for one in await self.written()).decode("utf-8", "replace")

    async def part_names(self) -> tuple[set[str], set[str]]:
        """The names of parts that there are, and those that entries name."""
        items = await self.items()
        there = {
            item["pk"]["S"].partition("#")[2]
            for item in items
            if item["pk"]["S"].startswith("part#")
        }
        named = {parts.named(item) for item in items if item["pk"]["S"] == "log"}
        return there, {name for name in named if name is not None}

    async def put_back(self, before: list[dict[str, Any]]) -> None:
        """Makes the table what it was."""
        kept = {(item["pk"]["S"], item["sk"]["N"]) for item in before}
        keys = [{name: item[name] for name in ("pk", "sk")} for item in await self.items()]
        new = [key for key in keys if (key["pk"]["S"], key["sk"]["N"]) not in kept]
        await asyncio.gather(
            *(self._ask(partial(self._do, "delete_item", Key=key)) for key in new),
            *(self._ask(partial(self._do, "put_item", Item=item)) for item in before),
        )

    async def _ask(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        """By the node's own client, but nothing that the node does."""
        with acting("other"):
            return await self.remote.ask(work)

    async def _scan(self, client: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        async for page in client.get_paginator("scan").paginate(
            TableName=self.name, ConsistentRead=True
        ):
            found.extend(page["Items"])
        return found

    async def _do(self, method: str, client: Any, **parameters: Any) -> None:
        await getattr(client, method)(TableName=self.name, **parameters)


class Way:
    """The way to DynamoDB of a node: `stop` happens to it before its `number`th write, or after."""

    def __init__(
        self,
        remote: Remote,
        number: int,
        stop: Callable[[], Awaitable[None]],
        *,
        is_after: bool = False,
    ) -> None:
        self._remote = remote
        self._left = number
        self._stop = stop
        self._is_after = is_after
        self._client: Any = None

    async def ask(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        async def watched(client: Any) -> Any:
            self._client = client
            return await work(self)

        return await self._remote.ask(watched)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name not in ("put_item", "delete_item"):
            return method
        self._left -= 1
        return method if self._left else partial(self._stopped, method)

    async def _stopped(self, method: Any, **parameters: Any) -> Any:
        if self._is_after:
            await method(**parameters)
        await self._stop()
        return await method(**parameters)


async def killed() -> None:
    raise Broken


async def lost() -> None:
    raise ConnectionResetError
