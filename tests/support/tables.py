"""Shops in tables of their own on DynamoDB Local, for tests that settings and processes reach."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from storekeeper.store.dynamodb.tables import TABLES
from tests.contract.engines import prefix_of
from tests.support import local_engines, own_tables
from tools.engines.launch import CREDENTIALS

REGION = "eu-west-1"
SECRET = "the same key on every node of a test"


def settings_of(place: Path) -> dict[str, Any]:
    """The settings of a node of the shop at `place`; this process gets the credentials."""
    os.environ.update(CREDENTIALS)
    return {
        "store": "dynamodb",
        "aws_endpoint_url": local_engines.url("dynamodb"),
        "aws_region": REGION,
        "dynamodb_prefix": prefix_of(place),
        "secret_key": SECRET,
    }


def environment_of(place: Path) -> dict[str, str]:
    """The same for a process that is started."""
    settings = settings_of(place)
    return {f"STOREKEEPER_{name.upper()}": settings[name] for name in settings} | CREDENTIALS


def copy_shop(source: Path, target: Path) -> None:
    """A shop at `target` with all that was committed at `source`; one that is there stays."""
    endpoint = settings_of(target)["aws_endpoint_url"]
    if own_tables.make(endpoint, prefix_of(target)):
        own_tables.remote(endpoint).call(
            lambda client: _copy(client, prefix_of(source), prefix_of(target))
        )


async def _copy(client: Any, source: str, target: str) -> None:
    for table in TABLES:
        async for page in client.get_paginator("scan").paginate(TableName=source + table.name):
            for item in page["Items"]:
                await client.put_item(TableName=target + table.name, Item=item)
