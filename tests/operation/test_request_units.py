"""The prices in the documents are right only if the sizes that they are reckoned from are."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from benchmarks.dynamodb_units import (
    Charge,
    Meter,
    charge,
    item_size,
    metered,
    read_units,
    write_units,
)
from storekeeper.store.dynamodb.setup import create_tables
from tests.support import local_engines
from tests.support.role import OwnRemote


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ({"S": "log"}, 3),
        ({"S": "Größe"}, 7),
        ({"B": b"\x00" * 10}, 10),
        ({"BOOL": True}, 1),
        ({"NULL": True}, 1),
        ({"N": "0"}, 1),
        ({"N": "7"}, 2),
        ({"N": "1234"}, 3),
        ({"N": "12345"}, 4),
        ({"N": "1200000"}, 2),
        ({"N": "-0.0012"}, 2),
        ({"N": "12E+20"}, 2),
        ({"L": []}, 3),
        ({"L": [{"S": "ab"}, {"N": "7"}]}, 3 + (1 + 2) + (1 + 2)),
        ({"M": {}}, 3),
        ({"M": {"name": {"S": "ab"}}}, 3 + 1 + 4 + 2),
        ({"M": {"a": {"L": [{"NULL": True}]}}}, 3 + 1 + 1 + (3 + 1 + 1)),
        ({"SS": ["ab", "c"]}, 3),
        ({"NS": ["7", "1234"]}, 5),
    ],
)
def test_a_value_is_as_large_as_amazon_says(value: dict[str, Any], size: int) -> None:
    assert item_size({"größe": value}) == len("größe".encode()) + size


def test_an_item_is_the_sum_of_its_names_and_values() -> None:
    assert item_size({"pk": {"S": "log"}, "sk": {"N": "17"}, "data": {"B": b"12345"}}) == (
        2 + 3 + 2 + 2 + 4 + 5
    )


@pytest.mark.parametrize(("size", "units"), [(0, 1), (1, 1), (1_024, 1), (1_025, 2), (10_240, 10)])
def test_writing_is_charged_by_the_kilobyte(size: int, units: int) -> None:
    assert write_units(size) == units


@pytest.mark.parametrize(("size", "units"), [(0, 1), (4_096, 1), (4_097, 2), (40_960, 10)])
def test_reading_is_charged_by_four_kilobytes_and_half_if_it_may_be_old(
    size: int, units: int
) -> None:
    assert read_units(size, consistent=True) == units
    assert read_units(size, consistent=False) == units / 2


def test_a_query_is_charged_for_all_that_it_reads_together() -> None:
    items = [{"pk": {"B": b"x" * 1_498}}] * 4
    made = charge("Query", {"ConsistentRead": True}, {"Items": items})
    assert made is not None
    assert (made.read, made.write) == (2, 0)


def test_a_transaction_is_charged_twice_for_every_item() -> None:
    puts = [{"Put": {"Item": {"pk": {"B": b"x" * size}}}} for size in (100, 1_500)]
    made = charge("TransactWriteItems", {"TransactItems": puts}, {})
    assert made is not None
    assert made.write == 2 * (1 + 2)


def test_a_delete_of_what_is_not_there_is_charged_as_the_smallest_write() -> None:
    """As every start tries its right to delete."""
    refused = {"Error": {"Code": "ConditionalCheckFailedException"}}
    made = charge("DeleteItem", {"Key": {"pk": {"S": "nothing"}}}, refused)
    assert made is not None
    assert (made.write, made.refused) == (1, True)
    with pytest.raises(ValueError, match="DeleteItem"):
        charge("DeleteItem", {"Key": {"pk": {"S": "something"}}}, {})


def test_an_operation_that_cannot_be_reckoned_is_not_taken_for_free() -> None:
    with pytest.raises(ValueError, match="UpdateItem"):
        charge("UpdateItem", {}, {})


async def test_requests_of_a_real_client_are_charged_and_refused_writes_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """A node that comes second pays for the larger of both items, its own or the one that stands."""
    local_engines.use_local_credentials(monkeypatch)
    prefix = f"units-{tmp_path.name}-"
    item = {"pk": {"S": "log"}, "sk": {"N": "1"}}
    large = item | {"data": {"B": b"x" * 2_000}}

    async def use(client: Any) -> None:
        table = f"{prefix}commits"
        await client.put_item(TableName=table, Item=large)
        with pytest.raises(client.exceptions.ConditionalCheckFailedException):
            await client.put_item(
                TableName=table,
                Item=item,
                ConditionExpression="attribute_not_exists(pk)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        await client.query(
            TableName=table,
            KeyConditionExpression="pk = :log",
            ExpressionAttributeValues={":log": {"S": "log"}},
            ConsistentRead=True,
        )

    def all_of_it() -> None:
        remote = OwnRemote(region="eu-west-1", endpoint=local_engines.url("dynamodb"))
        try:
            create_tables(remote, prefix)
            remote.call(use)
        finally:
            remote.close()

    with metered() as meter:
        await asyncio.to_thread(all_of_it)
        charges = meter.take()
    assert [(one.operation, one.write, one.read, one.refused) for one in charges] == [
        ("PutItem", 2, 0, False),
        ("PutItem", 2, 0, True),
        ("Query", 0, 1, False),
    ]


async def test_what_one_node_pays_is_told_from_what_others_pay_meanwhile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """A further node that was charged by subtraction was once said to write less than nothing."""
    local_engines.use_local_credentials(monkeypatch)
    prefix = f"units-{tmp_path.name}-"

    def all_of_it(meter: Meter) -> tuple[list[Charge], int]:
        with ExitStack() as open_remotes:

            def a_remote() -> OwnRemote:
                remote = OwnRemote(region="eu-west-1", endpoint=local_engines.url("dynamodb"))
                open_remotes.callback(remote.close)
                return remote

            first = a_remote()
            create_tables(first, prefix)
            before = meter.sessions
            second = a_remote()
            for remote, size in ((first, 5_000), (second, 10), (first, 5_000)):
                item = {"pk": {"S": "log"}, "sk": {"N": "1"}, "data": {"B": b"x" * size}}
                remote.call(partial(_put, table=f"{prefix}commits", item=item))
        return meter.take(), before

    with metered() as meter:
        charges, before = await asyncio.to_thread(all_of_it, meter)
    assert [one.write for one in charges if one.session >= before] == [1]
    assert len([one for one in charges if one.session < before]) == 2


async def _put(client: Any, *, table: str, item: Any) -> None:
    await client.put_item(TableName=table, Item=item)
