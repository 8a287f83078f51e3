"""Puts new data in the place of an entry's old data: same number, same writer, in steps of which
any may be the last.

Whoever reads the log finds the old data whole or the new data whole. Each step is one conditional
PutItem that counts the item's `rewritten` up, so of two nodes that are at the same entry one goes
on and the other begins anew. Data that lies in parts gets new parts under a new name. The item
names those as `loose` before the first is written, then with one step names them as its own and
the old ones as loose, and names none as loose when these are gone. So what a stop at any step left
is seen by whoever comes to the entry next.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from storekeeper.domain.errors import StoreUnavailable
from storekeeper.store.dynamodb import parts
from storekeeper.store.dynamodb.redaction import Redacted
from storekeeper.store.dynamodb.remote import Remote

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

_LOOSE = ("loose", "loose_parts")
_PARTS = ("parts", "parts_of")


class Overtaken(Exception):
    """The item isn't as it was read, or a step was done and its answer lost: read it again."""


class Rewriter:
    """Rewrites items of the log in the table `table`."""

    def __init__(self, remote: Remote, table: str) -> None:
        self._remote = remote
        self._table = table

    async def stands(self, item: Any) -> Any:
        """The item as it is now."""
        seq = item["sk"]["N"]
        found = await self._remote.ask(lambda client: parts.standing(client, self._table, seq))
        if found is None:
            raise StoreUnavailable(f"the log in {self._table} lacks entry {seq}; was it made anew?")
        return found

    async def settle(self, item: Any) -> Any:
        """Ends what somebody who stopped, or was thought to have, left undone; answers the item
        as it is then. Raises `Overtaken`."""
        if "loose" not in item:
            return item
        # From here on whoever wrote these parts can't make them the entry's own.
        item = await self._put(item, {})
        return await self._clear(item)

    async def replace(self, item: Any, new: Redacted) -> None:
        """Raises `Overtaken`; what is left undone then is settled as anybody's would be."""
        fields: dict[str, Any] = {"format": {"N": str(new.format)}}
        old = _loose(parts.named(item), item)
        if len(new.data) <= parts.PART_BYTES:
            fields["data"] = {"B": new.data}
            item = await self._put(item, {**fields, **old}, drop=_PARTS)
        else:
            item = await self._replace_parts(item, new.data, {**fields, **old})
        if old:
            await self._clear(item)

    async def _replace_parts(self, item: Any, data: bytes, fields: dict[str, Any]) -> Any:
        name = uuid.uuid4().hex
        count = {"N": str(len(parts.cut(data)))}
        seq = int(item["sk"]["N"])
        item = await self._put(item, {"loose": {"S": name}, "loose_parts": count})
        await self._remote.ask(
            lambda client: parts.write(client, self._table, seq, name, data, drafts=parts.REWRITES)
        )
        own = {"parts": count, "parts_of": {"S": name}}
        try:
            return await self._put(item, {**fields, **own}, drop=("data", *_LOOSE))
        except Overtaken:
            # Once the item doesn't name them they can't be its own any more.
            now = await self.stands(item)
            if name not in (parts.named(now), now.get("loose", {}).get("S")):
                await self._remove(name, int(count["N"]))
            raise

    async def _clear(self, item: Any) -> Any:
        await self._remove(item["loose"]["S"], int(item["loose_parts"]["N"]))
        return await self._put(item, {}, drop=_LOOSE)

    async def _remove(self, name: str, count: int) -> None:
        await self._remote.ask(lambda client: parts.remove(client, self._table, name, count))

    async def _put(self, item: Any, fields: dict[str, Any], drop: tuple[str, ...] = ()) -> Any:
        """The item with other fields, if it still is as it was read."""
        times = int(item["rewritten"]["N"]) if "rewritten" in item else 0
        kept = {name: value for name, value in item.items() if name not in drop}
        new = {**kept, **fields, "rewritten": {"N": str(times + 1)}}
        await self._remote.ask(lambda client: self._put_if(client, new, times))
        return new

    async def _put_if(self, client: DynamoDBClient, new: dict[str, Any], times: int) -> None:
        values: dict[str, Any] = {":by": new["by"]}
        if times:
            values[":times"] = {"N": str(times)}
        stands = "rewritten = :times" if times else "attribute_not_exists(rewritten)"
        try:
            await client.put_item(
                TableName=self._table,
                Item=new,
                ConditionExpression=f"#by = :by AND {stands}",
                ExpressionAttributeNames={"#by": "by"},
                ExpressionAttributeValues=values,
            )
        except client.exceptions.ConditionalCheckFailedException:
            raise Overtaken from None


def _loose(name: str | None, item: Any) -> dict[str, Any]:
    return {} if name is None else {"loose": {"S": name}, "loose_parts": item["parts"]}
