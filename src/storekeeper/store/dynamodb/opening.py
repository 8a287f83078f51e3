"""What the composition root needs of this engine: its tables made, a shop opened or copied there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from storekeeper.store.bucket import Place
from storekeeper.store.dynamodb.copying import Watch, copy_into, require_whole
from storekeeper.store.dynamodb.follower import OWN_TABLES
from storekeeper.store.dynamodb.log import Log
from storekeeper.store.dynamodb.remote import Remote
from storekeeper.store.dynamodb.rights import OF_LOG, OF_VIEWS, require_rights
from storekeeper.store.dynamodb.setup import create_tables, require_tables
from storekeeper.store.dynamodb.snapshots import fetch
from storekeeper.store.dynamodb.store import DynamoStore

# A snapshot of a very large shop takes a while to come.
FETCHING_S = 3_600.0


def open_store(
    replica: Path,
    *,
    region: str = "",
    endpoint: str = "",
    profile: str = "",
    prefix: str,
    clock: Callable[[], datetime],
    new_id: Callable[[], str],
    views: bool = False,
    snapshots: str = "",
    snapshots_endpoint: str = "",
    snapshots_every: int = 0,
    **limits: Any,
) -> DynamoStore:
    """The shop in the tables of `prefix`; blocks. `views`: whether this node may keep the tables for
    other programs. `snapshots`: a bucket for snapshots of the replica, one `snapshots_every` entries
    of the log. Raises `StoreUnavailable` that says what to
    change where the tables, the credentials or the network aren't as they must be, or a copy into
    the tables isn't finished."""
    remote = Remote(region=region, endpoint=endpoint, profile=profile)
    try:
        log_id = require_tables(remote, prefix)
        log = Log(remote, prefix)
        require_rights(remote, prefix, OF_LOG, *([OF_VIEWS] if views else ()))
        require_whole(log)
        place = Place(snapshots, region, snapshots_endpoint, profile)
        if snapshots:
            remote.call(
                lambda _: fetch(place, prefix, path=replica, log_id=log_id), patience_s=FETCHING_S
            )
    except BaseException:
        remote.close()
        raise
    store = DynamoStore(
        replica, remote=remote, prefix=prefix, log_id=log_id, clock=clock, new_id=new_id, **limits
    )
    store.keep_erased()
    if views:
        store.keep_views()
    if snapshots:
        store.keep_snapshots(place, every=snapshots_every)
    return store


def make_tables(
    *, region: str = "", endpoint: str = "", profile: str = "", prefix: str
) -> list[str]:
    """Makes the tables where they don't exist; a sentence for each thing that was done."""
    remote = Remote(region=region, endpoint=endpoint, profile=profile)
    try:
        return create_tables(remote, prefix)
    finally:
        remote.close()


def copy_shop(
    source: Path,
    snapshot: Path,
    *,
    region: str = "",
    endpoint: str = "",
    profile: str = "",
    prefix: str,
    views: bool,
    watch: Watch,
) -> bool:
    """Copies the shop in the file `source` into tables, made where they don't exist; see
    `store.dynamodb.copying`. `views`: whether the tables for other programs are to be kept there.
    Blocks."""
    remote = Remote(region=region, endpoint=endpoint, profile=profile)
    try:
        create_tables(remote, prefix)
        require_tables(remote, prefix)
        # Whoever opens the shop afterwards needs them: not to be told after hours of copying.
        require_rights(remote, prefix, OF_LOG, *([OF_VIEWS] if views else ()))
        return copy_into(Log(remote, prefix), source, snapshot, watch=watch)
    finally:
        remote.close()


__all__ = ["OWN_TABLES", "copy_shop", "make_tables", "open_store"]
