"""The log: one item for each commit, numbered without gaps, each written by whoever came first.

A commit is one conditional PutItem under the number after the last that the node has followed:
it succeeds if nobody else has written that number, and then the node knows that it decided on
the newest state. Otherwise the answer brings what stands there. An entry too large for one item
lies in parts (`store.dynamodb.parts`). An answer that got lost is settled by writing the same item
again, which the client does by itself: the one that stands says whose it is.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from storekeeper.domain.admission import Admitted
from storekeeper.domain.errors import OutcomeUnknown, Overloaded, StoreUnavailable
from storekeeper.store.dynamodb import entries, parts
from storekeeper.store.dynamodb.entries import Copied, Entry
from storekeeper.store.dynamodb.parts import LOG
from storekeeper.store.dynamodb.remote import (
    LONG_PATIENCE_S,
    SENDING,
    Remote,
    Tries,
    is_refusal,
)
from storekeeper.store.dynamodb.tables import COMMITS

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

# One page of Query, at most 1 MB by DynamoDB's own rule. Small, so that a node that is far behind
# while much else goes on gets on by steps that surely end in time.
PAGE = 100
# `by` of an item: the first digits are the node's, the others those of this one write.
NODE_DIGITS = 12


class Found(NamedTuple):
    """Entries in order and without gaps; whether they are all that the log had when asked."""

    entries: Sequence[Entry | Copied]
    is_all: bool


class Behind(Exception):
    """Others have written the number first: apply `entries`, theirs, and decide anew."""

    def __init__(self, entries: Sequence[Entry | Copied]) -> None:
        super().__init__()
        self.entries = entries


class Log:
    """The log of one shop. Blocking methods are for the writer's thread. `node` names this one.

    All raise `StoreUnavailable` or `Overloaded` where DynamoDB can't be asked.
    """

    def __init__(self, remote: Remote, prefix: str) -> None:
        self._remote = remote
        self._table = prefix + COMMITS.name
        self.node = uuid.uuid4().hex[:NODE_DIGITS]
        # Whether the log is surely the one that was followed until now.
        self.is_sure = True

    def append(self, seq: int, admitted: Sequence[Admitted], at: datetime) -> None:
        """Makes the change sets entry `seq`, durably, or raises.

        `Behind` when it isn't the next number. `OutcomeUnknown` when it can't be known in time
        whether it was written: the next look at the log tells.
        """
        data = entries.encode(admitted, at)
        nonce = self._new_nonce()
        tries = Tries()
        try:
            with self._doubting():
                self._remote.call(
                    lambda client: self._append(client, seq, nonce, entries.FORMAT, data, tries),
                    writes=True,
                    patience_s=LONG_PATIENCE_S if len(data) > parts.PART_BYTES else None,
                )
        except (StoreUnavailable, Overloaded) as error:
            if tries.open:
                raise OutcomeUnknown(error.detail, **error.members) from error
            raise

    def append_copied(self, entry: Copied) -> None:
        """Makes rows of a copy an entry; raises as `append`."""
        data = entries.encode_rows(entry.copy, entry.written, entry.found)
        nonce = self._new_nonce()
        self._remote.call(
            lambda client: self._append(
                client, entry.seq, nonce, entries.ROWS_FORMAT, data, Tries()
            ),
            writes=True,
            patience_s=LONG_PATIENCE_S,
        )

    def last(self) -> Entry | Copied | None:
        """The newest entry, None of an empty log; blocks."""
        found = self._remote.call(lambda client: self._after(client, 0, 1, is_forward=False))
        return found.entries[0] if found.entries else None

    def after(self, seq: int, limit: int = PAGE) -> Found:
        """The entries after number `seq`, at most `limit`; blocks."""
        with self._doubting():
            return self._remote.call(lambda client: self._after(client, seq, limit))

    async def fetch(self, seq: int, limit: int = PAGE) -> Found:
        """As `after`, for an event loop."""
        with self._doubting():
            return await self._remote.ask(lambda client: self._after(client, seq, limit))

    async def sweep(self, limit: int) -> int:
        """Removes what interrupted writes of large entries left; answers how many writes."""
        return await self._remote.ask(
            lambda client: parts.sweep(client, self._table, limit),
            writes=True,
            patience_s=LONG_PATIENCE_S,
        )

    @contextlib.contextmanager
    def _doubting(self) -> Iterator[None]:
        """While DynamoDB failed, the tables may have been made anew or restored under us."""
        try:
            yield
        except (StoreUnavailable, Overloaded):
            self.is_sure = False
            raise

    def _new_nonce(self) -> str:
        return self.node + uuid.uuid4().hex[NODE_DIGITS:]

    async def _append(
        self,
        client: DynamoDBClient,
        seq: int,
        nonce: str,
        format: int,
        data: bytes,
        tries: Tries,
    ) -> None:
        item: dict[str, Any] = {
            "pk": LOG,
            "sk": {"N": str(seq)},
            "by": {"S": nonce},
            "format": {"N": str(format)},
        }
        if len(data) <= parts.PART_BYTES:
            item["data"] = {"B": data}
        else:
            count = await parts.write(client, self._table, seq, nonce, data)
            item["parts"] = {"N": str(count)}
        SENDING.set(tries)
        try:
            await client.put_item(
                TableName=self._table,
                Item=item,
                ConditionExpression="attribute_not_exists(pk)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
            tries.open = 0
        except client.exceptions.ConditionalCheckFailedException as error:
            tries.open = 0
            answer: Any = error.response
            stands = answer["Item"]
            # Else it is an earlier try of ours, whose answer was lost.
            if stands["by"]["S"] != nonce:
                raise Behind([await self._entry(client, stands)]) from None
        except client.exceptions.ClientError as error:
            # Refused, and so not written by this try; whatever else it was, it may have been.
            tries.open -= is_refusal(error)
            raise

    async def _after(
        self, client: DynamoDBClient, seq: int, limit: int, *, is_forward: bool = True
    ) -> Found:
        # After a failure the entry that the replica ends with is asked for once more.
        is_doubtful = not self.is_sure and seq > 0
        answer = await client.query(
            TableName=self._table,
            KeyConditionExpression="pk = :log AND sk > :seq",
            ExpressionAttributeValues={":log": LOG, ":seq": {"N": str(seq - is_doubtful)}},
            ConsistentRead=True,
            Limit=limit + is_doubtful,
            ScanIndexForward=is_forward,
        )
        items = answer["Items"]
        if is_doubtful:
            if not items or int(items.pop(0)["sk"]["N"]) != seq:
                raise StoreUnavailable(
                    f"the table {self._table} isn't the one that this node followed: it lacks "
                    f"entry {seq}. Was it made anew or restored? Nothing is written into it; stop "
                    "the node and start it with a new replica (another --database)"
                )
            self.is_sure = True
        found = [await self._entry(client, item) for item in items]
        return Found(found, is_all="LastEvaluatedKey" not in answer)

    async def _entry(self, client: DynamoDBClient, item: Any) -> Entry | Copied:
        item, data = await parts.read(client, self._table, item)
        number, format = int(item["sk"]["N"]), int(item["format"]["N"])
        return entries.decode(number, format, data, item["by"]["S"][:NODE_DIGITS])
