"""`reset-password`: lets somebody in again whom no mail can reach."""

from __future__ import annotations

from typing import Annotated

import typer

from storekeeper.cli.commands.keeping import require_shop
from storekeeper.cli.commands.setting_up import new_password, password_from_stdin
from storekeeper.cli.console import Console, run
from storekeeper.cli.options import Config, Database, Json, StoreKind, settings_of
from storekeeper.domain.accounts import Account


def reset_password(
    email: Annotated[
        str, typer.Argument(metavar="EMAIL", help="Who is locked out.", show_default=False)
    ],
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from the first line.")
    ] = False,
    database: Database = None,
    store: StoreKind = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Set a new password for an account and end all its sessions, when no mail can do it.

    The password is made and printed once, or read from stdin. It counts at once, in a server that
    runs as well; links for new passwords that were mailed before are no good any more.

    \b
    Examples:
      storekeeper reset-password ada@example.com
      storekeeper reset-password ada@example.com --json
      pass show shop | storekeeper reset-password ada@example.com --password-stdin
    """
    from storekeeper.app import open_shop
    from storekeeper.services.base import BY_SYSTEM

    console = Console(as_json)
    settings = settings_of(database, config, store)
    require_shop(settings)
    password = password_from_stdin() if password_stdin else new_password()

    async def work() -> Account:
        async with open_shop(settings) as shop:
            return await shop.credentials.set_password(BY_SYSTEM, email, password)

    account = run(work())
    console.say(f"{account.email} ({account.role}) has a new password; all sessions have ended")
    if not password_stdin:
        console.say(f"password, shown only now: {password}")
    console.result(
        {"id": account.id, "email": account.email, "role": account.role}
        | ({} if password_stdin else {"password": password})
    )
