"""Commands that make a shop: its file, the demo's contents, its first admin."""

from __future__ import annotations

import secrets
import string
import sys
from typing import Annotated

import typer

from storekeeper.cli.console import Console, counted, run
from storekeeper.cli.options import Config, Database, Json, StoreKind, settings_of
from storekeeper.cli.progress import Bars

PASSWORD_CHARACTERS = string.ascii_letters + string.digits


def init(
    database: Database = None, store: StoreKind = None, config: Config = None, as_json: Json = False
) -> None:
    """Make the shop's file or tables, empty; does nothing to a shop that is there.

    Topics of Amazon SNS that settings name are made where they are missing.

    \b
    Examples:
      storekeeper init
      storekeeper init --database /srv/shop/shop.db
      storekeeper init --store dynamodb
    """
    from storekeeper.app import create_tables, create_topics, open_shop

    console = Console(as_json)
    settings = settings_of(database, config, store)
    made = [*create_tables(settings), *create_topics(settings)]
    for sentence in made:
        console.say(sentence)

    async def work() -> bool:
        async with open_shop(settings) as shop:
            return await shop.prepare()

    is_new = run(work())
    console.say(
        f"made an empty shop at {settings.place}; next: `storekeeper create-admin EMAIL`"
        if is_new
        else f"there is a shop at {settings.place} already; nothing {'else ' if made else ''}changed"
    )
    console.result({"database": settings.place, "created": is_new, "done": made})


def demo(
    database: Database = None, store: StoreKind = None, config: Config = None, as_json: Json = False
) -> None:
    """Load the demo shop: some 300 products and nine months of real orders.

    Into an empty shop only: one with products or orders of its own is refused, and a second time
    changes nothing. `serve --demo` does it as well. The data
    is a part of the Online Retail dataset (D. Chen, 2015, UCI Machine Learning Repository, CC BY
    4.0).

    \b
    Examples:
      storekeeper demo --database demo.db
    """
    from storekeeper.cli.shops import opened
    from storekeeper.demo.loader import Loaded, load_demo

    console = Console(as_json)
    settings = settings_of(database, config, store)

    async def work() -> Loaded:
        with Bars() as bars:
            return await load_demo(lambda clock: opened(settings, clock), watch=bars)

    loaded = run(work())
    console.say(
        f"loaded {counted(loaded.products, 'product')} and {counted(loaded.orders, 'order')} "
        f"into {settings.place}"
        if loaded.is_new
        else f"the demo was loaded into {settings.place} before; nothing was loaded or changed now"
    )
    console.result(loaded)


def create_admin(
    email: Annotated[
        str, typer.Argument(metavar="EMAIL", help="Who logs in with it.", show_default=False)
    ],
    name: Annotated[str, typer.Option("--name", help="What the shop calls them.")] = "Admin",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from the first line.")
    ] = False,
    generate: Annotated[
        bool, typer.Option("--generate", help="Make a random password and print it once.")
    ] = False,
    database: Database = None,
    store: StoreKind = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make an account that may do everything.

    The password is asked for; where nobody can be asked, it is made and printed once.

    \b
    Examples:
      storekeeper create-admin ada@example.com
      storekeeper create-admin ada@example.com --generate --json
      pass show shop | storekeeper create-admin ada@example.com --password-stdin
    """
    from storekeeper.cli.shops import opened
    from storekeeper.services.base import BY_SYSTEM

    console = Console(as_json)
    settings = settings_of(database, config, store)
    password = _given_password(password_stdin, generate)
    chosen = password or new_password()

    async def work() -> str:
        async with opened(settings) as shop:
            account = await shop.accounts.create(
                BY_SYSTEM, email=email, name=name, role="admin", password=chosen
            )
            return str(account.id)

    account_id = run(work())
    console.say(f"{email} is an admin of {settings.place}")
    if password is None:
        console.say(f"password, shown only now: {chosen}")
    console.result(
        {"id": account_id, "email": email, "role": "admin"}
        | ({"password": chosen} if password is None else {})
    )


def new_password() -> str:
    """Past guessing, and whole after a double click: 20 letters and digits, 119 bits."""
    return "".join(secrets.choice(PASSWORD_CHARACTERS) for _ in range(20))


def password_from_stdin() -> str:
    """The first line; raises `typer.BadParameter` where there is none."""
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise typer.BadParameter("no password on stdin", param_hint="--password-stdin")
    return password


def _given_password(from_stdin: bool, generate: bool) -> str | None:
    """What somebody chose; None where it is to be made."""
    if from_stdin and generate:
        raise typer.BadParameter("choose one of --password-stdin and --generate")
    if from_stdin:
        return password_from_stdin()
    if generate or not sys.stdin.isatty():
        return None
    answer: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return answer
