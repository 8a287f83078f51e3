"""The stacks of three environments, synthesized once a run of the tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.deploy.templates import Assembly, synthesized


@pytest.fixture(scope="session")
def assemblies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this run share, and no other run."""
    mine = tmp_path_factory.getbasetemp()
    shared = mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine
    return synthesized(shared / "stacks")


@pytest.fixture(scope="session")
def full(assemblies: Path) -> Assembly:
    """Everything on."""
    return Assembly(assemblies / "full")


@pytest.fixture(scope="session")
def least(assemblies: Path) -> Assembly:
    """Everything off that can be."""
    return Assembly(assemblies / "least")
