"""The service that streams the backup may do nothing but that, and stands at the right place."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from shutil import which

from tests.support.local_engines import not_tested
from tests.support.processes import ROOT

UNIT = ROOT / "deploy/single/storekeeper-backup.service"


def analyzed(*command: str) -> tuple[int, str]:
    if which("systemd-analyze") is None:
        not_tested("units of machines", "There is no systemd-analyze. Install systemd")
    ended = subprocess.run(
        ["systemd-analyze", "--no-pager", *command],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return ended.returncode, ended.stderr or ended.stdout


def test_the_unit_is_sound_and_little_exposed(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    # What it starts isn't installed here.
    text = re.sub(r"^ExecStart=.*", "ExecStart=/bin/true", UNIT.read_text(), flags=re.MULTILINE)
    copy.write_text(text)
    assert analyzed("verify", "--man=no", str(copy)) == (0, "")
    code, told = analyzed("security", "--offline=yes", "--threshold=20", str(copy))
    assert code == 0, told


def test_it_starts_before_the_shop_so_that_it_ends_after_it() -> None:
    lines = UNIT.read_text().splitlines()
    assert "Before=storekeeper.service" in lines
    # A restore ends it, and nobody starts it by hand.
    assert "Restart=always" in lines
