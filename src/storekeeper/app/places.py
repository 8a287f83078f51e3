"""Where a shop is kept, and what is done to the place as a whole."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from storekeeper.app.clock import Clock, utc_now, uuid7_text
from storekeeper.config import TABLE_PREFIX, Settings, SettingsError
from storekeeper.config.extras import more_packages
from storekeeper.domain.types import Struct
from storekeeper.store.sqlite import backup, schema
from storekeeper.store.sqlite.backup import BackedUp, Progress, Restored
from storekeeper.store.sqlite.connect import BUSY_MS, require_folder, told_clearly
from storekeeper.store.sqlite.store import SqliteStore
from storekeeper.store.sqlite.streaming import state as streaming


class Place(Struct, frozen=True, kw_only=True):
    """Where a shop is: the file, or the tables whose names begin with `name`."""

    store: Literal["sqlite", "dynamodb"]
    name: str

    @classmethod
    def of(cls, text: str) -> Place:
        """Reads `sqlite:FILE` or `dynamodb:PREFIX`; raises `SettingsError`."""
        store, colon, name = text.partition(":")
        if store == "sqlite" and name:
            return cls(store="sqlite", name=name)
        if store == "dynamodb" and colon and TABLE_PREFIX.fullmatch(name):
            return cls(store="dynamodb", name=name)
        raise SettingsError(f"{text!r} is no place of a shop; say sqlite:FILE or dynamodb:PREFIX")

    def __str__(self) -> str:
        return f"{self.store}:{self.name}"


def open_store(settings: Settings, clock: Clock, new_id: Callable[[], str]) -> SqliteStore:
    """The store that the settings name; raises `StoreUnavailable` where it can't be had."""
    is_file = settings.store == "sqlite"
    name = settings.database if is_file else settings.dynamodb_prefix
    return open_place(settings, Place(store=settings.store, name=name), clock, new_id)


def open_place(
    settings: Settings, place: Place, clock: Clock = utc_now, new_id: Callable[[], str] = uuid7_text
) -> SqliteStore:
    """The store there, with what the settings say of AWS and of queues."""
    if place.store == "dynamodb":
        store: SqliteStore = _dynamodb().open_store(
            settings.data_dir / f"{place.name}replica.db",
            **_aws(settings),
            prefix=place.name,
            clock=clock,
            new_id=new_id,
            batch=settings.write_batch,
            capacity=settings.write_queue,
            views=settings.dynamodb_views,
            snapshots=settings.snapshot_bucket,
            snapshots_endpoint=settings.snapshot_endpoint_url,
            snapshots_every=settings.snapshot_entries,
        )
        return store
    return SqliteStore(
        Path(place.name),
        clock=clock,
        new_id=new_id,
        batch=settings.write_batch,
        capacity=settings.write_queue,
    )


def _aws(settings: Settings) -> dict[str, str]:
    return {
        "region": settings.aws_region,
        "endpoint": settings.aws_endpoint_url,
        "profile": settings.aws_profile,
    }


def create_tables(settings: Settings) -> list[str]:
    """Makes the tables that the settings name; a sentence for each thing that was done."""
    if settings.store != "dynamodb":
        return []
    done: list[str] = _dynamodb().make_tables(**_aws(settings), prefix=settings.dynamodb_prefix)
    return done


def _dynamodb() -> Any:
    """The adapter, which needs packages that an embedded shop doesn't have."""
    try:
        from storekeeper.store.dynamodb import opening
    except ModuleNotFoundError as error:
        raise more_packages("store = dynamodb needs", error, extra="aws") from error
    return opening


def back_up(settings: Settings, target: Path, *, force: bool, progress: Progress) -> BackedUp:
    """Copies the shop while it is in use; see `store.sqlite.backup`."""
    _require_file(settings, "backup")
    return backup.back_up(Path(settings.database), target, force=force, progress=progress)


def restore(settings: Settings, source: Path, *, now: datetime, progress: Progress) -> Restored:
    """Puts a copy in the shop's place; see `store.sqlite.backup`."""
    _require_file(settings, "restore")
    require_folder(Path(settings.database))
    database = Path(settings.database)
    with streaming.ended(database):
        return backup.restore(source, database, now=now, progress=progress)


def pending_migrations(settings: Settings) -> int:
    """How many migrations the shop's file lacks; changes nothing. Raises `StoreUnavailable` for a
    file that a newer version has migrated."""
    _require_file(settings, "migrate --check")
    database = Path(settings.database)
    with told_clearly(database):
        return schema.require_ours(database, BUSY_MS)


def _require_file(settings: Settings, command: str) -> None:
    if settings.store != "sqlite":
        raise SettingsError(
            f"`{command}` copies a file, and this shop is in {settings.place}; these are restored "
            "from their point-in-time recovery (docs/dynamodb.md)"
        )
