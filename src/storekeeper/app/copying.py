"""A whole shop from one place to another, whatever keeps it at either end."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from storekeeper.app.places import Place, _aws, _dynamodb, open_place
from storekeeper.config import Settings, SettingsError
from storekeeper.domain.errors import AlreadyExists, NotFound
from storekeeper.domain.types import Struct
from storekeeper.services.copying import Compared, compare
from storekeeper.store.sqlite import backup
from storekeeper.store.sqlite.connect import require_folder


class ShopCopied(Struct, frozen=True, kw_only=True):
    """A shop in two places. `resumed`: the target had been begun, or was there already."""

    source: str
    target: str
    resumed: bool
    compared: Compared


async def copy_shop(settings: Settings, source: Place, target: Place, *, watch: Any) -> ShopCopied:
    """Copies a whole shop into an empty place and compares both; safe to break off and repeat.

    `watch` is told a stage, what is done and of how much. Raises `AlreadyExists` where another
    shop is, `NotFound` where none is, `StoreUnavailable`.
    """
    if source == target:
        raise SettingsError(f"{source} is the source and the target; name two places")
    if source.store == "sqlite" and not Path(source.name).is_file():
        raise NotFound(f"there is no shop at {source.name}")
    async with contextlib.AsyncExitStack() as stack:
        kept = await asyncio.to_thread(open_place, settings, source)
        stack.push_async_callback(kept.close)
        await kept.catch_up()
        resumed = await asyncio.to_thread(_copy, settings, source, kept.path, target, watch)
        copied = await asyncio.to_thread(open_place, settings, target)
        stack.push_async_callback(copied.close)
        await copied.catch_up()
        compared = await compare(kept, copied, await kept.digests(), await copied.digests())
    if resumed and target.store == "sqlite" and compared.differing:
        raise AlreadyExists(f"there is another shop at {target.name}; name a file that isn't there")
    return ShopCopied(source=str(source), target=str(target), resumed=resumed, compared=compared)


def _copy(settings: Settings, source: Place, file: Path, target: Place, watch: Any) -> bool:
    if target.store == "dynamodb":
        require_folder(Path(settings.database))
        resumed: bool = _dynamodb().copy_shop(
            file,
            settings.data_dir / f"{target.name}copying.db",
            **_aws(settings),
            prefix=target.name,
            views=settings.dynamodb_views,
            watch=watch,
        )
        return resumed
    if Path(target.name).exists():
        return True
    require_folder(Path(target.name))
    backup.back_up(
        file,
        Path(target.name),
        without=_dynamodb().OWN_TABLES if source.store == "dynamodb" else (),
        progress=lambda pages, total: watch("Copying pages", pages, total),
    )
    return False
