"""What every process of a shop must agree on: its signing key, and who its clients are."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from storekeeper.app import client_finder, signing_secrets
from storekeeper.config import Settings


def test_processes_that_start_together_sign_with_one_key(tmp_path: Path) -> None:
    settings = Settings(database=str(tmp_path / "shop.db"))
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: signing_secrets(settings), range(16)))
    assert len(keys) == 1
    assert len(next(iter(keys))[0]) >= 48


def test_only_the_owner_can_read_the_key(tmp_path: Path) -> None:
    signing_secrets(Settings(database=str(tmp_path / "shop.db")))
    mode = stat.S_IMODE((tmp_path / "secret.key").stat().st_mode)
    assert mode == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]


def test_a_configured_key_comes_first_and_old_ones_are_still_taken(tmp_path: Path) -> None:
    settings = Settings(
        database=str(tmp_path / "shop.db"), secret_key="new", old_secret_keys=("old",)
    )
    assert signing_secrets(settings) == (b"new", b"old")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "client"),
    [
        ((), "203.0.113.9", "198.51.100.1", "203.0.113.9"),
        (("10.0.0.0/8",), "203.0.113.9", "198.51.100.1", "203.0.113.9"),
        (("10.0.0.0/8",), "10.0.0.5", "198.51.100.1", "198.51.100.1"),
        (("10.0.0.0/8",), "10.0.0.5", "6.6.6.6, 198.51.100.1, 10.0.0.7", "198.51.100.1"),
        (("10.0.0.0/8",), "10.0.0.5", "rubbish", "rubbish"),
    ],
)
def test_a_client_can_not_choose_its_own_address(
    trusted: tuple[str, ...], peer: str, forwarded: str, client: str
) -> None:
    scope = {"client": (peer, 1), "headers": [(b"x-forwarded-for", forwarded.encode())]}
    assert client_finder(trusted)(scope) == client
