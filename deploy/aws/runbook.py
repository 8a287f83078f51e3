"""What to do when an alarm rings: a part of docs/aws.md, which alarms link to and the dashboard shows,
so that there is a link to open from a mail wherever the document itself is."""

from __future__ import annotations

import re
from pathlib import Path

from deploy.aws.settings import Environment

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "aws.md"
PART = "## When an alarm rings\n"
# As names stand in the document; before `=` it is a variable of make.
_NAME = re.compile(r"\bENV\b(?!=)")
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")


def link(given: Environment, name: str) -> str:
    """Where it stands for the alarm of this name."""
    if given.runbooks:
        return f"{given.runbooks}#{name}"
    region = given.region
    console = f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}"
    return f"{name} at {console}#dashboards:name={dashboard_name(given)}"


def dashboard_name(given: Environment) -> str:
    return f"{given.prefix}shop"


def text(given: Environment) -> str:
    """All of it for this environment, in Markdown; without links, which lead nowhere there."""
    part = PART + DOCUMENT.read_text().partition(PART)[2].partition("\n## ")[0]
    return _NAME.sub(given.name, _LINK.sub(r"\1", part)).strip()
