"""Entries too large for one item: their parts, and the removal of parts that nothing can name.

Parts mean nothing until the entry that names them stands. Before the first of them is written, a
draft says for which number of the log they are meant. As soon as somebody else's entry stands
under that number, they can't be named any more, wherever their writer was stopped, and may go.
Parts of a number that is still free are left alone, and so are those of an entry that stands.
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


async def write(client: DynamoDBClient, table: str, seq: int, nonce: str, data: bytes) -> int:
    """Writes the parts of what may become entry `seq` under that nonce; answers how many."""
    parts = [data[at : at + PART_BYTES] for at in range(0, len(data), PART_BYTES)]
    await client.put_item(
        TableName=table,
        Item={
            "pk": _DRAFTS,
            "sk": _draft_key(nonce),
            "by": {"S": nonce},
            "seq": {"N": str(seq)},
            "parts": {"N": str(len(parts))},
        },
    )
    written = await asyncio.gather(
        *(
            client.put_item(TableName=table, Item={**_part_key(nonce, at), "data": {"B": part}})
            for at, part in enumerate(parts)
        ),
        return_exceptions=True,
    )
    for failure in written:
        if isinstance(failure, BaseException):
            raise failure
    return len(parts)


async def join(client: DynamoDBClient, table: str, item: Any) -> bytes:
    """The data of the entry `item`, which lies in parts."""
    parts: list[bytes] = []
    start: dict[str, Any] = {}
    while True:
        answer = await client.query(
            TableName=table,
            KeyConditionExpression="pk = :part",
            ExpressionAttributeValues={":part": _part_key(item["by"]["S"], 0)["pk"]},
            ConsistentRead=True,
            **start,
        )
        parts.extend(bytes(found["data"]["B"]) for found in answer["Items"])
        if "LastEvaluatedKey" not in answer:
            break
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
    if len(parts) != int(item["parts"]["N"]):
        raise StoreUnavailable(
            f"entry {item['sk']['N']} of the log lacks a part; restore the table from its "
            "point-in-time recovery"
        )
    return b"".join(parts)


async def sweep(client: DynamoDBClient, table: str, limit: int) -> int:
    """Removes drafts whose number is taken, at most `limit`, each with its parts unless they
    belong to the entry that stands there; answers how many drafts."""
    removed = 0
    start: dict[str, Any] = {}
    while removed < limit:
        answer = await client.query(
            TableName=table,
            KeyConditionExpression="pk = :drafts",
            ExpressionAttributeValues={":drafts": _DRAFTS},
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
    nonce = draft["by"]["S"]
    stands = await client.query(
        TableName=table,
        KeyConditionExpression="pk = :log AND sk = :seq",
        ExpressionAttributeValues={":log": LOG, ":seq": draft["seq"]},
        ConsistentRead=True,
    )
    if not stands["Items"]:
        return False
    if stands["Items"][0]["by"]["S"] != nonce:
        for at in range(int(draft["parts"]["N"])):
            await client.delete_item(TableName=table, Key=_part_key(nonce, at))
    await client.delete_item(TableName=table, Key={"pk": _DRAFTS, "sk": draft["sk"]})
    return True


def _part_key(nonce: str, at: int) -> dict[str, Any]:
    return {"pk": {"S": f"part#{nonce}"}, "sk": {"N": str(at)}}


def _draft_key(nonce: str) -> Any:
    # A number has 38 digits at most; 30 of 32 hexadecimal digits fit.
    return {"N": str(int(nonce[:30], 16))}
