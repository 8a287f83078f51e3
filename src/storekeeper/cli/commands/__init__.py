"""The commands by what a shopkeeper wants: run the shop, move data, look after it."""

from __future__ import annotations

from typing import Annotated

import typer

from storekeeper import __version__
from storekeeper.cli.commands import (
    copying,
    data,
    keeping,
    probing,
    recovery,
    reporting,
    serving,
    setting_up,
    telling,
)
from storekeeper.cli.help import command, flowing

RUN = "Run the shop"
DATA = "Move data"
CARE = "Look after it"
TELL = "Ask"

EXIT_CODES = (
    "Exit codes: 0 done; 1 refused, or a check found differences or bad rows; 2 wrong usage or "
    "settings; 3 the store can't be used (locked, full, damaged); 130 stopped with Ctrl-C."
)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"storekeeper {__version__}")
        raise typer.Exit


def storekeeper(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Sell and keep stock: the whole shop in one program and one file.

    \b
    First steps:
      storekeeper serve --demo                  look around a demo shop
      storekeeper create-admin you@example.com  an admin of your own shop
      storekeeper import products goods.csv     your products
      storekeeper serve                         your shop

    Settings come from flags, STOREKEEPER_… variables, and a TOML file, in this order of
    precedence; `storekeeper config` shows them. Every command has its own --help with examples.
    """


app.callback(help=flowing(storekeeper.__doc__ or ""))(storekeeper)
command(app, "serve", rich_help_panel=RUN)(serving.serve)
command(app, "ready", rich_help_panel=RUN)(probing.ready)
command(app, "init", rich_help_panel=RUN)(setting_up.init)
command(app, "demo", rich_help_panel=RUN)(setting_up.demo)
command(app, "create-admin", rich_help_panel=RUN)(setting_up.create_admin)
app.add_typer(data.importing, name="import", rich_help_panel=DATA)
app.add_typer(data.exporting, name="export", rich_help_panel=DATA)
command(app, "replay", rich_help_panel=DATA)(data.replay)
command(app, "copy", rich_help_panel=DATA)(copying.copy)
command(app, "verify", rich_help_panel=CARE)(keeping.verify)
command(app, "backup", rich_help_panel=CARE)(keeping.backup)
command(app, "restore", rich_help_panel=CARE)(keeping.restore)
command(app, "migrate", rich_help_panel=CARE)(keeping.migrate)
command(app, "reset-password", rich_help_panel=CARE)(recovery.reset_password)
app.add_typer(reporting.reporting, name="report", rich_help_panel=TELL)
command(app, "config", rich_help_panel=TELL, epilog=telling.settings_help())(telling.config)
command(app, "openapi", rich_help_panel=TELL)(telling.openapi)
