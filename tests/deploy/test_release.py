"""A machine gets exactly what was locked."""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
import time
from io import BytesIO
from pathlib import Path

import pytest

from deploy.aws.programs import ProgramError
from deploy.aws.release import LOCK, build, packed, requirements
from tests.support.processes import ROOT

PIN = re.compile(
    r"^([a-z0-9._-]+)==([^ \\]+)[^\n]*\\\n(?:    --hash=sha256:[0-9a-f]{64}[ \\]*\n)+", re.MULTILINE
)


def pins(path: Path) -> dict[str, str]:
    return dict(PIN.findall(path.read_text()))


def test_machines_get_the_versions_that_are_tested() -> None:
    tested = pins(ROOT / "requirements-dev.lock")
    for name, version in pins(LOCK).items():
        assert tested[name] == version
    assert {"aiobotocore", "valkey", "litestar"} <= pins(LOCK).keys()


def test_the_lock_of_machines_names_no_host_and_every_hash() -> None:
    text = LOCK.read_text()
    assert not re.findall(r"://|^-|^\s+#.* /", text, re.MULTILINE)
    assert len(re.findall(r"^[a-z0-9]", text, re.MULTILINE)) == len(pins(LOCK)) > 40


def test_the_shops_own_wheel_is_taken_by_its_hash(tmp_path: Path) -> None:
    wheel = tmp_path / "storekeeper-1.2.3-py3-none-any.whl"
    wheel.write_bytes(b"a wheel")
    last = requirements(wheel).splitlines()[-2:]
    assert last[0].startswith("storekeeper==1.2.3 ")
    assert last[1].endswith(hashlib.sha256(b"a wheel").hexdigest())


def test_the_same_files_make_the_same_release(tmp_path: Path) -> None:
    """Whoever made them, and when: a machine can't get another by accident."""
    made = []
    for turn in range(2):
        folder = tmp_path / str(turn)
        (folder / "wheels").mkdir(parents=True)
        for name in ("b", "a") if turn else ("a", "b"):
            (folder / "wheels" / name).write_text(name)
        os.utime(folder / "wheels" / "a", (time.time(), 1_000 * turn))
        made.append(packed(folder))
    assert made[0] == made[1]
    with tarfile.open(fileobj=BytesIO(made[0]), mode="r:gz") as archive:
        assert archive.getnames() == ["wheels/a", "wheels/b"]


NOWHERE = "http://127.0.0.1:1/simple"


@pytest.mark.parametrize(
    ("setting", "told"),
    [({"PIP_NO_INDEX": "1"}, ""), ({"PIP_INDEX_URL": NOWHERE, "PIP_RETRIES": "1"}, "refused")],
    ids=["no index", "an index that is away"],
)
def test_a_release_that_pip_cannot_make_is_told_with_pips_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: dict[str, str], told: str
) -> None:
    """Whoever deploys reads why in a line, and not the trace of a command that they never gave."""
    for name in [one for one in os.environ if one.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name, value in {"PIP_CONFIG_FILE": os.devnull, **setting}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ProgramError) as failed:
        build(tmp_path)
    said = str(failed.value)
    assert said.startswith("pip can't fetch what requirements.lock lists; is the package index")
    assert told in said
    assert "ERROR: No matching distribution found for " in said
    assert "\n" not in said
    assert not list(tmp_path.iterdir())
