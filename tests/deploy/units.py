"""systemd's own judgement of units and of what they may do."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from shutil import which

from tests.support.local_engines import not_tested
from tests.support.processes import ROOT

HARDENING = ROOT / "deploy/hardening.conf"


def judge(folder: Path, units: Iterable[Path], *, exposure: int) -> None:
    """Fails where one isn't sound, or a service is more exposed, in tenths: 100 is one without any
    restriction. `folder` is for copies, each with the drop-in that it has on machines."""
    if which("systemd-analyze") is None:
        not_tested("units of machines", "There is no systemd-analyze. Install systemd")
    copies = [_copied(unit, folder) for unit in units]
    assert _analyzed("verify", "--man=no", *copies) == (0, "")
    for copy in copies:
        if copy.endswith(".service"):
            code, told = _analyzed("security", "--offline=yes", f"--threshold={exposure}", copy)
            assert code == 0, told


def _copied(unit: Path, folder: Path) -> str:
    # What it starts isn't installed here.
    text = re.sub(r"^(Exec\w+)=/.*", r"\1=/bin/true", unit.read_text(), flags=re.MULTILINE)
    (folder / unit.name).write_text(text)
    if unit.suffix == ".service":
        beside = folder / f"{unit.name}.d"
        beside.mkdir()
        shutil.copy(HARDENING, beside)
    return str(folder / unit.name)


def _analyzed(*command: str) -> tuple[int, str]:
    """Its exit code, and what it says: on stderr, or the last line of a table."""
    ended = subprocess.run(
        ["systemd-analyze", "--no-pager", *command],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return ended.returncode, ended.stderr or "".join(ended.stdout.splitlines()[-1:])
