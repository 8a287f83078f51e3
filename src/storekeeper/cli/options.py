"""Options that several commands share, and the settings that they make."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from storekeeper.config import Settings, load

PANEL = "Common options"

Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        "-d",
        metavar="FILE",
        help="The shop's file. Also STOREKEEPER_DATABASE; data/shop.db without either.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
StoreKind = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="KIND",
        help="sqlite (one file, the default) or dynamodb. Also STOREKEEPER_STORE.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="A TOML file with settings. Also STOREKEEPER_CONFIG.",
        exists=True,
        dir_okay=False,
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Result as JSON on stdout; everything for people on stderr.",
        rich_help_panel=PANEL,
    ),
]
InputFile = Annotated[
    Path,
    typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True, show_default=False),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Write here instead of stdout.", show_default=False
    ),
]


def settings_of(
    database: str | None, config: Path | None, store: str | None = None, **flags: Any
) -> Settings:
    """Settings by precedence: flags, environment, file, defaults; raises `SettingsError`.

    From here on this process logs as they say, to stderr: stdout is the command's result.
    """
    from storekeeper.telemetry.logging import configure

    settings = load({"database": database, "store": store, **flags}, file=config)
    configure(settings.log_level, settings.log_format)
    return settings
