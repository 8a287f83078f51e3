"""Prometheus's own judgement of what is written for it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from shutil import which
from typing import Any

from tests.support.local_engines import not_tested
from tests.support.processes import ROOT

FOLDER = ROOT / "deploy" / "single" / "prometheus"
RULES = FOLDER / "alerts.yml"
TOLD = "alerts and dashboard of a shop without AWS (deploy/single)"
_PACKAGES = {"promtool": "prometheus", "amtool": "prometheus-alertmanager"}


def judged(*command: str) -> str:
    """What the tool says; fails with it where it isn't content."""
    if which(command[0]) is None:
        package = _PACKAGES[command[0]]
        not_tested(
            TOLD, f"There is no {command[0]}. Install Debian's {package}, without starting it"
        )
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said
    return said


def played(folder: Path, *, step: str, plays: list[dict[str, Any]]) -> None:
    """Plays series through the rules, which are evaluated every `step`; promtool's own form."""
    file = folder / "plays.json"
    file.write_text(
        json.dumps({"rule_files": [str(RULES)], "evaluation_interval": step, "tests": plays})
    )
    judged("promtool", "test", "rules", str(file))
