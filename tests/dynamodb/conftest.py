from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import msgspec
import pytest

from storekeeper.app import Place
from storekeeper.cli.console import run
from storekeeper.cli.shops import opened
from storekeeper.config import Settings
from storekeeper.demo.loader import load_demo
from tests.support import local_engines


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo shop's file, to be copied and never changed."""
    path: Path = tmp_path_factory.mktemp("demo") / "shop.db"
    settings = Settings(database=str(path))
    run(load_demo(lambda clock: opened(settings, clock)))
    return path


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a machine that holds no shop yet and can reach DynamoDB."""
    local_engines.use_local_credentials(monkeypatch)
    return Settings(
        database=str(tmp_path / "shop.db"),
        aws_region="eu-west-1",
        aws_endpoint_url=local_engines.url("dynamodb"),
    )


@pytest.fixture
def on_tables(settings: Settings, tables: Place) -> Settings:
    """Of a node whose shop is in those tables."""
    return msgspec.structs.replace(
        settings, store="dynamodb", dynamodb_prefix=tables.name, secret_key="k" * 40
    )


@pytest.fixture
def source(demo: Path, tmp_path: Path) -> Place:
    """A demo shop of this test's own."""
    path = shutil.copy(demo, tmp_path / "source.db")
    return Place(store="sqlite", name=str(path))


@pytest.fixture
def tables() -> Place:
    """Tables that nobody has made yet."""
    return Place(store="dynamodb", name=f"t{uuid.uuid4().hex[:12]}-")
