"""Shops on DynamoDB Local for the benchmarks: the engine, the tables, the settings."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import machine, shops
from benchmarks.report import Report
from storekeeper.app import create_tables, open_shop
from storekeeper.config import Settings
from storekeeper.services.base import BY_SYSTEM
from tools.engines.launch import CREDENTIALS, Missing, running

# The same on every node, as docs/dynamodb.md asks for.
SECRET = "a key for benchmarks only, the same on every node"
REGION = "eu-west-1"
ADMIN = "admin@example.com"


@contextmanager
def local_engine(report: Report) -> Iterator[str]:
    """Where DynamoDB Local is; an empty text, and the report says why, where it can't run."""
    before = {name: os.environ.get(name) for name in CREDENTIALS}
    os.environ.update(CREDENTIALS)
    on = os.sched_getaffinity(0)
    machine.stay_on(set(machine.cores()))
    try:
        with running("dynamodb") as engine:
            yield engine.url
    except Missing as missing:
        report.skipped = str(missing)
        yield ""
    finally:
        machine.stay_on(on)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def new_prefix() -> str:
    """What the names of a new shop's tables begin with."""
    return f"bench-{uuid.uuid4().hex[:8]}-"


def settings_at(folder: Path, url: str, prefix: str, **settings: Any) -> Settings:
    """A node whose replica is in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    return Settings(
        database=str(folder / "shop.db"),
        **{
            "store": "dynamodb",
            "aws_endpoint_url": url,
            "aws_region": REGION,
            "dynamodb_prefix": prefix,
            "secret_key": SECRET,
            "requests_per_minute": 0,
            "access_token_seconds": 86_400,
            "notify_console": False,
            "log_level": "warning",
            **settings,
        },
    )


def make_shop(settings: Settings, products: int, on_hand: int = shops.PLENTY) -> None:
    """Tables with so many products and some customers, and an admin."""
    create_tables(settings)

    async def fill() -> None:
        async with open_shop(settings) as shop:
            await shop.prepare()
            await shops.add_customers(shop)
            await shop.accounts.create(
                BY_SYSTEM, email=ADMIN, name="Admin", role="admin", password=shops.PASSWORD
            )
            for start in range(0, products, shops.CHUNK):
                numbers = range(start, min(products, start + shops.CHUNK))
                await shops.add_products(shop, numbers, on_hand=on_hand)

    asyncio.run(fill())


def environment_of(settings: Settings) -> dict[str, Any]:
    """The settings of a node as an operator gives them to a process."""
    names = ("store", "aws_endpoint_url", "aws_region", "dynamodb_prefix", "secret_key")
    return {name: str(getattr(settings, name)) for name in names}
