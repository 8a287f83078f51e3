"""A setting whose packages aren't there stops the start, with a command that brings them: Storekeeper
is at no package index, so nobody could ask one for its extras."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from storekeeper.config.extras import EXTRAS
from tests.support.processes import ROOT

_WITHOUT = """
import runpy, sys
for name in {names!r}:
    sys.modules[name] = None
sys.argv = ["storekeeper", *{arguments!r}]
runpy.run_module("storekeeper", run_name="__main__")
"""


@pytest.mark.parametrize(
    ("arguments", "settings", "extra"),
    [
        ("init", {"STORE": "dynamodb", "SECRET_KEY": "k" * 40}, "aws"),
        ("init", {"SNS_ORDERS_TOPIC": "orders"}, "aws"),
        ("serve", {"IMAGE_BUCKET": "pictures"}, "aws"),
        ("serve", {"CLOUDWATCH_NAMESPACE": "Shop"}, "aws"),
        ("serve", {"COGNITO_USER_POOL_ID": "eu-west-1_a", "COGNITO_CLIENT_IDS": "b"}, "aws"),
        ("backup --continuous s3://bucket/shop", {}, "aws"),
        ("serve", {"CACHE_URL": "valkey://127.0.0.1:1"}, "valkey"),
    ],
)
def test_packages_that_are_missing_are_named_with_a_command_that_brings_them(
    tmp_path: Path, arguments: str, settings: dict[str, str], extra: str
) -> None:
    missing = ("aiobotocore", "botocore", "cryptography", "valkey")
    bare = {name: text for name, text in os.environ.items() if not name.startswith("STOREKEEPER_")}
    given = {"DATABASE": str(tmp_path / "shop.db"), "AWS_REGION": "eu-west-1", **settings}
    ended = subprocess.run(
        [sys.executable, "-c", _WITHOUT.format(names=missing, arguments=arguments.split())],
        env=bare | {f"STOREKEEPER_{name}": value for name, value in given.items()},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    told = ended.stderr.splitlines()[-1]
    packages = shlex.join(EXTRAS[extra])
    assert ended.returncode == 2, ended.stderr
    assert told.endswith(f"; install them: {sys.executable} -m pip install {packages}")
    assert "more packages (" in told
    assert "Traceback" not in ended.stderr


def test_the_packages_are_those_of_the_extras() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra, packages in EXTRAS.items():
        assert list(packages) == declared["optional-dependencies"][extra]
