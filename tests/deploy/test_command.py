"""`make deploy-plan` and `make deploy` stop before anything is made, in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import botocore.exceptions as failures
import pytest

from deploy.aws import __main__ as command
from deploy.aws.release import build
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
    ("version", "told"),
    [
        (None, "templates are made with Node, and there is no `"),
        ("echo v18.20.4", "node` is v18.20.4: install Node 24 or 22"),
        ("exit 1", "node` is none that runs: install Node 24 or 22"),
    ],
    ids=["none", "too old", "broken"],
)
def test_who_has_no_node_is_told_which_to_install(
    tmp_path: Path, version: str | None, told: str
) -> None:
    """Whoever tries `make deploy-plan` first would see a page of the CDK's insides."""
    node = tmp_path / "node"
    if version is not None:
        node.write_text(f"#!/bin/sh\n{version}\n")
        node.chmod(0o755)
    ended = run(
        *("plan", "least", "--environments", str(ENVIRONMENTS), "--output", str(tmp_path / "out")),
        JSII_NODE=str(node),
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert told in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_packages_that_cannot_be_had_end_a_release_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"no-such-package==1.0 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")

    def load(*args: object) -> None:
        build(tmp_path / "out", lock=lock)

    monkeypatch.setattr(command, "load", load)
    assert command.run(["plan", "staging"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("the release can't be made: pip download says: No matching distribution")
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
