"""`python -m deploy.aws`: what `make deploy-plan` and `make deploy` run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import botocore.exceptions as failures
import typer
from typer.exceptions import TyperException

from deploy.aws.assembly import Made, stacks
from deploy.aws.deploying import DeploymentError
from deploy.aws.programs import ProgramError, require_node
from deploy.aws.settings import FOLDER, Environment, load, of_an_example
from storekeeper.config import SettingsError

BUILD = Path(__file__).resolve().parents[2] / "build" / "deploy"
Name = Annotated[str, typer.Argument(help="The environment: deploy/aws/environments/NAME.toml.")]
Names = Annotated[list[str], typer.Argument(help="Environments.")]
Environments = Annotated[Path, typer.Option(help="The folder with their files, NAME.toml.")]
Folder = Annotated[Path, typer.Option(help="Where templates and releases are put.")]
Endpoint = Annotated[str, typer.Option(help="Another endpoint than AWS's own: a local engine.")]
Despite = Annotated[
    bool,
    typer.Option("--despite-alarms", help="No alarm takes it back: it mends what rings already."),
]
Hash = Annotated[str, typer.Option(help="Go (back) to the release of this hash.")]
app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.command()
def synth(names: Names, output: Folder = BUILD, environments: Environments = FOLDER) -> None:
    """Write the templates, checked, into a folder for each environment."""
    for given in [load(name, environments) for name in names]:
        _synthesized(given, output)
        print(f"the templates of {given.name} are in {output / given.name}")


@app.command()
def plan(name: Name, output: Folder = BUILD, environments: Environments = FOLDER) -> None:
    """Say what would be made and what it costs a month. Asks nobody at AWS."""
    from deploy.aws.plan import lines

    given = load(name, environments)
    for line in lines(given, _synthesized(given, output)):
        print(line)


@app.command()
def deploy(
    name: Name,
    output: Folder = BUILD,
    environments: Environments = FOLDER,
    endpoint: Endpoint = "",
    release: Hash = "",
    despite_alarms: Despite = False,
) -> None:
    """Make the environment, or update it."""
    from deploy.aws import deploying
    from deploy.aws.account import Account, prefix_list
    from deploy.aws.release import build

    given = load(name, environments)
    if (example := of_an_example(given)) and not endpoint:
        raise SettingsError(
            f"{example[0]}: {example[1]} is an example's; put the shop's own into the file"
        )
    account = Account(given.region, endpoint)
    print(f"{given.name} goes to the account {account.require()}")
    formation = deploying.Formation(
        account.client("cloudformation"), print, despite_alarms=despite_alarms
    )
    if release:
        bucket = formation.outputs(f"{given.prefix}releases").get("BucketName", "")
        account.require_release(release, bucket)
    found = _synthesized(given, output)
    built = None if release else build(output / "releases")

    def upload(bucket: str) -> str:
        return account.upload(built, bucket) if built else release

    outputs = deploying.deploy(
        formation, found, upload=upload, prefix_list=partial(prefix_list, account.client("ec2"))
    )
    print(f"done: {outputs['gateway']['Address']}")


@app.callback()
def main() -> None:
    """A shop on AWS."""


def _synthesized(given: Environment, output: Path) -> list[Made]:
    # The CDK starts Node when it is imported, and ends in a trace where there is none.
    require_node()
    from deploy.aws.app import synthesize
    from deploy.aws.routes import routes

    synthesize(given, routes(), output / given.name)
    return stacks(output / given.name)


def run(arguments: Sequence[str] | None = None) -> int:
    """The exit code; what went wrong is told in one sentence."""
    try:
        code = app(args=arguments, standalone_mode=False)
    except typer.Exit as ended:
        return ended.exit_code
    except typer.Abort:
        told = "broken off; it can be started again at any moment"
    except TyperException as error:
        told = f"{str(error).rstrip('.')}; see `python -m deploy.aws --help`" if str(error) else ""
    except (SettingsError, DeploymentError, ProgramError) as error:
        told = str(error)
    except (failures.ClientError, failures.BotoCoreError) as error:
        told = f"AWS: {error}. It can be started again at any moment"
    else:
        return int(code or 0)
    if told:
        print(told, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(run())
