"""Programs that are asked to do something here, and what is said when one of them can't."""

from __future__ import annotations

import os
import re
import subprocess

# By the engines that aws-cdk-lib names; newer ones may be unknown to it, and work.
OLDEST_NODE = 20
_GET_NODE = (
    "Install Node 24 or 22 (https://nodejs.org/en/download, or nvm install 24, or brew install "
    "node@24) and see that `node --version` says so"
)


class ProgramError(Exception):
    """Its message is one sentence that says what to do."""


def require_node() -> None:
    """Of the CDK, which starts it without a look."""
    node = os.environ.get("JSII_NODE", "node")
    try:
        told = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise ProgramError(f"There is no {node} here, which the CDK runs on. {_GET_NODE}") from None
    except (OSError, subprocess.CalledProcessError) as error:
        raise ProgramError(
            f"The {node} here, which the CDK runs on, can't be run: {error}. {_GET_NODE}"
        ) from None
    version = re.match(r"v(\d+)\.", told.stdout)
    if version is None or int(version[1]) < OLDEST_NODE:
        raise ProgramError(
            f"The {node} here is {told.stdout.strip() or 'of no version'}, too old for the CDK. "
            f"{_GET_NODE}"
        )
