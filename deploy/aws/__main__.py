"""`python -m deploy.aws`: what `make deploy-plan` and `make deploy` run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from deploy.aws.settings import FOLDER, load
from storekeeper.config import SettingsError

BUILD = Path(__file__).resolve().parents[2] / "build" / "deploy"
Names = Annotated[list[str], typer.Argument(help="Environments.")]
Environments = Annotated[Path, typer.Option(help="The folder with their files, NAME.toml.")]
Folder = Annotated[Path | None, typer.Option(help="Where the templates are put.")]
app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.command()
def synth(names: Names, output: Folder = None, environments: Environments = FOLDER) -> None:
    """Write the templates of environments, checked, into folders of their own."""
    from deploy.aws.app import synthesize
    from deploy.aws.routes import routes

    found = [load(name, environments) for name in names]
    known = routes()
    for given in found:
        folder = (output or BUILD) / given.name
        synthesize(given, known, folder)
        print(f"the templates of {given.name} are in {folder}")


@app.callback()
def main() -> None:
    """A shop on AWS."""


if __name__ == "__main__":
    try:
        app(standalone_mode=False)
    except typer.Exit as ended:
        sys.exit(ended.exit_code)
    except SettingsError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
