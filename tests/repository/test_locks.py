"""What anyone may install from the lock files: exact, hashed, and free of where they were made."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

import pytest

import storekeeper

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = ROOT / "requirements.lock"
SINGLE = ROOT / "deploy/single/requirements.lock"
EVERYTHING = ROOT / "requirements-dev.lock"
PIN = re.compile(
    r"^([a-z0-9._-]+)==([^ \\]+)[^\n]*\\\n((?:    --hash=sha256:[0-9a-f]{64}[ \\]*\n)+)",
    re.MULTILINE,
)


def pins(lock: Path) -> dict[str, tuple[str, str]]:
    """Each package's version and hashes."""
    return {name: (version, hashes) for name, version, hashes in PIN.findall(lock.read_text())}


@pytest.mark.parametrize(
    "lock", [RUNTIME, SINGLE, EVERYTHING], ids=lambda lock: lock.parent.name + lock.name
)
def test_a_lock_names_no_host_and_no_machine(lock: Path) -> None:
    assert not re.findall(r"://|^-|^\s+#.* /", lock.read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    "lock", [RUNTIME, SINGLE, EVERYTHING], ids=lambda lock: lock.parent.name + lock.name
)
def test_every_package_of_a_lock_is_pinned_by_hash(lock: Path) -> None:
    packages = re.findall(r"^[a-z0-9][^\n]*", lock.read_text(), re.MULTILINE)
    assert len(packages) == len(pins(lock)) > 0


def test_what_developers_install_contains_what_users_install() -> None:
    assert pins(RUNTIME).items() <= pins(SINGLE).items() <= pins(EVERYTHING).items()


def test_the_installed_package_tells_its_version() -> None:
    assert importlib.metadata.version("storekeeper") == storekeeper.__version__
