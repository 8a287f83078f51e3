"""A target holds what it was given, whole or not at all, and tells when it can't: each kind of them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiobotocore.session import AioSession

from storekeeper.app.streaming import open_target
from storekeeper.config import Settings
from storekeeper.domain.errors import StoreUnavailable
from storekeeper.store import bucket
from storekeeper.store.sqlite.streaming.target import Changed, Target, Unusable
from tests.streaming.buckets import endpoint, new_bucket, settings_of

KINDS = ("folder", "bucket")


@asynccontextmanager
async def a_target(kind: str, folder: Path) -> AsyncIterator[Target]:
    settings = settings_of(folder)
    place = f"s3://{await new_bucket()}/shops/one" if kind == "bucket" else str(folder / "target")
    (folder / "target").mkdir(exist_ok=True)
    async with open_target(settings, place) as target:
        yield target


async def keys(target: Target, prefix: str = "", after: str = "") -> list[str]:
    return [key async for key, _ in target.keys(prefix, after)]


@pytest.mark.parametrize("kind", KINDS)
async def test_objects_are_read_and_listed_as_they_were_written(kind: str, tmp_path: Path) -> None:
    async with a_target(kind, tmp_path) as target:
        assert await target.read("a/1") is None
        for key in ("a-b/1", "a/1", "a/10", "a/2", "b", "a/1-c/5"):
            await target.write(key, key.encode())
        assert await keys(target) == ["a-b/1", "a/1", "a/1-c/5", "a/10", "a/2", "b"]
        assert await keys(target, "a/") == ["a/1", "a/1-c/5", "a/10", "a/2"]
        assert await keys(target, "a/", "a/10") == ["a/2"]
        assert await keys(target, "a/1", "a/1-c/") == ["a/1-c/5", "a/10"]
        assert await target.read("a/1-c/5") == b"a/1-c/5"
        await target.write("b", b"again")
        assert await target.read("b") == b"again"
        await target.remove("a/1-c/5")
        await target.remove("a/1-c/5")
        assert await keys(target, "a/1") == ["a/1", "a/10"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_file_of_several_pieces_comes_back_byte_by_byte(
    kind: str, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(bucket, "PART_BYTES", 5 * 2**20)
    size = 5 * 2**20 + 1
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(os.urandom(size))
    async with a_target(kind, tmp_path) as target:
        await target.upload("snapshots/large", source)
        await target.download("snapshots/large", copy)
        assert copy.read_bytes() == source.read_bytes()
        assert [found async for _, found in target.keys("")] == [size]


@pytest.mark.parametrize("kind", KINDS)
async def test_of_two_who_write_what_they_found_one_hears_that_the_other_was_faster(
    kind: str, tmp_path: Path
) -> None:
    async with a_target(kind, tmp_path) as target:
        await target.replace("owner.json", b"one", None)
        with pytest.raises(Changed):
            await target.replace("owner.json", b"two", None)
        found = await target.find("owner.json")
        assert found is not None
        await target.replace("owner.json", b"three", found.tag)
        with pytest.raises(Changed):
            await target.replace("owner.json", b"four", found.tag)
        assert await target.read("owner.json") == b"three"
        assert await keys(target) == ["owner.json"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_file_that_ends_on_the_way_leaves_nothing(kind: str, tmp_path: Path) -> None:
    """Such as one on a disk that breaks; a half would be taken for a snapshot."""
    async with a_target(kind, tmp_path) as target:
        with pytest.raises((StoreUnavailable, OSError)):
            await target.upload("snapshots/half", tmp_path)
        assert await keys(target) == []
        if kind == "bucket":
            async with AioSession().create_client("s3", endpoint_url=endpoint()) as client:
                name = target.name.split("/")[2]
                begun = await client.list_multipart_uploads(Bucket=name)
            assert begun.get("Uploads", []) == []


async def test_a_disk_that_isnt_mounted_any_more_isnt_filled_below(tmp_path: Path) -> None:
    async with a_target("folder", tmp_path) as target:
        (tmp_path / "target").rmdir()
        for work in (
            target.write("logs/1", b""),
            target.upload("snapshots/1", Path(__file__)),
            target.replace("owner.json", b"", None),
        ):
            with pytest.raises(StoreUnavailable) as told:
                await work
            assert "is away" in told.value.detail
        assert not (tmp_path / "target").exists()


async def test_what_waiting_wont_mend_is_said_at_once(tmp_path: Path, monkeypatch) -> None:
    settings = settings_of(tmp_path)

    async def refused(place: str, told: str, settings: Settings = settings) -> None:
        with pytest.raises(Unusable, match=told):
            async with open_target(settings, place) as target:
                await target.write("logs/1", b"")

    await refused(str(tmp_path / "none"), "mkdir -p")
    await refused("s3://no-such-bucket-here/shop", "no bucket no-such-bucket-here")
    await refused("s3://Not A Bucket/shop", "Not A Bucket")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    await refused("s3://backups/shop", "credentials")


async def test_storage_that_doesnt_answer_is_worth_waiting_for(monkeypatch) -> None:
    monkeypatch.setattr(bucket, "ATTEMPTS", 1)
    nobody = Settings(aws_region="eu-west-1", backup_endpoint_url="http://127.0.0.1:9")
    with pytest.raises(StoreUnavailable) as told:
        async with open_target(nobody, "s3://backups/shop") as target:
            await target.write("logs/1", b"")
    assert not isinstance(told.value, Unusable)
