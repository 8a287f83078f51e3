"""How another program reads a shop's tables: with nothing but AWS's own client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from storekeeper.app import Shop, create_tables, open_shop
from storekeeper.config import Settings
from tests.support.role import OwnRemote


class Looker:
    """Another program."""

    def __init__(self, settings: Settings) -> None:
        self.remote = OwnRemote(region=settings.aws_region, endpoint=settings.aws_endpoint_url)
        self.prefix = settings.dynamodb_prefix

    async def do(self, method: str, table: str, **parameters: Any) -> Any:
        name = self.prefix + table
        return await self.remote.ask(
            lambda client: getattr(client, method)(TableName=name, **parameters)
        )

    async def item(self, table: str, pk: str, sk: str) -> dict[str, Any]:
        """Empty where there is none."""
        answer = await self.do("get_item", table, Key={"pk": {"S": pk}, "sk": {"S": sk}})
        return plain(answer.get("Item", {}))

    async def all(self, table: str) -> list[dict[str, Any]]:
        return [plain(item) for item in (await self.do("scan", table))["Items"]]

    async def by_index(self, index: str, key: str, value: str) -> list[dict[str, Any]]:
        answer = await self.do(
            "query",
            "orders",
            IndexName=index,
            KeyConditionExpression=f"#{key} = :value",
            ExpressionAttributeNames={f"#{key}": key},
            ExpressionAttributeValues={":value": {"S": value}},
        )
        return [plain(item) for item in answer["Items"]]


@asynccontextmanager
async def shop_and_looker(settings: Settings) -> AsyncIterator[tuple[Shop, Looker]]:
    """A shop in tables, made where they don't exist, and somebody who looks at them."""
    await asyncio.to_thread(create_tables, settings)
    looker = Looker(settings)
    try:
        async with open_shop(settings) as shop:
            await shop.prepare()
            yield shop, looker
    finally:
        await asyncio.to_thread(looker.remote.close)


def plain(item: Any) -> dict[str, Any]:
    """An item's values without DynamoDB's types."""
    return {name: _value(value) for name, value in item.items()}


def _value(typed: Any) -> Any:
    ((kind, value),) = typed.items()
    if kind == "N":
        return int(value)
    if kind == "NULL":
        return None
    if kind == "M":
        return plain(value)
    if kind == "L":
        return [_value(one) for one in value]
    return value
