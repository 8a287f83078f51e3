"""Entries too large for one item: their parts, and the removal of parts that nothing can name.

Parts mean nothing until the entry that names them stands. Before the first of them is written, a
draft says for which number of the log they are meant. As soon as somebody else's entry stands
under that number, they can't be named any more, wherever their writer was stopped, and may go.
Parts of a number that is still free are left alone, and so are those of an entry that stands.

An entry whose data was rewritten (`store.dynamodb.rewriting`) names its parts by itself, and names
as loose those that are just being written or are to go; whoever rewrites sees to these.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from storekeeper.domain.errors import StoreUnavailable

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

LOG = {"S": "log"}
# An item may have 400 KB; what is over goes into parts.
PART_BYTES = 380_000
_DRAFTS = {"S": "drafts"}
# Apart, as a version that knows nothing of rewritten entries would take their parts for nobody's.
REWRITES = {"S": "rewrites"}


def cut(data: bytes) -> list[bytes]:
    return [data[at : at + PART_BYTES] for at in range(0, len(data), PART_BYTES)]


async def write(
    client: DynamoDBClient,
    table: str,
    seq: int,
    name: str,
    data: bytes,
    *,
    drafts: dict[str, str] = _DRAFTS,
) -> int:
    """Writes the parts of what may become entry `seq` under that name; answers how many."""
    parts = cut(data)
    await client.put_item(
        TableName=table,
        Item={
            "pk": drafts,
            "sk": _draft_key(name),
            "by": {"S": name},
            "seq": {"N": str(seq)},
            "parts": {"N": str(len(parts))},
        },
    )
    written = await asyncio.gather(
        *(
            client.put_item(TableName=table, Item={**_part_key(name, at), "data": {"B": part}})
            for at, part in enumerate(parts)
        ),
        return_exceptions=True,
    )
    for failure in written:
        if isinstance(failure, BaseException):
            raise failure
    return len(parts)


def named(item: Any) -> str | None:
    """The name of the parts in which the data of the log's `item` lies; None where it doesn't."""
    if "parts" not in item:
        return None
    return str(item["parts_of" if "parts_of" in item else "by"]["S"])


async def read(client: DynamoDBClient, table: str, item: Any) -> tuple[Any, bytes]:
    """The log's `item` and its data; the item as it is now where it was rewritten since it was
    read."""
    while "data" not in item:
        name = str(named(item))
        parts = await _all(client, table, name)
        if len(parts) == int(item["parts"]["N"]):
            return item, b"".join(parts)
        stands = await standing(client, table, item["sk"]["N"])
        if stands is None or named(stands) == name:
            raise StoreUnavailable(
                f"entry {item['sk']['N']} of the log lacks a part; restore the table from its "
                "point-in-time recovery"
            )
        item = stands
    return item, bytes(item["data"]["B"])


async def standing(client: DynamoDBClient, table: str, seq: str) -> Any:
    """The item of an entry as it is now, None where there is none."""
    answer = await client.get_item(
        TableName=table, Key={"pk": LOG, "sk": {"N": seq}}, ConsistentRead=True
    )
    return answer.get("Item")


async def remove(client: DynamoDBClient, table: str, name: str, count: int) -> None:
    """Removes parts; those that are gone already are none."""
    for at in range(count):
        await client.delete_item(TableName=table, Key=_part_key(name, at))


async def _all(client: DynamoDBClient, table: str, name: str) -> list[bytes]:
    parts: list[bytes] = []
    start: dict[str, Any] = {}
    while True:
        answer = await client.query(
            TableName=table,
            KeyConditionExpression="pk = :part",
            ExpressionAttributeValues={":part": _part_key(name, 0)["pk"]},
            ConsistentRead=True,
            **start,
        )
        parts.extend(bytes(found["data"]["B"]) for found in answer["Items"])
        if "LastEvaluatedKey" not in answer:
            return parts
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


async def sweep(client: DynamoDBClient, table: str, limit: int) -> int:
    """Removes drafts whose number is taken, at most `limit` of a kind, each with its parts unless
    the entry that stands there names them; answers how many drafts."""
    return sum([await _sweep(client, table, drafts, limit) for drafts in (_DRAFTS, REWRITES)])


async def _sweep(client: DynamoDBClient, table: str, drafts: dict[str, str], limit: int) -> int:
    removed = 0
    start: dict[str, Any] = {}
    while removed < limit:
        answer = await client.query(
            TableName=table,
            KeyConditionExpression="pk = :drafts",
            ExpressionAttributeValues={":drafts": drafts},
            ConsistentRead=True,
            Limit=limit,
            **start,
        )
        for draft in answer["Items"]:
            removed += await _settle(client, table, draft)
        if "LastEvaluatedKey" not in answer:
            break
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
    return removed


async def _settle(client: DynamoDBClient, table: str, draft: Any) -> bool:
    name = draft["by"]["S"]
    stands = await standing(client, table, draft["seq"]["N"])
    if stands is None or stands.get("loose", {}).get("S") == name:
        return False
    if named(stands) != name:
        await remove(client, table, name, int(draft["parts"]["N"]))
    await client.delete_item(TableName=table, Key={"pk": draft["pk"], "sk": draft["sk"]})
    return True


def _part_key(name: str, at: int) -> dict[str, Any]:
    return {"pk": {"S": f"part#{name}"}, "sk": {"N": str(at)}}


def _draft_key(name: str) -> Any:
    # A number has 38 digits at most; 30 of 32 hexadecimal digits fit.
    return {"N": str(int(name[:30], 16))}
