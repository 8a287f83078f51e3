"""Whether other programs are shown the shop as it is; never on a request's path, as it scans."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from storekeeper.store.dynamodb import items
from storekeeper.store.dynamodb.remote import BULK_PATIENCE_S, Remote
from storekeeper.store.dynamodb.rights import OF_VERIFY, ask_for_rights
from storekeeper.store.dynamodb.tables import ORDERS, PRODUCTS, VIEWS, Table
from storekeeper.store.dynamodb.touching import Key
from storekeeper.store.dynamodb.views import BATCH, Replica, State, Views
from storekeeper.store.port import ViewDifference
from storekeeper.store.sqlite.reader import Reader

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

# The table's name and the item's two keys.
Place = tuple[str, str, str]
# The number of the entry that an item knows of, and all else that it says.
Stands = tuple[int, dict[str, Any]]
# Differences that are looked at again and told; there is no use in more.
MOST = 1_000
AT_ONCE = 16
_RECORDS = (
    (items.PRODUCT, "SELECT id FROM product WHERE id > ? ORDER BY id LIMIT ?"),
    (items.STOCK, "SELECT id FROM product WHERE id > ? ORDER BY id LIMIT ?"),
    (items.ORDER, "SELECT id FROM orders WHERE id > ? ORDER BY id LIMIT ?"),
    (
        items.ACCOUNT,
        "SELECT id FROM record WHERE kind = 'Account' AND id > ? ORDER BY id LIMIT ?",
    ),
)


class Checker:
    """Compares every item with the shop, and every record with its items."""

    def __init__(self, remote: Remote, prefix: str, replica: Replica, views: Views) -> None:
        self._remote = remote
        self._prefix = prefix
        self._replica = replica
        self._views = views

    async def differences(self) -> list[ViewDifference]:
        """What differs. A shop that sells on moves while it is looked at, so what seemed to differ
        is looked at again in a way that can't mistake one moment for another."""
        await ask_for_rights(self._remote, self._prefix, OF_VERIFY)
        await self._views.bring_up()
        suspects: dict[Key, None] = {}
        async for keys in self._records():
            suspects.update((one.key, None) for one in await self._compare(keys))
            if len(suspects) >= MOST:
                break
        for table in VIEWS:
            async for places in self._scan(table):
                suspects.update((key, None) for key in await self._unexpected(table, places))
                if len(suspects) >= MOST:
                    break
        found: list[ViewDifference] = []
        for batch in _batches(list(suspects)):
            found.extend(one.told for one in await self._compare(batch, is_final=True))
        return found

    async def _records(self) -> AsyncIterator[list[Key]]:
        for kind, sql in _RECORDS:
            after = ""
            while rows := await self._replica.ask(
                partial(Reader.rows, sql=sql, bindings=(after, BATCH)), long=True, fresh=False
            ):
                after = rows[-1][0]
                yield [(kind, id) for (id,) in rows]

    async def _scan(self, table: Table) -> AsyncIterator[list[tuple[str, str]]]:
        """The keys of all items, page by page."""
        start: dict[str, Any] = {}
        while True:
            answer = await self._remote.ask(
                partial(_page, self._prefix + table.name, start), patience_s=BULK_PATIENCE_S
            )
            yield [(item["pk"]["S"], item["sk"]["S"]) for item in answer["Items"]]
            if "LastEvaluatedKey" not in answer:
                return
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    async def _unexpected(self, table: Table, places: Sequence[tuple[str, str]]) -> list[Key]:
        """The records to whose items one was found that isn't theirs."""
        found: list[Key] = []
        for at in range(0, len(places), BATCH):
            some = places[at : at + BATCH]
            keys = dict.fromkeys(_key_of(table, *place) for place in some)
            wanted = _places(await self._views.state(list(keys)))
            found.extend(
                _key_of(table, *place) for place in some if (table.name, *place) not in wanted
            )
        return found

    async def _compare(self, keys: Sequence[Key], *, is_final: bool = False) -> list[_Differing]:
        """Where items aren't what the replica said before they were read. `is_final`: the tables are
        brought up in between, so that only an item of a later entry may say something else."""
        state = await self._views.state(list(keys))
        wanted = _places(state)
        if is_final:
            await self._views.bring_up()
        stands = await self._remote.ask(
            lambda client: self._read(client, keys), patience_s=BULK_PATIENCE_S
        )
        if is_final:
            await self._replica.catch_up()
        end = self._replica.followed
        found: list[_Differing] = []
        for place in sorted(wanted.keys() | stands.keys()):
            seq, attributes = stands.get(place, (0, None))
            if attributes != wanted.get(place) and not (is_final and state.seq < seq <= end):
                found.append(_Differing(place, place in wanted, place in stands))
        return found

    async def _read(self, client: DynamoDBClient, keys: Sequence[Key]) -> dict[Place, Stands]:
        """The items that stand for records."""
        at_once = asyncio.Semaphore(AT_ONCE)

        async def read(key: Key) -> list[tuple[Place, Stands]]:
            async with at_once:
                return await self._read_one(client, key)

        found = await asyncio.gather(*(read(key) for key in keys))
        return dict(one for many in found for one in many)

    async def _read_one(self, client: DynamoDBClient, key: Key) -> list[tuple[Place, Stands]]:
        kind, id = key
        table = items.TABLE_OF[kind]
        found: list[tuple[Place, Stands]] = []
        start: dict[str, Any] = {}
        while True:
            answer = await client.query(
                TableName=self._prefix + table.name,
                KeyConditionExpression="pk = :pk AND begins_with(sk, :kind)",
                ExpressionAttributeValues={":pk": {"S": id}, ":kind": {"S": kind}},
                ConsistentRead=True,
                **start,
            )
            for item in answer["Items"]:
                attributes: dict[str, Any] = dict(item)
                seq = int(attributes.pop("seq", {"N": "0"})["N"])
                found.append(((table.name, id, item["sk"]["S"]), (seq, attributes)))
            if "LastEvaluatedKey" not in answer:
                return found
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


def _places(state: State) -> dict[Place, dict[str, Any]]:
    return {
        (item.table.name, *item.key): item.attributes
        for record in state.shown.values()
        for item in record
    }


def _batches(keys: Sequence[Key]) -> list[Sequence[Key]]:
    return [keys[at : at + BATCH] for at in range(0, min(len(keys), MOST), BATCH)]


async def _page(table: str, start: dict[str, Any], client: DynamoDBClient) -> Any:
    return await client.scan(
        TableName=table, ProjectionExpression="pk, sk", ConsistentRead=True, **start
    )


class _Differing:
    """One place at which what is shown isn't what should be."""

    def __init__(self, place: Place, is_wanted: bool, stands: bool) -> None:
        table, pk, sk = place
        self.key = _key_of(next(one for one in VIEWS if one.name == table), pk, sk)
        self.told = ViewDifference(
            table=table,
            item=f"{pk} {sk}",
            what="extra" if not is_wanted else "different" if stands else "missing",
        )


def _key_of(table: Table, pk: str, sk: str) -> Key:
    """The record that an item belongs to."""
    if table is PRODUCTS:
        return (items.STOCK if sk.startswith(items.STOCK) else items.PRODUCT), pk
    return (items.ORDER if table is ORDERS else items.ACCOUNT), pk
