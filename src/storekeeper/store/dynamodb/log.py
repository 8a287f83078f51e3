"""The log: one item for each commit, numbered without gaps, each written by whoever came first.

A commit is one conditional PutItem under the number after the last that the node has followed:
it succeeds if nobody else has written that number, and then the node knows that it decided on
the newest state. An entry too large for one item lies in parts that mean nothing until the item
that names them is there. An answer that got lost is settled by writing the same item again: the
one that stands says whose it is.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import botocore.exceptions as failures

from storekeeper.domain.admission import Admitted
from storekeeper.domain.errors import StoreUnavailable
from storekeeper.store.dynamodb import entries
from storekeeper.store.dynamodb.entries import Copied, Entry
from storekeeper.store.dynamodb.remote import Remote, code_of, told
from storekeeper.store.dynamodb.tables import COMMITS

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

LOG = {"S": "log"}
# An item may have 400 KB; what is over goes into parts.
PART_BYTES = 380_000
# One page of Query, at most 1 MB by DynamoDB's own rule.
PAGE = 500
# How often the same write is tried until it is known whether it stands.
TRIES = 4
FIRST_REST_S = 0.1


class Behind(Exception):
    """Another node has written the number first; follow, decide anew, try the next one."""


class Found(NamedTuple):
    """Entries, and whether there may be more after them."""

    entries: list[Entry | Copied]
    is_more: bool


class Log:
    """The log of one shop. Blocking methods are for the writer's thread."""

    def __init__(self, remote: Remote, prefix: str) -> None:
        self._remote = remote
        self._table = prefix + COMMITS.name

    def append(self, seq: int, admitted: Sequence[Admitted], at: datetime) -> None:
        """Makes the change sets entry `seq`, durably, or raises.

        `Behind` when it isn't the next number. `StoreUnavailable` or `Overloaded` when it can't be
        known in time whether it was written: the next look at the log tells.
        """
        data = entries.encode(admitted, at)
        self._remote.call(lambda client: self._append(client, seq, entries.FORMAT, data))

    def append_copied(self, entry: Copied) -> None:
        """Makes rows of a copy an entry; raises as `append`."""
        data = entries.encode_rows(entry.copy, entry.written, entry.found)
        self._remote.call(lambda client: self._append(client, entry.seq, entries.ROWS_FORMAT, data))

    def last(self) -> Entry | Copied | None:
        """The newest entry, None of an empty log; blocks."""
        found = self._remote.call(lambda client: self._after(client, 0, 1, is_forward=False))
        return found.entries[0] if found.entries else None

    def after(self, seq: int, limit: int = PAGE) -> Found:
        """The entries after number `seq`, in order and without gaps; blocks."""
        return self._remote.call(lambda client: self._after(client, seq, limit))

    async def fetch(self, seq: int, limit: int = PAGE) -> Found:
        """As `after`, for an event loop."""
        return await self._remote.ask(lambda client: self._after(client, seq, limit))

    async def _append(self, client: DynamoDBClient, seq: int, format: int, data: bytes) -> None:
        nonce = uuid.uuid4().hex
        item: dict[str, Any] = {
            "pk": LOG,
            "sk": {"N": str(seq)},
            "by": {"S": nonce},
            "format": {"N": str(format)},
        }
        if len(data) <= PART_BYTES:
            item["data"] = {"B": data}
        else:
            parts = [data[at : at + PART_BYTES] for at in range(0, len(data), PART_BYTES)]
            await asyncio.gather(
                *(self._put_part(client, nonce, at, part) for at, part in enumerate(parts))
            )
            item["parts"] = {"N": str(len(parts))}
        for attempt in range(1, TRIES + 1):
            try:
                await client.put_item(
                    TableName=self._table,
                    Item=item,
                    ConditionExpression="attribute_not_exists(pk)",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
                return
            except client.exceptions.ConditionalCheckFailedException as error:
                stands: Any = error.response.get("Item", {})
                if stands.get("by", {}).get("S") == nonce:
                    return  # an earlier try of ours, whose answer was lost
                raise Behind from None
            except (failures.ClientError, failures.BotoCoreError, OSError) as error:
                if attempt == TRIES or _is_final(error):
                    raise told(error) from error
                await asyncio.sleep(FIRST_REST_S * 2**attempt)

    async def _put_part(self, client: DynamoDBClient, nonce: str, at: int, part: bytes) -> None:
        await client.put_item(
            TableName=self._table,
            Item={"pk": {"S": f"part#{nonce}"}, "sk": {"N": str(at)}, "data": {"B": part}},
        )

    async def _after(
        self, client: DynamoDBClient, seq: int, limit: int, *, is_forward: bool = True
    ) -> Found:
        answer = await client.query(
            TableName=self._table,
            KeyConditionExpression="pk = :log AND sk > :seq",
            ExpressionAttributeValues={":log": LOG, ":seq": {"N": str(seq)}},
            ConsistentRead=True,
            Limit=limit,
            ScanIndexForward=is_forward,
        )
        found: list[Entry | Copied] = []
        for item in answer["Items"]:
            number = int(item["sk"]["N"])
            data = item["data"]["B"] if "data" in item else await self._joined(client, item)
            found.append(entries.decode(number, int(item["format"]["N"]), bytes(data)))
        return Found(found, "LastEvaluatedKey" in answer)

    async def _joined(self, client: DynamoDBClient, item: Any) -> bytes:
        parts: list[bytes] = []
        start: dict[str, Any] = {}
        while True:
            answer = await client.query(
                TableName=self._table,
                KeyConditionExpression="pk = :part",
                ExpressionAttributeValues={":part": {"S": f"part#{item['by']['S']}"}},
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


def _is_final(error: Exception) -> bool:
    """Whether the write surely didn't happen and won't by trying again."""
    code = code_of(error)
    return code in {
        "AccessDeniedException",
        "ExpiredTokenException",
        "ResourceNotFoundException",
        "UnrecognizedClientException",
        "ValidationException",
    }
