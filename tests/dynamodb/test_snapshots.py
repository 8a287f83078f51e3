"""A new node of a big shop begins with a snapshot; a bad one must never become its truth."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiobotocore.session import AioSession

from storekeeper.app import Shop, create_tables, open_shop
from storekeeper.config import Settings, SettingsError, load
from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.errors import StoreUnavailable
from storekeeper.domain.work import Setting
from storekeeper.store.bucket import Place, open_bucket
from storekeeper.store.dynamodb.setup import require_tables
from storekeeper.store.dynamodb.snapshots import Description, Snapshots, fetch, folder_of
from tests.dynamodb.looking import Looker
from tests.support import local_engines


@asynccontextmanager
async def storage(endpoint: str) -> AsyncIterator[Any]:
    async with AioSession().create_client(
        "s3", region_name="eu-west-1", endpoint_url=endpoint
    ) as client:
        yield client


@pytest.fixture
async def with_bucket(on_tables: Settings) -> Settings:
    """Of a node that finds a bucket, and no snapshot in it."""
    endpoint = local_engines.url("moto")
    name = f"shop-{uuid.uuid4().hex[:12]}"
    async with storage(endpoint) as client:
        await client.create_bucket(
            Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
    await asyncio.to_thread(create_tables, on_tables)
    return msgspec.structs.replace(
        on_tables, snapshot_bucket=name, snapshot_endpoint_url=endpoint, snapshot_entries=5
    )


def place_of(settings: Settings) -> Place:
    return Place(settings.snapshot_bucket, settings.aws_region, settings.snapshot_endpoint_url)


def elsewhere(settings: Settings, folder: Path) -> Settings:
    """Of a new node, which has no file yet."""
    folder.mkdir()
    return msgspec.structs.replace(settings, database=str(folder / "shop.db"))


def keeper(
    settings: Settings, shop: Shop, log_id: str, every: int = 1, erased: int = 0
) -> Snapshots:
    store: Any = shop.store

    async def erased_up_to() -> int:
        return erased

    return Snapshots(
        place_of(settings),
        settings.dynamodb_prefix,
        path=store.path,
        log_id=log_id,
        every=every,
        followed=lambda: store.followed,
        erased=erased_up_to,
    )


async def log_of(settings: Settings) -> str:
    looker = Looker(settings)
    try:
        return await asyncio.to_thread(require_tables, looker.remote, looker.prefix)
    finally:
        await asyncio.to_thread(looker.remote.close)


async def remember(shop: Shop, *names: str) -> None:
    for name in names:
        change = ChangeSet(puts=(Put(Setting(id=name, version=1, value=name)),))
        await shop.store.commit(change)


async def begun(settings: Settings, folder: Path, log_id: str) -> int:
    """The entry that a new node begins with."""
    folder.mkdir()
    path = folder / "replica.db"
    return await fetch(place_of(settings), settings.dynamodb_prefix, path=path, log_id=log_id)


async def test_a_new_node_begins_with_the_snapshot_and_follows_from_there(
    with_bucket, tmp_path
) -> None:
    log_id = await log_of(with_bucket)
    async with open_shop(with_bucket) as shop:
        await remember(shop, "a", "b", "c")
        assert await keeper(with_bucket, shop, log_id).take_if_due()
        await remember(shop, "d")
        assert await begun(with_bucket, tmp_path / "look", log_id) == 3
        async with open_shop(elsewhere(with_bucket, tmp_path / "new")) as node:
            kept: Any = node.store
            assert kept.followed == 3
            assert await node.store.get(Setting, "d") is not None
            assert await kept.digests() == await shop.store.digests()
            await remember(node, "e")
        assert await shop.store.get(Setting, "e") is not None
    left = {path.name for path in (tmp_path / "new").iterdir()}
    assert not any("part" in name or "snapshot" in name for name in left)


async def test_snapshots_are_made_in_time_and_old_ones_go(with_bucket) -> None:
    log_id = await log_of(with_bucket)
    async with open_shop(with_bucket) as shop:
        snapshots = keeper(with_bucket, shop, log_id, every=2)
        made = []
        for number in range(10):
            await remember(shop, f"n{number}")
            made.append(await snapshots.take_if_due())
        assert made == [False, True] * 5
    async with open_bucket(place_of(with_bucket)) as bucket:
        keys = await bucket.keys(folder_of(with_bucket.dynamodb_prefix))
    assert [key.rpartition("/")[2] for key in keys] == [
        f"{seq:012}{end}" for seq in (6, 8, 10) for end in (".db.gz", ".json")
    ]


async def test_what_was_erased_is_in_no_snapshot_any_more(with_bucket) -> None:
    """A bucket would tell of who left until the shop has sold another 50,000 times."""
    log_id = await log_of(with_bucket)
    folder = folder_of(with_bucket.dynamodb_prefix)

    async def keys() -> list[str]:
        async with open_bucket(place_of(with_bucket)) as bucket:
            return [key.removeprefix(folder) for key in await bucket.keys(folder)]

    async with open_shop(with_bucket) as shop:
        for number in range(4):
            await remember(shop, f"n{number}")
            if number < 2:
                assert await keeper(with_bucket, shop, log_id).take_if_due()
        async with open_bucket(place_of(with_bucket)) as bucket:
            await bucket.write(f"{folder}{3:012}.db.gz", b"nobody came to describe it")
        assert not await keeper(with_bucket, shop, log_id, every=50, erased=5).take_if_due()
        assert len(await keys()) == 5
        snapshots = keeper(with_bucket, shop, log_id, every=50, erased=4)
        assert await snapshots.take_if_due()
        assert await keys() == [f"{4:012}.db.gz", f"{4:012}.json"]
        assert not await snapshots.take_if_due()


async def test_a_damaged_snapshot_is_passed_over(with_bucket, tmp_path) -> None:
    log_id = await log_of(with_bucket)
    async with open_shop(with_bucket) as shop:
        snapshots = keeper(with_bucket, shop, log_id)
        await remember(shop, "a")
        await snapshots.take_if_due()
        await remember(shop, "b")
        await snapshots.take_if_due()
        folder = folder_of(with_bucket.dynamodb_prefix)
        async with open_bucket(place_of(with_bucket)) as bucket:
            await bucket.write(f"{folder}{2:012}.db.gz", b"rubbish")
            await bucket.write(f"{folder}{9:012}.json", b"rubbish")
        assert await begun(with_bucket, tmp_path / "older", log_id) == 1
        async with open_bucket(place_of(with_bucket)) as bucket:
            await bucket.remove(f"{folder}{1:012}.db.gz")
        assert await begun(with_bucket, tmp_path / "none", log_id) == 0
        async with open_shop(elsewhere(with_bucket, tmp_path / "new")) as node:
            assert await node.store.get(Setting, "b") is not None


async def test_a_snapshot_of_another_log_or_of_another_entry_is_never_taken(
    with_bucket, tmp_path
) -> None:
    log_id = await log_of(with_bucket)
    async with open_shop(with_bucket) as shop:
        await remember(shop, "a")
        await keeper(with_bucket, shop, log_id).take_if_due()
    assert await begun(with_bucket, tmp_path / "other", "another log") == 0
    key = f"{folder_of(with_bucket.dynamodb_prefix)}{1:012}.json"
    async with open_bucket(place_of(with_bucket)) as bucket:
        told = msgspec.json.decode(await bucket.read(key), type=Description)
        lying = msgspec.structs.replace(told, log="another log")
        await bucket.write(key, msgspec.json.encode(lying))
    assert await begun(with_bucket, tmp_path / "lying", "another log") == 0
    assert not (tmp_path / "lying/replica.db").exists()


async def test_what_a_lost_replica_left_behind_is_not_played_into_the_snapshot(
    with_bucket, tmp_path
) -> None:
    log_id = await log_of(with_bucket)
    async with open_shop(with_bucket) as shop:
        await remember(shop, "a")
        await keeper(with_bucket, shop, log_id).take_if_due()
        new = elsewhere(with_bucket, tmp_path / "new")
        name = f"{new.dynamodb_prefix}replica.db-wal"
        wal = next(path for path in tmp_path.glob("*-wal"))
        (tmp_path / "new" / name).write_bytes(wal.read_bytes())
        async with open_shop(new) as node:
            assert await node.store.get(Setting, "a") is not None
            kept: Any = node.store
            assert await kept.digests() == await shop.store.digests()


async def test_a_bucket_that_is_not_there_is_told_at_the_start(with_bucket, tmp_path) -> None:
    wrong = msgspec.structs.replace(with_bucket, snapshot_bucket="nobodys-bucket")
    with pytest.raises(StoreUnavailable, match="no bucket nobodys-bucket"):
        async with open_shop(elsewhere(wrong, tmp_path / "new")):
            pass
    async with open_shop(with_bucket):
        pass
    with pytest.raises(StoreUnavailable, match="no bucket nobodys-bucket"):
        async with open_shop(wrong):
            pass
    with pytest.raises(SettingsError, match="snapshot_bucket"):
        load({"snapshot_bucket": "No Bucket"}, environ={})


async def test_without_the_storage_a_node_follows_the_whole_log(with_bucket, tmp_path) -> None:
    async with open_shop(with_bucket) as shop:
        await remember(shop, "a")
    down = msgspec.structs.replace(with_bucket, snapshot_endpoint_url="http://127.0.0.1:9")
    async with open_shop(elsewhere(down, tmp_path / "new")) as node:
        assert await node.store.get(Setting, "a") is not None
        assert set(node.store.loops()) == {"views", "snapshots", "erasure"}


async def test_an_upload_that_breaks_off_leaves_nothing_to_pay_for(
    with_bucket: Settings, tmp_path: Path
) -> None:
    """Parts that nobody completes are charged for, and no list of objects shows them."""
    place = place_of(with_bucket)
    with pytest.raises(StoreUnavailable, match="Is a directory"):
        async with open_bucket(place) as bucket:
            await bucket.upload(f"{folder_of(with_bucket.dynamodb_prefix)}half", tmp_path)
    async with storage(place.endpoint) as client:
        begun = await client.list_multipart_uploads(Bucket=place.bucket)
    assert begun.get("Uploads", []) == []
