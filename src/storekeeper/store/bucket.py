"""A bucket of S3, or of anything that speaks its protocol: whole files up and down, piece by piece.

No file is ever in memory as a whole. Failures become `StoreUnavailable` in one sentence.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import botocore.exceptions as failures
from aiobotocore.config import AioConfig

from storekeeper.aws import open_session
from storekeeper.domain.errors import StoreUnavailable

# S3 takes 10,000 parts at most, so a file of 320 GB.
PART_BYTES = 32 * 2**20
READ_BYTES = 2**20
CONNECT_S = 2.0
READ_S = 30.0
ATTEMPTS = 4
FAILURES = (failures.ClientError, failures.BotoCoreError, OSError)


class Place(NamedTuple):
    """A bucket and the way to it; empty where AWS's own variables, files and roles say. `setting` names
    it to people, `rights` is where they read what its role needs."""

    bucket: str
    region: str = ""
    endpoint: str = ""
    profile: str = ""
    setting: str = "snapshot_bucket"
    rights: str = "docs/dynamodb.md"


class Misnamed(StoreUnavailable):
    """There is no such bucket, or it may not be used: waiting won't help."""


class Bucket:
    """An open bucket; made by `open_bucket`."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name

    async def keys(self, prefix: str) -> list[str]:
        """The first thousand keys that begin so, in order."""
        answer = await self._client.list_objects_v2(Bucket=self._name, Prefix=prefix)
        return [str(found["Key"]) for found in answer.get("Contents", ())]

    async def found(self, prefix: str, after: str = "") -> AsyncIterator[tuple[str, int]]:
        """All keys that begin so and come after another, in order, with their sizes; a thousand
        with each request."""
        where = {"Bucket": self._name, "Prefix": prefix, "StartAfter": after}
        pages = self._client.get_paginator("list_objects_v2").paginate(**where)
        async for page in pages:
            for found in page.get("Contents", ()):
                yield str(found["Key"]), int(found["Size"])

    async def read(self, key: str) -> bytes:
        return (await self.read_tagged(key))[0]

    async def read_tagged(self, key: str) -> tuple[bytes, str]:
        """The object and its ETag."""
        answer = await self._client.get_object(Bucket=self._name, Key=key)
        async with answer["Body"] as body:
            return bytes(await body.read()), str(answer["ETag"])

    async def write(self, key: str, data: bytes, **conditions: str) -> None:
        """`conditions`: `IfMatch` with an ETag, `IfNoneMatch` with `*`."""
        await self._client.put_object(Bucket=self._name, Key=key, Body=data, **conditions)

    async def remove(self, key: str) -> None:
        await self._client.delete_object(Bucket=self._name, Key=key)

    async def upload(self, key: str, path: Path) -> None:
        """The whole file under `key`, or nothing."""
        begun = await self._client.create_multipart_upload(Bucket=self._name, Key=key)
        where = {"Bucket": self._name, "Key": key, "UploadId": begun["UploadId"]}
        try:
            parts: list[dict[str, Any]] = []
            with path.open("rb") as file:
                while part := await asyncio.to_thread(file.read, PART_BYTES):
                    number = len(parts) + 1
                    sent = await self._client.upload_part(**where, PartNumber=number, Body=part)
                    parts.append({"PartNumber": number, "ETag": sent["ETag"]})
            await self._client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
        except BaseException:
            await asyncio.shield(self._client.abort_multipart_upload(**where))
            raise

    async def download(self, key: str, path: Path, observe: Callable[[bytes], None]) -> None:
        """The object into `path`; `observe` sees every piece."""
        answer = await self._client.get_object(Bucket=self._name, Key=key)
        async with answer["Body"] as body:
            with path.open("wb") as file:
                while piece := await body.read(READ_BYTES):
                    observe(piece)
                    await asyncio.to_thread(file.write, piece)


@asynccontextmanager
async def open_bucket(place: Place) -> AsyncIterator[Bucket]:
    """The bucket for the length of a block. Raises `Misnamed` where it can't be used as the settings
    are, `StoreUnavailable` where it can't be reached."""
    config = AioConfig(
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        # Local engines know no names of hosts that begin with the bucket's.
        s3={"addressing_style": "path"} if place.endpoint else None,
        # Nor do all others know the checksums that AWS has added; TLS and our own cover the way.
        request_checksum_calculation="when_required" if place.endpoint else None,
        response_checksum_validation="when_required" if place.endpoint else None,
    )
    try:
        async with open_session(place.profile).create_client(
            "s3",
            region_name=place.region or None,
            endpoint_url=place.endpoint or None,
            config=config,
        ) as client:
            yield Bucket(client, place.bucket)
    except FAILURES as error:
        raise told(error, place) from error


def told(error: Exception, place: Place) -> StoreUnavailable:
    """One of `FAILURES` in a sentence."""
    code = code_of(error)
    if code == "NoSuchBucket":
        return Misnamed(
            f"{place.setting}: there is no bucket {place.bucket}; make it, or take another"
        )
    if code in ("AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch"):
        return Misnamed(
            f"{place.setting}: {place.bucket} may not be used ({code}); give the role the "
            f"permissions that {place.rights} lists"
        )
    return StoreUnavailable(f"the bucket {place.bucket} can't be used: {error}")


def code_of(error: BaseException) -> str:
    """The code that AWS gave, or an empty text."""
    if isinstance(error, failures.ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return ""
