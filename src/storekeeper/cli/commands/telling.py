"""Commands that only tell: the settings in force and the API's document."""

from __future__ import annotations

from tempfile import TemporaryDirectory

import msgspec

from storekeeper.cli.console import Console
from storekeeper.cli.files import whole_file
from storekeeper.cli.options import Config, Database, Json, Output, StoreKind, settings_of
from storekeeper.config import SOURCES, Settings, shown


def settings_help() -> str:
    """Every setting with its default, for people who look for a name."""
    lines = ["\b", "Settings (in the file by name, in the environment as STOREKEEPER_NAME):"]
    lines.extend(
        f"  {field.name:<26} {_plain(field.default)}"
        for field in msgspec.structs.fields(Settings)
        if field.name != SOURCES
    )
    return "\n".join(lines)


def config(
    database: Database = None, store: StoreKind = None, config: Config = None, as_json: Json = False
) -> None:
    """Show the settings in force, secrets hidden.

    \b
    Examples:
      storekeeper config
      STOREKEEPER_PORT=9000 storekeeper config --json
      storekeeper config --config shop.toml
    """
    console = Console(as_json)
    found = shown(settings_of(database, config, store))
    for name, value in found.items() if not as_json else ():
        console.say(f"{name:<26} {_plain(value)}")
    console.result(found)


def openapi(output: Output = None, as_json: Json = False) -> None:
    """Print the API's OpenAPI 3.1 document; on stdout it is JSON with and without --json.

    \b
    Examples:
      storekeeper openapi > openapi.json
      storekeeper openapi --output docs/openapi.json --json
    """
    with TemporaryDirectory() as folder:
        text = msgspec.json.format(msgspec.json.encode(_document(folder)), indent=2).decode() + "\n"
    with whole_file(output) as write:
        write(text)
    if output is not None:
        console = Console(as_json)
        console.say(f"wrote the document to {output}")
        console.result({"file": str(output), "bytes": len(text.encode())})


def _document(folder: str) -> object:
    """The document is made by the application itself, over an empty shop that is thrown away."""
    from storekeeper.app import open_shop
    from storekeeper.app.serving import make_asgi
    from storekeeper.cli.console import run

    async def made() -> object:
        async with open_shop(Settings(database=f"{folder}/shop.db")) as shop:
            return make_asgi(shop).state.documentation.document

    return run(made())


def _plain(value: object) -> str:
    if isinstance(value, (tuple, list)):
        return ", ".join(map(str, value)) or "(none)"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if value != "" else "(none)"
