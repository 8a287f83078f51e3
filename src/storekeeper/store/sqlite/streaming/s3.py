"""A bucket of S3, or of anything that speaks its protocol, as the target of a continuous backup."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import botocore.exceptions as failures

from storekeeper.domain.errors import StoreUnavailable
from storekeeper.store.bucket import FAILURES, Bucket, Misnamed, Place, code_of, open_bucket, told
from storekeeper.store.sqlite.streaming.target import Changed, Found, Target, Unusable

RIGHTS = "docs/backup.md"
_CHANGED = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_NO_CONDITIONS = ("NotImplemented", "501")
# What waiting doesn't mend, beside what `told` knows.
_HOPELESS = (
    failures.NoCredentialsError,
    failures.PartialCredentialsError,
    failures.ParamValidationError,
)
_REFUSED = (
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "InvalidBucketName",
    "PermanentRedirect",
)


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
        found = await self.find(key)
        return None if found is None else found.data

    async def find(self, key: str) -> Found | None:
        try:
            data, tag = await self._bucket.read_tagged(self._prefix + key)
        except FAILURES as error:
            if code_of(error) == "NoSuchKey":
                return None
            raise self._unavailable(error) from error
        return Found(data=data, tag=tag)

    async def write(self, key: str, data: bytes) -> None:
        with self._told():
            await self._bucket.write(self._prefix + key, data)

    async def replace(self, key: str, data: bytes, tag: str | None) -> None:
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        try:
            await self._bucket.write(self._prefix + key, data, **condition)
        except FAILURES as error:
            if code_of(error) in _CHANGED:
                raise Changed(f"{self.name}{key} was written by another process") from error
            if code_of(error) not in _NO_CONDITIONS:
                raise self._unavailable(error) from error
            await self.write(key, data)

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
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        reason = told(error, self._place)
        hopeless = isinstance(error, _HOPELESS) or code_of(error) in _REFUSED
        return Unusable(reason.detail) if hopeless else _unavailable(reason)


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
