"""`make deploy-plan` and `make deploy` stop before anything is made, in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import botocore.exceptions as failures
import pytest

from deploy.aws import __main__ as command
from tests.deploy.templates import ENVIRONMENTS
from tests.support.processes import ROOT


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.aws", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
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


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["plan"], "Missing parameter: name; see `python -m deploy.aws --help`\n"),
        (["plan", "staging", "--colour"], "No such option: --colour; see `python -m"),
        (["paint"], "No such command 'paint'"),
    ],
)
def test_a_slip_in_the_command_is_told_in_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert command.run(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith(told)
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "error",
    [
        failures.ClientError(
            {"Error": {"Code": "AccessDenied", "Message": "you may not"}}, "CreateChangeSet"
        ),
        failures.EndpointConnectionError(endpoint_url="https://example.com you may not"),
    ],
)
def test_what_aws_refuses_is_told_in_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*args: object) -> None:
        raise error

    monkeypatch.setattr(command, "load", fail)
    assert command.run(["plan", "staging"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("AWS: ")
    assert "you may not" in said
    assert said.endswith("It can be started again at any moment\n")
    assert said.count("\n") == 1


def test_a_shop_with_the_name_of_an_example_is_not_deployed() -> None:
    ended = run("deploy", "production")
    assert ended.returncode == 2
    assert "domain: shop.example.com is an example's; put the shop's own into the" in ended.stderr


@pytest.mark.parametrize(
    ("node", "told"),
    [
        (None, "There is no node here, which the CDK runs on. Install Node 24 or 22"),
        ("echo v18.20.4", "The node here is v18.20.4, too old for the CDK. Install Node 24 or 22"),
        ("exit 127", "The node here, which the CDK runs on, can't be run: "),
    ],
    ids=["none", "too old", "broken"],
)
def test_without_a_node_that_serves_the_plan_says_which_to_install(
    tmp_path: Path, node: str | None, told: str
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    if node is not None:
        (programs / "node").write_text(f"#!/bin/sh\n{node}\n")
        (programs / "node").chmod(0o755)
    ended = run("plan", "staging", "--output", str(tmp_path / "out"), PATH=str(programs))
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith(told)
    assert "nodejs.org" in ended.stderr
    assert ended.stderr.count("\n") == 1
