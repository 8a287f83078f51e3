"""Leases, each an item of its own beside the log: what is renewed all day is no history.

An item is replaced only by the version after it, so of several nodes that ask at once one gets it.
An answer that got lost is settled by writing the same item again, which the client does by itself:
the one that stands is ours or it is not.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from storekeeper.domain.work import Lease
from storekeeper.store.dynamodb.remote import Remote
from storekeeper.store.dynamodb.tables import COMMITS

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient


class Leases:
    """The leases of one shop. All raise `StoreUnavailable` or `Overloaded` where DynamoDB can't be
    asked; then it can't be known whether a lease is held."""

    def __init__(self, remote: Remote, prefix: str) -> None:
        self._remote = remote
        self._table = prefix + COMMITS.name

    async def get(self, id: str) -> Lease | None:
        return await self._remote.ask(lambda client: self._get(client, id))

    async def hold(self, lease: Lease) -> bool:
        """As the port says."""
        # Writes that are throttled must not slow down what customers read.
        return await self._remote.ask(lambda client: self._put(client, lease), writes=True)

    async def _get(self, client: DynamoDBClient, id: str) -> Lease | None:
        answer = await client.get_item(TableName=self._table, Key=_key(id), ConsistentRead=True)
        item: Any = answer.get("Item")
        if item is None:
            return None
        return Lease(
            id=id,
            version=int(item["version"]["N"]),
            holder=item["holder"]["S"],
            until=datetime.fromisoformat(item["until"]["S"]),
        )

    async def _put(self, client: DynamoDBClient, lease: Lease) -> bool:
        item: Any = {
            **_key(lease.id),
            "version": {"N": str(lease.version)},
            "holder": {"S": lease.holder},
            "until": {"S": lease.until.isoformat()},
        }
        condition: Any = {"ConditionExpression": "attribute_not_exists(pk)"}
        if lease.version > 1:
            condition = {
                "ConditionExpression": "#version = :before",
                "ExpressionAttributeNames": {"#version": "version"},
                "ExpressionAttributeValues": {":before": {"N": str(lease.version - 1)}},
            }
        try:
            await client.put_item(
                TableName=self._table,
                Item=item,
                **condition,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except client.exceptions.ConditionalCheckFailedException as error:
            answer: Any = error.response
            # An earlier try of ours, whose answer was lost, or what another node wrote.
            return bool(answer.get("Item") == item)
        return True


def _key(id: str) -> Any:
    return {"pk": {"S": f"lease#{id}"}, "sk": {"N": "0"}}
