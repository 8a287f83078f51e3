"""Commands that look after a shop's file: check, copy, put back, bring up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from storekeeper.cli.console import Console, Failed, counted, run
from storekeeper.cli.options import Config, Database, InputFile, Json, StoreKind, settings_of
from storekeeper.cli.progress import Bars
from storekeeper.config import Settings
from storekeeper.domain.errors import NotFound

MOST_SHOWN = 50


def verify(
    database: Database = None, store: StoreKind = None, config: Config = None, as_json: Json = False
) -> None:
    """Recompute all stock from the ledger and the open orders, and report any difference.

    On DynamoDB it also brings the tables for other programs up to date and compares every item,
    and tells how many deleted accounts old entries of the log may still name.
    Exit code 1 when there is a difference. The shop may go on selling meanwhile.

    \b
    Examples:
      storekeeper verify
      storekeeper verify --database /srv/shop/shop.db --json
    """
    from storekeeper.app import open_shop
    from storekeeper.store.port import Difference, ViewDifference

    console = Console(as_json)
    settings = settings_of(database, config, store)
    require_shop(settings)

    async def work() -> tuple[list[Difference], list[ViewDifference], int]:
        async with open_shop(settings) as shop:
            # First, as it tells what right it lacks.
            shown = list(await shop.store.verify_views())
            found = list(await shop.store.verify())
            gauges = await shop.store.gauges()
            return found, shown, int(gauges.get("storekeeper_erasure_waiting_accounts", 0))

    found, shown, waiting = run(work())
    for one in found[:MOST_SHOWN]:
        place = f" at {one.location_id}" if one.location_id else ""
        console.say(
            f"product {one.product_id}{place}: {one.what} is {one.kept}, "
            f"recomputed {one.recomputed}"
        )
    for item in shown[:MOST_SHOWN]:
        console.say(f"table {item.table}: {item.item} is {item.what}")
    if waiting:
        console.say(
            f"the log may still tell of {counted(waiting, 'deleted account')}; the server erases "
            "them within a day or two"
        )
    console.result({"differences": found, "views": shown, "erasure_waiting": waiting})
    if found or shown:
        raise Failed(
            f"{counted(len(found), 'difference')} between stock, ledger and orders"
            + (f", {len(shown):,} in what other programs are shown" if shown else "")
        )
    console.say("no differences between stock, ledger and orders")


def backup(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where the copy goes.", show_default=False)
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    database: Database = None,
    store: StoreKind = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Copy the shop to a file while it is in use; the copy is checked before it gets its name.

    What was acknowledged before the start is in the copy. It holds customers' data: keep it safe,
    and keep secret.key (or your secret_key) with it, as tokens and guests' links need it.

    \b
    Examples:
      storekeeper backup shop-2026-01-31.db
      storekeeper backup --force /mnt/backups/shop.db
    """
    from storekeeper.app import back_up

    console = Console(as_json)
    settings = settings_of(database, config, store)
    with Bars() as bars:
        done = back_up(
            settings,
            file,
            force=force,
            progress=lambda pages, total: bars("Copying pages", pages, total),
        )
    console.say(f"backed up {settings.database} to {done.path}: {done.bytes:,} bytes, checked")
    console.result(done)


def restore(
    file: InputFile,
    database: Database = None,
    store: StoreKind = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Put a backup in the place of the shop's file; stop the server first.

    The backup is checked first. The file that is replaced stays beside it, as
    DATABASE.before-restore-TIME.

    \b
    Examples:
      storekeeper restore shop-2026-01-31.db
      storekeeper restore backup.db --database /srv/shop/shop.db
    """
    from storekeeper.app import restore as put_back
    from storekeeper.app import utc_now

    console = Console(as_json)
    settings = settings_of(database, config, store)
    with Bars() as bars:
        done = put_back(
            settings,
            file,
            now=utc_now(),
            progress=lambda pages, total: bars("Copying pages", pages, total),
        )
    console.say(f"restored {done.path} from {done.source}: {done.bytes:,} bytes, checked")
    if done.kept:
        console.say(f"what was there before is at {done.kept}")
    console.result(done)


def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Only say how many are pending; change nothing.")
    ] = False,
    database: Database = None,
    store: StoreKind = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Bring the shop's file to this version's schema. `serve` does it as well.

    All steps are done or none. Make a backup first; an older version can't open the file after.

    \b
    Examples:
      storekeeper backup before-update.db && storekeeper migrate
      storekeeper migrate --check --json
    """
    from storekeeper.app import open_shop, pending_migrations

    console = Console(as_json)
    settings = settings_of(database, config, store)
    require_shop(settings)
    if check:
        pending = pending_migrations(settings)
        console.say(f"{counted(pending, 'migration')} pending" if pending else "up to date")
        console.result({"database": settings.place, "pending": pending})
        return

    async def work() -> int:
        async with open_shop(settings) as shop:
            return int(shop.store.migrated)

    steps = run(work())
    console.say(f"{counted(steps, 'migration')} done" if steps else "up to date already")
    console.result({"database": settings.place, "migrations": steps})


def require_shop(settings: Settings) -> None:
    """Looking after a shop that isn't there would make an empty one; say so instead. Tables that
    aren't there are refused by whoever opens them."""
    if not settings.exists:
        raise NotFound(f"there is no shop at {settings.place}; make one with `storekeeper init`")
