"""Personal data of deleted accounts goes from old entries of the log; one node at a time sees to it.

A pass looks at every entry up to the one that was the last when it began, and rewrites those that
hold something of accounts whose deletion is done. How far it has come is kept beside the log, so
that any node goes on where another stopped. It is in no hurry: entries are read at a pace that
leaves the log to the shop.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import structlog

from storekeeper.domain.errors import Overloaded, StoreUnavailable
from storekeeper.domain.types import Struct
from storekeeper.store.dynamodb import parts
from storekeeper.store.dynamodb.parts import LOG
from storekeeper.store.dynamodb.redaction import Redacted, redact
from storekeeper.store.dynamodb.remote import Remote
from storekeeper.store.dynamodb.rewriting import Overtaken, Rewriter
from storekeeper.store.dynamodb.tables import COMMITS
from storekeeper.store.dynamodb.views import Replica
from storekeeper.store.sqlite.kinds import from_micros, micros
from storekeeper.store.sqlite.reader import Reader

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

log = structlog.get_logger(__name__)
LOOK_S = 600.0
# A pass begins so long after the one before it; it reads the whole log.
EVERY = timedelta(days=1)
# Links to set a password, and what else outlives an account for a while, have been purged by then.
SETTLED_AFTER = timedelta(hours=3)
PAGE = 250
BYTES_A_SECOND = 1_000_000
SHORTEST_REST_S = 0.1
# How often somebody else may be at the same entry before this node lets them, and for how long it
# rests, at random, before it looks again: at first, and twice as long each time.
TRIES = 8
FIRST_REST_S = 0.1
WAITING_KEPT_S = 60.0
_POSITION = {"pk": {"S": "erasure"}, "sk": {"N": "0"}}
_DELETED = """
SELECT (SELECT seq FROM followed), count(*),
       count(*) FILTER (WHERE unixepoch(r.doc ->> 'updated_at') <= ?)
  FROM record_index i
  JOIN record r ON r.kind = i.kind AND r.id = i.id
 WHERE i.kind = 'Account' AND i.field = 'status' AND i.value = 'deleted'
"""


class Deleted(NamedTuple):
    """The accounts whose deletion is done after entry `seq`, and those of them for which nothing
    is under way any more."""

    seq: int
    all: int
    settled: int


class NotYet(NamedTuple):
    """It isn't known yet what should stand in an item's place."""


NOT_YET = NotYet()
Looked = Redacted | NotYet | None


class Pass(Struct, frozen=True, kw_only=True):
    """The newest pass over the log: up to `seq` of `end` it has erased what there was of `accounts`
    deleted accounts, in `entries` entries. `was_*`: of the one before it. `began`: microseconds."""

    turn: int = 0
    began: int = 0
    seq: int = 0
    end: int = 0
    accounts: int = 0
    entries: int = 0
    was_end: int = 0
    was_accounts: int = 0

    @property
    def is_over(self) -> bool:
        return self.seq >= self.end

    @property
    def done(self) -> tuple[int, int]:
        """Up to which entry, and of how many accounts, everything is erased."""
        over = (self.end, self.accounts)
        return over if self.is_over else (self.was_end, self.was_accounts)


class Eraser:
    """Erases in the log of `prefix` what the replica says is to go."""

    def __init__(
        self, remote: Remote, prefix: str, replica: Replica, clock: Callable[[], datetime]
    ) -> None:
        self._remote = remote
        self._table = prefix + COMMITS.name
        self._replica = replica
        self._clock = clock
        self._rewriter = Rewriter(remote, self._table)
        self._known = Pass()
        self._waiting = (-WAITING_KEPT_S, 0)

    async def run(self, stop: asyncio.Event) -> None:
        """Makes passes when they are due until `stop`; raises what DynamoDB raises."""
        while not stop.is_set():
            await self.erase_if_due(stop)
            await _wait(stop, LOOK_S)

    async def erase_if_due(self, stop: asyncio.Event | None = None) -> bool:
        """Goes on with a pass or makes one if accounts were deleted since the last; answers whether
        it came to its end. With `stop` set it leaves the rest for later."""
        stop = stop or asyncio.Event()
        deleted = await self._deleted()
        if deleted.settled <= self._known.done[1]:
            return False  # all that the shop ever deleted is erased, as far as this node knows
        at = await self._read()
        if at.is_over:
            if deleted.settled <= at.accounts or self._clock() < from_micros(at.began) + EVERY:
                return False
            at = await self._begin(at, deleted)
        while not at.is_over and not stop.is_set():
            at = await self._step(at, stop)
        if at.is_over:
            log.info(
                "personal data erased from the log",
                entries=at.entries,
                accounts=at.accounts - at.was_accounts,
                up_to=at.end,
            )
        return at.is_over

    async def erased_up_to(self) -> int:
        """The last entry of the newest pass that is over: of the accounts that were deleted
        before it, the log and whatever is made later hold nothing."""
        return (await self._read()).done[0]

    async def waiting(self) -> int:
        """Deleted accounts that old entries may still tell of, a minute old at most."""
        now = time.monotonic()
        if now - self._waiting[0] > WAITING_KEPT_S:
            deleted = (await self._deleted()).all
            done = (await self._read()).done[1] if deleted else 0
            self._waiting = (now, max(0, deleted - done))
        return self._waiting[1]

    async def _deleted(self) -> Deleted:
        settled = micros(self._clock() - SETTLED_AFTER) // 1_000_000

        def count(reader: Reader) -> Deleted:
            return Deleted(*reader.rows(_DELETED, (settled,))[0])

        return await self._replica.ask(count, long=True, fresh=False)

    async def _begin(self, before: Pass, deleted: Deleted) -> Pass:
        return await self._keep(
            before,
            Pass(
                turn=before.turn + 1,
                began=micros(self._clock()),
                end=deleted.seq,
                accounts=deleted.settled,
                was_end=before.end,
                was_accounts=before.accounts,
            ),
        )

    async def _step(self, at: Pass, stop: asyncio.Event) -> Pass:
        """Looks at some entries, then rests as long as reading them should have taken."""
        if self._replica.followed < at.end:
            await self._replica.catch_up()
        items = await self._remote.ask(lambda client: self._page(client, at.seq, at.end))
        if not items:
            raise StoreUnavailable(f"the log in {self._table} lacks entry {at.seq + 1}")
        entries, read = at.entries, 0
        for item, new in await self._looked_at(items):
            size, is_rewritten = await self._erase(item, new)
            entries += is_rewritten
            read += size
        seq = int(items[-1]["sk"]["N"])
        at = await self._keep(
            at, msgspec.structs.replace(at, turn=at.turn + 1, seq=seq, entries=entries)
        )
        if not at.is_over:
            await _wait(stop, max(SHORTEST_REST_S, read / BYTES_A_SECOND))
        return at

    async def _looked_at(self, items: Sequence[Any]) -> list[tuple[Any, Looked]]:
        """Items of a page, each with what should stand there; those whose data lies elsewhere, or
        which somebody left unfinished, are to be looked at one by one."""
        at_once = [item for item in items if "data" in item and "loose" not in item]

        def look(reader: Reader) -> list[Redacted | None]:
            return [redact(reader, item, bytes(item["data"]["B"])) for item in at_once]

        found = await self._replica.ask(look, long=True, fresh=False)
        known = {item["sk"]["N"]: new for item, new in zip(at_once, found, strict=True)}
        return [(item, known.get(item["sk"]["N"], NOT_YET)) for item in items]

    async def _erase(self, item: Any, new: Looked) -> tuple[int, bool]:
        """Puts `new` in the item's place. How many bytes the entry has, and whether it was
        rewritten."""
        size = len(item["data"]["B"]) if "data" in item else 0
        for tried in range(TRIES):
            try:
                if isinstance(new, NotYet):
                    item = await self._rewriter.settle(item)
                    item, data = await self._remote.ask(lambda client: self._data(client, item))
                    size = len(data)
                    if "loose" in item:
                        raise Overtaken
                    new = await self._replica.ask(
                        lambda reader: redact(reader, item, data), long=True, fresh=False
                    )
                if new is not None:
                    await self._rewriter.replace(item, new)
            except Overtaken:
                rest = FIRST_REST_S * 2**tried
                await asyncio.sleep(random.uniform(0, rest))  # noqa: S311 - only spreads
                item, new = await self._rewriter.stands(item), NOT_YET
            else:
                return size, new is not None
        raise Overloaded(
            f"others are at entry {item['sk']['N']} of the log all the time", retry_after=60
        )

    async def _data(self, client: DynamoDBClient, item: Any) -> tuple[Any, bytes]:
        return await parts.read(client, self._table, item)

    async def _page(self, client: DynamoDBClient, seq: int, end: int) -> list[Any]:
        """The next entries after `seq`, none after `end`."""
        answer = await client.query(
            TableName=self._table,
            KeyConditionExpression="pk = :log AND sk BETWEEN :next AND :end",
            ExpressionAttributeValues={
                ":log": LOG,
                ":next": {"N": str(seq + 1)},
                ":end": {"N": str(end)},
            },
            ConsistentRead=True,
            Limit=PAGE,
        )
        return list(answer["Items"])

    async def _read(self) -> Pass:
        self._known = await self._remote.ask(self._read_pass)
        return self._known

    async def _read_pass(self, client: DynamoDBClient) -> Pass:
        answer = await client.get_item(TableName=self._table, Key=_POSITION, ConsistentRead=True)
        item: Any = answer.get("Item", {})
        return Pass(
            **{name: int(item[name]["N"]) for name in Pass.__struct_fields__ if name in item}
        )

    async def _keep(self, before: Pass, at: Pass) -> Pass:
        """Keeps how far it has come; where another node was faster, what that one kept."""
        if not await self._remote.ask(lambda client: self._keep_if(client, before.turn, at)):
            return await self._read()
        self._known = at
        return at

    async def _keep_if(self, client: DynamoDBClient, turn: int, at: Pass) -> bool:
        fields = {name: {"N": str(getattr(at, name))} for name in Pass.__struct_fields__}
        try:
            await client.put_item(
                TableName=self._table,
                Item={**_POSITION, **fields},
                ConditionExpression="turn = :turn OR attribute_not_exists(turn)",
                ExpressionAttributeValues={":turn": {"N": str(turn)}},
            )
        except client.exceptions.ConditionalCheckFailedException:
            return False
        return True


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
