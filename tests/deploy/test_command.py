"""`make deploy-plan` and `make deploy` stop before anything is made, in one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.templates import ENVIRONMENTS
from tests.support.processes import ROOT


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.aws", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"us-east-1"', '"moon-1"', "region = 'moon-1' can't be used: give a region of AWS"),
        ('"least.example.com"', '"least"', "domain = 'least' can't be used: give the name"),
        ('"small"', '"tiny"', "size = 'tiny' can't be used: give one of small, medium, large"),
    ],
)
def test_a_wrong_key_stops_the_plan(tmp_path: Path, old: str, new: str, told: str) -> None:
    text = (ENVIRONMENTS / "least.toml").read_text()
    (tmp_path / "wrong.toml").write_text(text.replace(old, new))
    ended = run("plan", "wrong", "--environments", str(tmp_path), "--output", str(tmp_path / "out"))
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith(told)
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_shop_with_the_name_of_an_example_is_not_deployed() -> None:
    ended = run("deploy", "production")
    assert ended.returncode == 2
    assert "is an example's; put the shop's own into the file" in ended.stderr
