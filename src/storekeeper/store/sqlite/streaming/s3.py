"""A bucket of S3, or of anything that speaks its protocol, as the target of a continuous backup."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from storekeeper.domain.errors import StoreUnavailable
from storekeeper.store.bucket import FAILURES, Bucket, Misnamed, Place, code_of, open_bucket, told
from storekeeper.store.sqlite.streaming.target import Target, Unusable

RIGHTS = "docs/backup.md"


class Prefix:
    """`target.Target` under a prefix of a bucket."""

    def __init__(self, bucket: Bucket, place: Place, prefix: str) -> None:
        self._bucket = bucket
        self._place = place
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    @property
    def name(self) -> str:
        return f"s3://{self._place.bucket}/{self._prefix}"

    async def keys(self, prefix: str, after: str = "") -> AsyncIterator[tuple[str, int]]:
        start = len(self._prefix)
        with self._told():
            async for key, size in self._bucket.found(
                self._prefix + prefix, self._prefix + after if after else ""
            ):
                yield key[start:], size

    async def read(self, key: str) -> bytes | None:
        try:
            return await self._bucket.read(self._prefix + key)
        except FAILURES as error:
            if code_of(error) == "NoSuchKey":
                return None
            raise _unavailable(told(error, self._place)) from error

    async def write(self, key: str, data: bytes) -> None:
        with self._told():
            await self._bucket.write(self._prefix + key, data)

    async def upload(self, key: str, path: Path) -> None:
        with self._told():
            await self._bucket.upload(self._prefix + key, path)

    async def download(self, key: str, path: Path) -> None:
        with self._told():
            await self._bucket.download(self._prefix + key, path, lambda piece: None)

    async def remove(self, key: str) -> None:
        with self._told():
            await self._bucket.remove(self._prefix + key)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except FAILURES as error:
            raise _unavailable(told(error, self._place)) from error


@asynccontextmanager
async def open_prefix(
    bucket: str, prefix: str, *, region: str, endpoint: str, profile: str
) -> AsyncIterator[Target]:
    place = Place(
        bucket, region, endpoint, profile, setting="the target of the backup", rights=RIGHTS
    )
    try:
        async with open_bucket(place) as opened:
            yield Prefix(opened, place, prefix)
    except Misnamed as error:
        raise _unavailable(error) from error


def _unavailable(error: StoreUnavailable) -> StoreUnavailable:
    return Unusable(error.detail) if isinstance(error, Misnamed) else error
