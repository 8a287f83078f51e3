"""Buckets of an engine that speaks the protocol of S3, each of one test's own."""

from __future__ import annotations

import uuid
from pathlib import Path

from aiobotocore.session import AioSession

from storekeeper.config import Settings
from tests.support import local_engines

REGION = "eu-west-1"


def endpoint() -> str:
    return local_engines.url("moto")


async def new_bucket() -> str:
    name = f"backup-{uuid.uuid4().hex[:12]}"
    async with AioSession().create_client(
        "s3", region_name=REGION, endpoint_url=endpoint()
    ) as client:
        await client.create_bucket(
            Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
    return name


def settings_of(folder: Path) -> Settings:
    """Of a shop in that folder which knows the engine."""
    return Settings(
        database=str(folder / "shop.db"), aws_region=REGION, backup_endpoint_url=endpoint()
    )
