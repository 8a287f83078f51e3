"""Commands that look after a shop's file: check, copy, put back, bring up to date."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from storekeeper.cli.console import Console, Failed, counted, run
from storekeeper.cli.options import Config, Database, Json, StoreKind, settings_of
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

    with Bars() as bars, bars.waiting("Recomputing stock"):
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


Endpoint = Annotated[
    str | None,
    typer.Option(
        "--endpoint-url",
        metavar="URL",
        help="Of a bucket that isn't at AWS. Also STOREKEEPER_BACKUP_ENDPOINT_URL.",
        show_default=False,
    ),
]


def backup(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[TARGET]",
            help="A file; with --continuous or --status a folder or s3://BUCKET/PREFIX, which "
            "STOREKEEPER_BACKUP_TARGET says otherwise.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    continuous: Annotated[
        bool, typer.Option("--continuous", help="Go on sending what is committed, until stopped.")
    ] = False,
    status: Annotated[
        bool, typer.Option("--status", help="Tell what a continuous backup holds, and its lag.")
    ] = False,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over", help="With --continuous: use the target of another shop's file."
        ),
    ] = False,
    endpoint_url: Endpoint = None,
    database: Database = None,
    store: StoreKind = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Copy the shop to a file while it is in use; the copy is checked before it gets its name.

    What was acknowledged before the start is in the copy. It holds customers' data: keep it safe,
    and keep secret.key (or your secret_key) with it, as tokens and guests' links need it.

    With --continuous the command runs beside `serve`, on the same machine, and sends each commit to
    TARGET within about a second, so that `restore TARGET` brings back the shop as it was at any
    moment of the last days (docs/backup.md). It ends with SIGTERM or Ctrl-C.

    \b
    Examples:
      storekeeper backup shop-2026-01-31.db
      storekeeper backup --force /mnt/backups/shop.db
      storekeeper backup --continuous s3://my-backups/shop
      storekeeper backup --continuous /mnt/other-disk/shop
      storekeeper backup --status s3://my-backups/shop
    """
    console = Console(as_json)
    settings = settings_of(database, config, store, backup_endpoint_url=endpoint_url)
    if take_over and not continuous:
        raise typer.BadParameter("it goes with --continuous", param_hint="--take-over")
    if continuous and status:
        raise typer.BadParameter("say either --continuous or --status", param_hint="--status")
    if continuous or status:
        target = target or settings.backup_target
    if not target:
        raise typer.BadParameter("say where the copy goes", param_hint="TARGET")
    if status:
        _show_backup(console, settings, target)
    elif continuous:
        _stream(console, settings, target, take_over)
    else:
        _back_up_once(console, settings, target, force)


def _back_up_once(console: Console, settings: Settings, target: str, force: bool) -> None:
    from storekeeper.app import back_up

    if target.startswith("s3://"):
        raise typer.BadParameter(
            "a single copy goes to a file; say --continuous for a bucket", param_hint="TARGET"
        )
    with Bars() as bars:
        done = back_up(
            settings,
            Path(target),
            force=force,
            progress=lambda pages, total: bars("Copying pages", pages, total),
        )
    console.say(f"backed up {settings.database} to {done.path}: {done.bytes:,} bytes, checked")
    console.result(done)


def _stream(console: Console, settings: Settings, target: str, take_over: bool) -> None:
    from storekeeper.app import stream_backup

    async def work() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await stream_backup(settings, target, stop, take_over=take_over)

    console.say(f"sending what is committed to {settings.database} to {target}; Ctrl-C stops it")
    run(work())


def _show_backup(console: Console, settings: Settings, target: str) -> None:
    from storekeeper.app import backup_status

    found = run(backup_status(settings, target))
    if found.since is None or found.until is None:
        console.say(f"{found.target} holds no backup that could be restored yet")
    else:
        console.say(
            f"{found.target} holds the shop from {found.since:%Y-%m-%d %H:%M:%S} to "
            f"{found.until:%Y-%m-%d %H:%M:%S} UTC ({found.lag_s:,.0f} s ago)"
        )
    if found.seen is not None:
        console.say(f"kept by {found.host}, seen {found.seen:%Y-%m-%d %H:%M:%S} UTC")
    console.say(
        f"{counted(found.snapshots, 'snapshot')}, {counted(found.segments, 'part')} since, "
        f"{found.bytes:,} bytes"
    )
    console.result(found)


def restore(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A backup's file, or the target of a continuous one.",
            show_default=False,
        ),
    ],
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="TIME",
            help="From a continuous backup: the shop as it was then, such as "
            "2026-01-31T12:00:00Z; the newest without.",
            show_default=False,
        ),
    ] = None,
    endpoint_url: Endpoint = None,
    database: Database = None,
    store: StoreKind = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Put a backup in the place of the shop's file; stop the server first.

    The backup is checked first. The file that is replaced stays beside it, as
    DATABASE.before-restore-TIME. From a continuous backup the shop is put together beside its place
    and proven sound, and then `verify` is run over it.

    \b
    Examples:
      storekeeper restore shop-2026-01-31.db
      storekeeper restore backup.db --database /srv/shop/shop.db
      storekeeper restore s3://my-backups/shop --database drill/shop.db
      storekeeper restore s3://my-backups/shop --at 2026-01-31T12:00:00Z
    """
    from storekeeper.app import is_target

    console = Console(as_json)
    settings = settings_of(database, config, store, backup_endpoint_url=endpoint_url)
    if is_target(source):
        _restore_from(console, settings, source, _moment(at))
    elif at is not None:
        raise typer.BadParameter("a file holds one moment only", param_hint="--at")
    elif not Path(source).exists():
        raise typer.BadParameter(f"there is nothing at {source!r}", param_hint="SOURCE")
    else:
        _put_back(console, settings, Path(source))


def _put_back(console: Console, settings: Settings, file: Path) -> None:
    from storekeeper.app import restore as put_back
    from storekeeper.app import utc_now

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


def _restore_from(console: Console, settings: Settings, source: str, at: datetime | None) -> None:
    from storekeeper.app import restore_from

    with Bars() as bars:
        done = run(
            restore_from(
                settings, source, at=at, watch=lambda count: bars("Putting in parts", count, count)
            )
        )
    console.say(
        f"restored {done.path} from {done.source} as it was at {done.until:%Y-%m-%d %H:%M:%S.%f} "
        f"UTC: {done.bytes:,} bytes, {counted(done.segments, 'part')} over the snapshot of "
        f"{done.snapshot:%Y-%m-%d %H:%M:%S} UTC, checked"
    )
    if done.kept:
        console.say(f"what was there before is at {done.kept}")
    console.result(done)
    if done.differences:
        raise Failed(
            f"{counted(len(done.differences), 'difference')} between stock, ledger and orders; "
            "`storekeeper verify` names them"
        )


def _moment(text: str | None) -> datetime | None:
    """A moment in UTC unless it says otherwise."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time; say it as 2026-01-31T12:00:00Z", param_hint="--at"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


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

    with Bars() as bars, bars.waiting("Migrating"):
        steps = run(work())
    console.say(f"{counted(steps, 'migration')} done" if steps else "up to date already")
    console.result({"database": settings.place, "migrations": steps})


def require_shop(settings: Settings) -> None:
    """Looking after a shop that isn't there would make an empty one; say so instead. Tables that
    aren't there are refused by whoever opens them."""
    if not settings.exists:
        raise NotFound(f"there is no shop at {settings.place}; make one with `storekeeper init`")
