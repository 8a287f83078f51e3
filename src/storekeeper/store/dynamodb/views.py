"""Keeps the tables that show other programs the shop as it is; one node at a time does.

What an entry of the log touched is read from the replica and put under its key, with the number
of the last entry that the replica held then. An item that tells of a later one stays, so that
nothing goes backwards, whoever writes and however often. How far the log has been followed is kept
beside it; whatever lies before is shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import msgspec

from storekeeper.domain.accounts import Account
from storekeeper.domain.catalog import Product
from storekeeper.domain.orders import Order
from storekeeper.domain.types import ProductId
from storekeeper.store.dynamodb import items
from storekeeper.store.dynamodb.items import Item
from storekeeper.store.dynamodb.log import Log
from storekeeper.store.dynamodb.remote import BULK_PATIENCE_S, Remote
from storekeeper.store.dynamodb.tables import COMMITS, VIEWS
from storekeeper.store.dynamodb.touching import Key, touched_by
from storekeeper.store.sqlite.reader import Reader
from storekeeper.store.sqlite.rows import scalar

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

R = TypeVar("R")
POLL_S = 1.0
# Records that are read and written together.
BATCH = 48
AT_ONCE = 16
# Records whose last writing is remembered, so that one that is touched again isn't written again.
MOST_REMEMBERED = 20_000
LAG_KEPT_S = 5.0
_POSITION = {"pk": {"S": "views"}, "sk": {"N": "0"}}
_DELETED = """
SELECT p.id FROM json_each(?) w CROSS JOIN product p ON p.id = w.value WHERE p.version = 0
"""
_NEWER = "attribute_not_exists(pk) OR seq < :seq"


class State(NamedTuple):
    """Items of some records, as the replica had them after entry `seq`."""

    seq: int
    shown: dict[Key, list[Item]]


class Replica(Protocol):
    """What the views need of a node. `followed` is the last entry that it holds."""

    @property
    def followed(self) -> int: ...

    async def ask(self, question: Callable[[Reader], R], *, long: bool, fresh: bool) -> R: ...

    async def catch_up(self) -> None: ...


class Views:
    """Follows the log for the tables of `prefix`, and reads what they show from the replica."""

    def __init__(self, remote: Remote, prefix: str, log: Log, replica: Replica) -> None:
        self._remote = remote
        self._prefix = prefix
        self._log = log
        self._replica = replica
        self._identity = ""
        self._written: OrderedDict[Key, int] = OrderedDict()
        self._lag = (0.0, 0)

    async def run(self, stop: asyncio.Event) -> None:
        """Keeps the tables near the end of the log until `stop`; raises what DynamoDB raises."""
        position = await self.position()
        while not stop.is_set():
            if self._replica.followed > position:
                position = await self.step(position)
            else:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), POLL_S)

    async def bring_up(self) -> None:
        """Shows all that is in the log now."""
        await self._replica.catch_up()
        end = self._replica.followed
        position = await self.position()
        while position < end:
            position = await self.step(position)

    async def step(self, position: int) -> int:
        """Shows what some entries after `position` touched; answers the new position."""
        found = (await self._log.fetch(position)).entries
        if not found:
            return position
        if self._replica.followed < found[-1].seq:
            await self._replica.catch_up()
        touched = await self._ask(lambda reader: touched_by(reader, found))
        wanted = [key for key, seq in touched.items() if self._written.get(key, 0) < seq]
        for at in range(0, len(wanted), BATCH):
            await self.show(wanted[at : at + BATCH])
        await self._remote.ask(lambda client: self._move_to(client, found[-1].seq), writes=True)
        return found[-1].seq

    async def show(self, keys: Sequence[Key]) -> None:
        """Writes what these records are now, unless something newer stands there."""
        state = await self.state(keys)
        await self.write(state)
        for key in keys:
            self._written[key] = state.seq
            self._written.move_to_end(key)
        while len(self._written) > MOST_REMEMBERED:
            self._written.popitem(last=False)

    async def state(self, keys: Sequence[Key]) -> State:
        """The items that should stand for these records."""
        return await self._ask(lambda reader: _state(reader, keys))

    async def write(self, state: State) -> None:
        """Puts the items of a state, unless newer ones stand there."""
        await self._remote.ask(
            lambda client: self._put_all(client, state), writes=True, patience_s=BULK_PATIENCE_S
        )

    async def lag(self) -> int:
        """Entries of the log that aren't shown yet, some seconds old at most."""
        now = time.monotonic()
        if now - self._lag[0] > LAG_KEPT_S:
            self._lag = (now, max(0, self._replica.followed - await self.position()))
        return self._lag[1]

    async def position(self) -> int:
        """The last entry that is shown: 0 where the tables were made anew since."""
        return await self._remote.ask(self._read_position)

    async def _ask(self, question: Callable[[Reader], R]) -> R:
        return await self._replica.ask(question, long=True, fresh=False)

    async def _read_position(self, client: DynamoDBClient) -> int:
        if not self._identity:
            self._identity = await self._identify(client)
        answer = await client.get_item(
            TableName=self._prefix + COMMITS.name, Key=_POSITION, ConsistentRead=True
        )
        item: Any = answer.get("Item", {})
        if item.get("tables", {}).get("S") != self._identity:
            return 0
        return int(item["seq"]["N"])

    async def _identify(self, client: DynamoDBClient) -> str:
        found = await asyncio.gather(
            *(client.describe_table(TableName=self._prefix + table.name) for table in VIEWS)
        )
        tables: list[Any] = [one["Table"] for one in found]
        return " ".join(
            str(table.get("TableId") or f"{table['TableArn']}/{table['CreationDateTime']}")
            for table in tables
        )

    async def _move_to(self, client: DynamoDBClient, seq: int) -> None:
        # Another node may be further, or just have begun anew with other tables.
        with contextlib.suppress(client.exceptions.ConditionalCheckFailedException):
            await client.put_item(
                TableName=self._prefix + COMMITS.name,
                Item={**_POSITION, "seq": {"N": str(seq)}, "tables": {"S": self._identity}},
                ConditionExpression=f"{_NEWER} OR tables <> :tables",
                ExpressionAttributeValues={
                    ":seq": {"N": str(seq)},
                    ":tables": {"S": self._identity},
                },
            )

    async def _put_all(self, client: DynamoDBClient, state: State) -> None:
        at_once = asyncio.Semaphore(AT_ONCE)

        async def put(record: Sequence[Item]) -> None:
            async with at_once:
                await self._put(client, record, state.seq)

        await asyncio.gather(*(put(record) for record in state.shown.values()))

    async def _put(self, client: DynamoDBClient, record: Sequence[Item], seq: int) -> None:
        """The items of one record, the head last: what it names is there."""
        *parts, head = record
        for part in parts:
            await self._put_item(client, part, seq)
        if parts:
            await self._trim(client, head, len(parts), seq)
        old = await self._put_item(client, head, seq)
        if not parts and "packed_parts" in old:
            await self._trim(client, head, 0, seq)

    async def _put_item(self, client: DynamoDBClient, item: Item, seq: int) -> dict[str, Any]:
        """Puts an item unless a newer one stands there; answers what stood there before."""
        try:
            answer = await client.put_item(
                TableName=self._prefix + item.table.name,
                Item={**item.attributes, "seq": {"N": str(seq)}},
                ConditionExpression=_NEWER,
                ExpressionAttributeValues={":seq": {"N": str(seq)}},
                ReturnValues="ALL_OLD",
            )
        except client.exceptions.ConditionalCheckFailedException:
            return {}
        old: Any = answer.get("Attributes", {})
        return dict(old)

    async def _trim(self, client: DynamoDBClient, head: Item, keep: int, seq: int) -> None:
        """Removes parts that a longer record had: they may hold what was to be forgotten."""
        pk, sk = head.key
        table = self._prefix + head.table.name
        answer = await client.query(
            TableName=table,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :parts)",
            ExpressionAttributeValues={":pk": {"S": pk}, ":parts": {"S": f"{sk}{items.PACKED}"}},
            ProjectionExpression="sk",
            ConsistentRead=True,
        )
        for item in answer["Items"][keep:]:
            with contextlib.suppress(client.exceptions.ConditionalCheckFailedException):
                await client.delete_item(
                    TableName=table,
                    Key={"pk": {"S": pk}, "sk": item["sk"]},
                    ConditionExpression="seq < :seq",
                    ExpressionAttributeValues={":seq": {"N": str(seq)}},
                )


def _state(reader: Reader, keys: Sequence[Key]) -> State:
    connection = reader.connection
    connection.execute("BEGIN")
    try:
        seq = int(scalar(connection, "SELECT seq FROM followed"))
        shown: dict[Key, list[Item]] = {}
        product_ids = _ids(keys, items.PRODUCT)
        products = reader.get_many(Product, product_ids)
        for product in products.values():
            shown[items.PRODUCT, product.id] = items.of_product(product)
        for (id,) in reader.rows(_DELETED, (msgspec.json.encode(product_ids).decode(),)):
            shown[items.PRODUCT, id] = items.of_deleted_product(id)
        for level in reader.levels([ProductId(id) for id in _ids(keys, items.STOCK)]):
            key = (items.STOCK, f"{level.product_id}/{level.location_id}")
            shown[key] = items.of_level(level)
        for order in reader.get_many(Order, _ids(keys, items.ORDER)).values():
            shown[items.ORDER, order.id] = items.of_order(order)
        for account in reader.get_many(Account, _ids(keys, items.ACCOUNT)).values():
            shown[items.ACCOUNT, account.id] = items.of_account(account)
        return State(seq, shown)
    finally:
        connection.execute("COMMIT")


def _ids(keys: Iterable[Key], kind: str) -> list[str]:
    return [id for found, id in keys if found == kind]
