"""Continuous backup: the adapters of its target, and what a command does with them."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from storekeeper.app.clock import utc_now
from storekeeper.app.places import Place, _require_file, open_place
from storekeeper.config import Settings, SettingsError
from storekeeper.config.extras import more_packages
from storekeeper.domain.types import Struct
from storekeeper.store.port import Difference
from storekeeper.store.sqlite import backup
from storekeeper.store.sqlite.connect import require_folder
from storekeeper.store.sqlite.streaming import state
from storekeeper.store.sqlite.streaming.folder import open_folder
from storekeeper.store.sqlite.streaming.listing import Contents, contents_of
from storekeeper.store.sqlite.streaming.plan import Plan
from storekeeper.store.sqlite.streaming.rebuilding import Watch, damaged, rebuild
from storekeeper.store.sqlite.streaming.sender import Sender
from storekeeper.store.sqlite.streaming.target import Target
from storekeeper.store.sqlite.temporary import temporary

BUCKET = "s3://"


class RestoredFrom(Struct, frozen=True, kw_only=True):
    """The shop at `path` as it was at `until`: all that was acknowledged by then, nothing later than
    what was asked for. `kept` is what stood there before; `differences` is what `verify` found."""

    path: str
    source: str
    until: datetime
    snapshot: datetime
    segments: int
    bytes: int
    schema: int
    kept: str | None
    differences: list[Difference]


def is_target(text: str) -> bool:
    """Whether it names a continuous backup, and not a file."""
    return text.startswith(BUCKET) or Path(text).is_dir()


def plan_of(settings: Settings) -> Plan:
    return Plan(
        pace_s=settings.backup_seconds,
        snapshot_every=timedelta(hours=settings.backup_snapshot_hours),
        kept=timedelta(days=settings.backup_days),
        wal_bytes=settings.backup_wal_bytes,
    )


async def stream_backup(
    settings: Settings, where: str, stop: asyncio.Event, *, take_over: bool = False
) -> None:
    """Sends what is committed until `stop` is set; see `Sender`."""
    _require_file(settings, "backup")
    async with open_target(settings, where) as target:
        sender = Sender(
            Path(settings.database),
            target,
            clock=utc_now,
            plan=plan_of(settings),
            take_over=take_over,
        )
        await sender.run(stop)


async def backup_status(settings: Settings, where: str) -> Contents:
    """What is at the target."""
    async with open_target(settings, where) as target:
        return await contents_of(target, utc_now())


async def restore_from(
    settings: Settings, where: str, *, at: datetime | None, watch: Watch
) -> RestoredFrom:
    """Rebuilds the shop beside its place, proves it sound, puts it there, and recomputes its stock.

    Raises what `rebuild` and `backup.restore` raise; then what was there is as it was.
    """
    _require_file(settings, "restore")
    database = Path(settings.database)
    require_folder(database)
    with contextlib.ExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, state.ended(database))
        # Better told before all is fetched than after.
        with backup.locked(database, fcntl.LOCK_EX, backup.IN_USE):
            pass
        rebuilt = stack.enter_context(temporary(Path(f"{database}-rebuilt")))
        async with open_target(settings, where) as target:
            source = target.name
            made = await rebuild(target, rebuilt, at=at, watch=watch)
            try:
                done = await asyncio.to_thread(
                    backup.restore,
                    rebuilt,
                    database,
                    now=utc_now(),
                    called=f"the backup at {source}",
                )
            except backup.Damaged as error:
                raise await damaged(target, made.snapshot, error.why) from error
    store = await asyncio.to_thread(
        open_place, settings, Place(store="sqlite", name=settings.database)
    )
    try:
        differences = await store.verify()
    finally:
        await store.close()
    return RestoredFrom(
        path=done.path,
        source=source,
        until=made.until,
        snapshot=made.snapshot.at,
        segments=made.segments,
        bytes=done.bytes,
        schema=done.schema,
        kept=done.kept,
        differences=differences,
    )


def open_target(settings: Settings, where: str) -> AbstractAsyncContextManager[Target]:
    """`s3://bucket/prefix`, or a folder."""
    if not where.startswith(BUCKET):
        return open_folder(Path(where))
    bucket, _, prefix = where.removeprefix(BUCKET).partition("/")
    if not bucket:
        raise SettingsError(f"{where!r} names no bucket; say s3://BUCKET/PREFIX")
    opened: AbstractAsyncContextManager[Target] = _s3().open_prefix(
        bucket,
        prefix,
        region=settings.aws_region,
        endpoint=settings.backup_endpoint_url,
        profile=settings.aws_profile,
    )
    return opened


def _s3() -> Any:
    """The adapter, which needs packages that an embedded shop doesn't have."""
    try:
        from storekeeper.store.sqlite.streaming import s3
    except ModuleNotFoundError as error:
        raise more_packages(
            "a backup in a bucket, unlike one in a folder, needs", error, extra="aws"
        ) from error
    return s3
