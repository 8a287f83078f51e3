"""The CDK runs on Node. Without it, it would end in a trace of its own insides."""

from __future__ import annotations

import os
import re
import subprocess

# Older ones aren't known to the locked CDK; `docs/aws.md` names those that are maintained.
OLDEST = 20
HOW = "install Node 24 or 22 (nodejs.org, or your distribution's package `nodejs`)"


class NodeError(Exception):
    """There is no Node that serves; the text says what to do."""


def require() -> None:
    """Raises `NodeError` where no Node, or one that is too old, is on the path.

    `JSII_NODE` names another program than `node`, as it does for the CDK.
    """
    program = os.environ.get("JSII_NODE", "node")
    try:
        told = subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=False, timeout=60
        ).stdout.strip()
    except OSError:
        raise NodeError(
            f"templates are made with Node, and there is no `{program}`: {HOW}"
        ) from None
    version = re.match(r"v(\d+)\.", told)
    if version is None or int(version[1]) < OLDEST:
        raise NodeError(
            f"templates are made with Node, and `{program}` is {told or 'none that runs'}: {HOW}"
        )
