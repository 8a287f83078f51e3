"""Pictures in a bucket of S3, or of anything that speaks its protocol: shared by all nodes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import botocore.exceptions as failures
from aiobotocore.config import AioConfig

from storekeeper.aws import open_session
from storekeeper.domain.errors import StoreUnavailable

FOLDER = "images/"
CONNECT_S = 2.0
READ_S = 10.0
ATTEMPTS = 3


class Bucket:
    """`media.port.Pictures` under `images/`. The client is made with the first of them.

    Region, endpoint and profile are empty where AWS's own variables, files and roles say.
    """

    def __init__(self, name: str, *, region: str, endpoint: str, profile: str) -> None:
        self._name = name
        self._region = region
        self._endpoint = endpoint
        self._profile = profile
        self._open = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._client: Any = None

    async def keep(self, name: str, data: bytes) -> None:
        try:
            await self._ask("put_object", name, Body=data, ContentType="image/webp")
        except (failures.ClientError, failures.BotoCoreError, OSError) as error:
            raise self._unavailable(error) from error

    async def read(self, name: str) -> bytes | None:
        try:
            answer = await self._ask("get_object", name)
            async with answer["Body"] as body:
                return bytes(await body.read())
        except failures.ClientError as error:
            if error.response.get("Error", {}).get("Code") != "NoSuchKey":
                raise self._unavailable(error) from error
            return None
        except (failures.BotoCoreError, OSError) as error:
            raise self._unavailable(error) from error

    async def remove(self, name: str) -> None:
        try:
            await self._ask("delete_object", name)
        except (failures.ClientError, failures.BotoCoreError, OSError) as error:
            raise self._unavailable(error) from error

    async def close(self) -> None:
        await self._open.aclose()

    async def _ask(self, operation: str, name: str, **more: Any) -> Any:
        client = await self._connected()
        return await getattr(client, operation)(Bucket=self._name, Key=FOLDER + name, **more)

    async def _connected(self) -> Any:
        async with self._opening:
            if self._client is None:
                self._client = await self._open.enter_async_context(
                    open_session(self._profile).create_client(
                        "s3",
                        region_name=self._region or None,
                        endpoint_url=self._endpoint or None,
                        config=AioConfig(
                            connect_timeout=CONNECT_S,
                            read_timeout=READ_S,
                            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                            # Local engines know no hosts whose names begin with the bucket's.
                            s3={"addressing_style": "path"} if self._endpoint else None,
                        ),
                    )
                )
            return self._client

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        return StoreUnavailable(f"image_bucket: {self._name} can't be used: {error}")
