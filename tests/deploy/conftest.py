"""The stacks of three environments, synthesized once a run of the tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.deploy.engine import Aws
from tests.deploy.lived import Deployed, deployed
from tests.deploy.templates import LIVED_IN, Assembly, synthesized


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


@pytest.fixture(scope="session")
def at(assemblies: Path) -> Deployed:
    """The stacks of the environment in which the application is started, at this process's engine;
    the machines' release is none."""
    return deployed(Aws(), assemblies / LIVED_IN, upload=lambda bucket: "0" * 64)
