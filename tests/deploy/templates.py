"""The templates, synthesized once for all tests and processes of a run, and looked at as JSON."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from shutil import which
from typing import Any

from tests.support.local_engines import not_tested
from tests.support.processes import ROOT

Template = Mapping[str, Any]
ENVIRONMENTS = Path(__file__).parent / "environments"
NAMES = ("full", "least")
# In which the application is started: with `full` the gateway takes tokens of the pool alone.
LIVED_IN = "beside"
TOLD = "the stacks on AWS (deploy/aws)"


class Assembly:
    """What was synthesized of one environment."""

    def __init__(self, folder: Path) -> None:
        self.templates: dict[str, Template] = {
            path.name.removesuffix(".template.json").lower(): json.loads(path.read_text())
            for path in sorted(folder.glob("*.template.json"))
        }

    def of_type(self, stack: str, kind: str) -> dict[str, dict[str, Any]]:
        """Properties of the stack's resources of a type (`DynamoDB::Table`), by logical id."""
        resources = self.templates[stack]["Resources"]
        return {
            name: one.get("Properties", {})
            for name, one in resources.items()
            if one["Type"] == f"AWS::{kind}"
        }

    def the(self, stack: str, kind: str) -> dict[str, Any]:
        """Properties of the only one."""
        (found,) = self.of_type(stack, kind).values()
        return found

    def all(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for stack, template in self.templates.items():
            for name, resource in template["Resources"].items():
                yield stack, name, resource


def synthesized(folder: Path) -> Path:
    """`folder`, with an assembly for each environment; of several processes the first makes them."""
    if which("node") is None:
        not_tested(
            TOLD,
            "Node is missing: the CDK runs on it. Install it with one of: Debian, Ubuntu: apt-get "
            "install nodejs; Fedora, RHEL: dnf install nodejs; macOS (Homebrew): brew install node",
        )
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            _synthesize(folder)
            (folder / "done").touch()
    return folder


def _synthesize(folder: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "tests.deploy.switches", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
