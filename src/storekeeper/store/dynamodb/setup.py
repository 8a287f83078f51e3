"""Making the tables where they don't exist, and refusing those that aren't ours."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import botocore.exceptions as failures

from storekeeper.domain.errors import StoreUnavailable
from storekeeper.store.bucket import code_of
from storekeeper.store.dynamodb.remote import Remote
from storekeeper.store.dynamodb.tables import COMMITS, TABLES, Table, creation, index_creation

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

# DynamoDB makes a table in some seconds.
READY_S = 120
LOOK_S = 0.5
_UNSUPPORTED = frozenset({"UnknownOperationException", "UnknownOperation", "NotImplemented"})


def create_tables(remote: Remote, prefix: str) -> list[str]:
    """Makes what is missing and answers what was done, a sentence each; blocks. Raises
    `StoreUnavailable` before anything is made or set where a table isn't ours."""
    return remote.call(lambda client: _create_all(client, prefix), patience_s=2 * READY_S)


def require_tables(remote: Remote, prefix: str) -> str:
    """The id of the log; raises `StoreUnavailable` where tables are missing or of another shape."""
    return remote.call(lambda client: _require_all(client, prefix))


async def _create_all(client: DynamoDBClient, prefix: str) -> list[str]:
    for table in TABLES:
        found = await _found(client, prefix + table.name)
        if found is not None:
            _require_keys(table, prefix, found)
            _require_index_keys(table, prefix + table.name, found)
    done: list[str] = []
    for table in TABLES:
        done.extend(await _create(client, table, prefix))
    return done


async def _create(client: DynamoDBClient, table: Table, prefix: str) -> list[str]:
    name = prefix + table.name
    done: list[str] = []
    try:
        await client.create_table(**creation(table, prefix))
        done.append(f"made the table {name}: {table.purpose}")
    except client.exceptions.ResourceInUseException:
        pass  # it was there, or another node is just making it
    await _wait_until_active(client, name)
    done.extend(await _add_indexes(client, table, name))
    if table.ttl is not None and await _set_expiry(client, name, table.ttl):
        done.append(
            f"time to live is on for {name}: an item with {table.ttl!r} goes at that second"
        )
    recovery = await _set_recovery(client, name)
    if recovery:
        done.append(recovery)
    return done


async def _add_indexes(client: DynamoDBClient, table: Table, name: str) -> list[str]:
    """Adds the indexes that a table of an earlier version lacks, one at a time, as DynamoDB
    wants it."""
    done: list[str] = []
    for index in table.indexes:
        if index.name in _indexes(await _described(client, name)):
            continue
        wanted: Any = {
            "AttributeDefinitions": creation(table, "")["AttributeDefinitions"],
            "GlobalSecondaryIndexUpdates": [{"Create": index_creation(index)}],
        }
        await client.update_table(TableName=name, **wanted)
        await _wait_until_active(client, name)
        done.append(f"added the index {index.name} to {name}")
    return done


async def _described(client: DynamoDBClient, name: str) -> Any:
    """The table as DynamoDB describes it; a portal's page, taken for an answer, has none."""
    found: Any = await client.describe_table(TableName=name)
    if "Table" not in found:
        raise StoreUnavailable(
            "what answers there isn't DynamoDB; check STOREKEEPER_AWS_ENDPOINT_URL"
        )
    return found["Table"]


async def _found(client: DynamoDBClient, name: str) -> Any:
    """As `_described`; None where there is no such table."""
    try:
        return await _described(client, name)
    except client.exceptions.ResourceNotFoundException:
        return None


def _indexes(found: Any) -> dict[str, dict[str, str]]:
    """The keys of a table's indexes, with their roles, by the index's name."""
    return {
        index["IndexName"]: {key["AttributeName"]: key["KeyType"] for key in index["KeySchema"]}
        for index in found.get("GlobalSecondaryIndexes", ())
    }


async def _wait_until_active(client: DynamoDBClient, name: str) -> None:
    try:
        async with asyncio.timeout(READY_S):
            while True:
                found = await _described(client, name)
                indexes = found.get("GlobalSecondaryIndexes", ())
                states = {one["IndexStatus"] for one in indexes} | {found["TableStatus"]}
                if states == {"ACTIVE"}:
                    return
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        raise StoreUnavailable(f"the table {name} isn't ready yet; try again") from None


async def _set_expiry(client: DynamoDBClient, name: str, attribute: str) -> bool:
    found = await client.describe_time_to_live(TableName=name)
    if found["TimeToLiveDescription"].get("TimeToLiveStatus") in ("ENABLED", "ENABLING"):
        return False
    try:
        await client.update_time_to_live(
            TableName=name,
            TimeToLiveSpecification={"Enabled": True, "AttributeName": attribute},
        )
    except failures.ClientError as error:
        if code_of(error) == "ValidationException" and "already enabled" in str(error):
            return False  # another node was faster
        raise
    return True


async def _set_recovery(client: DynamoDBClient, name: str) -> str:
    """Switches point-in-time recovery on; an engine without it says so."""
    try:
        found = await client.describe_continuous_backups(TableName=name)
        kept = found["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
        if kept.get("PointInTimeRecoveryStatus") == "ENABLED":
            return ""
        await client.update_continuous_backups(
            TableName=name,
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
        )
    except failures.ClientError as error:
        if code_of(error) in _UNSUPPORTED:
            return f"point-in-time recovery of {name} is not offered by this endpoint"
        raise
    return f"{name} can be restored to any second of the last 35 days"


async def _require_all(client: DynamoDBClient, prefix: str) -> str:
    found = [await _require(client, table, prefix) for table in TABLES]
    log = found[TABLES.index(COMMITS)]
    return str(log.get("TableId") or f"{log['TableArn']} of {log['CreationDateTime']}")


async def _require(client: DynamoDBClient, table: Table, prefix: str) -> Any:
    name = prefix + table.name
    found = await _found(client, name)
    if found is None:
        raise StoreUnavailable(
            f"there is no table {name} in this region; run `storekeeper init --store dynamodb`, "
            "or check STOREKEEPER_AWS_REGION and STOREKEEPER_DYNAMODB_PREFIX"
        )
    _require_keys(table, prefix, found)
    _require_index_keys(table, name, found)
    for index in table.indexes:
        if index.name not in _indexes(found):
            raise StoreUnavailable(
                f"the table {name} lacks the index {index.name}; run `storekeeper init --store "
                "dynamodb`, it adds what is missing"
            )
    return found


def _require_keys(table: Table, prefix: str, found: Any) -> None:
    wanted = creation(table, prefix)
    keys = {key["AttributeName"]: key["KeyType"] for key in found["KeySchema"]}
    types = {one["AttributeName"]: one["AttributeType"] for one in found["AttributeDefinitions"]}
    for key, kind in zip(wanted["KeySchema"], wanted["AttributeDefinitions"], strict=False):
        at = key["AttributeName"]
        if keys.get(at) != key["KeyType"] or types.get(at) != kind["AttributeType"]:
            raise StoreUnavailable(
                f"the table {prefix}{table.name} isn't one of Storekeeper's: its key should be "
                f"{at} ({key['KeyType']}, {kind['AttributeType']}) and is {keys}; choose another "
                "STOREKEEPER_DYNAMODB_PREFIX"
            )


def _require_index_keys(table: Table, name: str, found: Any) -> None:
    """Of the indexes that are there."""
    for index in table.indexes:
        wanted = {index.partition: "HASH", index.sort: "RANGE"}
        keys = _indexes(found).get(index.name, wanted)
        if keys != wanted:
            raise StoreUnavailable(
                f"the index {index.name} of {name} isn't one of Storekeeper's: its keys are {keys}; "
                "remove it and run `storekeeper init --store dynamodb`"
            )
