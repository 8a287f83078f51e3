"""The command that moves a whole shop from one engine to another."""

from __future__ import annotations

from typing import Annotated

import typer

from storekeeper.cli.console import Console, Failed, counted, run
from storekeeper.cli.options import Config, Database, Json, settings_of
from storekeeper.cli.progress import Bars


def copy(
    source: Annotated[
        str,
        typer.Option(
            "--from", metavar="PLACE", help="sqlite:FILE or dynamodb:PREFIX.", show_default=False
        ),
    ],
    target: Annotated[
        str,
        typer.Option(
            "--to", metavar="PLACE", help="The same; a place without a shop.", show_default=False
        ),
    ],
    database: Database = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Copy a whole shop to another engine, then verify and compare both.

    Everything keeps its ids, numbers and versions, and nothing is announced twice. Stop the
    servers first: what changes after the start isn't in the copy, and exit code 1 says so. Broken
    off, the same command goes on where it was. A replica and a snapshot are kept beside the
    shop's file (--database).

    Take the secret key along (data/secret.key of a shop in a file): tokens and guests' links need
    it.

    \b
    Examples:
      storekeeper copy --from sqlite:data/shop.db --to dynamodb:storekeeper-
      storekeeper copy --from dynamodb:storekeeper- --to sqlite:copy.db --json
    """
    from storekeeper.app import Place, ShopCopied, copy_shop

    console = Console(as_json)
    settings = settings_of(database, config)
    one, other = Place.of(source), Place.of(target)

    async def work() -> ShopCopied:
        with Bars() as bars:
            return await copy_shop(settings, one, other, watch=bars)

    done = run(work())
    compared = done.compared
    console.result(done)
    if not compared.is_same:
        raise Failed(
            f"{done.target} isn't what {done.source} is now: "
            f"{', '.join(compared.differing) or 'no table'} differ; `verify` finds "
            f"{compared.source_differences} and {compared.target_differences} differences. Stop the "
            "source's servers and copy it to another empty place"
        )
    console.say(
        f"copied {counted(sum(compared.rows.values()), 'row')} from {done.source} to {done.target}; "
        "all tables are equal, no differences between stock, ledger and orders"
    )
