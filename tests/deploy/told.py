"""What a machine is told, read off its launch template as the engine that made it has it."""

from __future__ import annotations

import base64
import re
from typing import Any, NamedTuple

_QUOTED = re.compile(r'\\(["\\`$])')


class Told(NamedTuple):
    """`script`: what the machine runs first, with all of the stack's values filled in."""

    script: str

    def file(self, name: str) -> dict[str, str]:
        """What the script writes into an EnvironmentFile: that between NAME and NAME."""
        found = re.search(rf"<<'{name}'\n(.*?)\n{name}\n", self.script, re.DOTALL)
        assert found is not None, name
        return as_systemd_reads(found[1])


def told(ec2: Any, template: str) -> Told:
    """By the newest version of the launch template."""
    found = ec2.describe_launch_template_versions(LaunchTemplateName=template, Versions=["$Latest"])
    (version,) = found["LaunchTemplateVersions"]
    return Told(base64.b64decode(version["LaunchTemplateData"]["UserData"]).decode())


def as_systemd_reads(text: str) -> dict[str, str]:
    """An EnvironmentFile of NAME="VALUE", as systemd.exec(5) says it is read."""
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition("=")
        assert value[0] == value[-1] == '"', line
        found[name] = _QUOTED.sub(r"\1", value[1:-1])
    return found
