"""Whoever runs the tests without an engine must not take the green line for the whole truth."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.processes import ROOT

SOME = ("tests/operation/test_request_units.py", "tests/dynamodb/test_looks.py")


def without(folder: Path, *programs: str) -> str:
    """A PATH on which these aren't."""
    for place in reversed(os.get_exec_path()):
        for found in Path(place).glob("*"):
            link = folder / found.name
            link.unlink(missing_ok=True)
            if found.name not in programs:
                link.symlink_to(found)
    return str(folder)


def test_a_missing_engine_is_told_once_in_a_whole_line_at_the_end(tmp_path: Path) -> None:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TEST_", "PYTEST_", "COV_"))
    }
    environment |= {"PATH": without(tmp_path, "java"), "COLUMNS": "80"}
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "1", "-p", "no:cacheprovider", *SOME],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    lines = told.stdout.splitlines()
    (line,) = [line for line in lines if "NOT TESTED" in line]
    assert lines.index(line) >= len(lines) - 2, told.stdout
    skipped = lines[-1].partition(" skipped")[0].rpartition(" ")[2]
    assert int(skipped) > 5
    assert line.startswith(
        f"NOT TESTED ({skipped} tests skipped): the store on DynamoDB (dynamodb). Java 17 or newer "
        "is missing: DynamoDB Local runs on it. Install it with one of: Debian, Ubuntu: apt-get "
        "install openjdk-17-jre-headless; "
    )
    assert line.endswith("others: https://adoptium.net")
