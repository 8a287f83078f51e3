"""What every process of a shop must agree on: its signing key, and who its clients are."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from storekeeper.app import client_finder, rate_per_process, signing_secrets
from storekeeper.config import Settings, SettingsError


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
        database=str(tmp_path / "shop.db"), secret_key="new!" * 8, old_secret_keys=("old!" * 4,)
    )
    assert signing_secrets(settings) == (b"new!" * 8, b"old!" * 4)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "client"),
    [
        ((), "203.0.113.9", "198.51.100.1", "203.0.113.9"),
        (("10.0.0.0/8",), "203.0.113.9", "198.51.100.1", "203.0.113.9"),
        (("10.0.0.0/8",), "10.0.0.5", "198.51.100.1", "198.51.100.1"),
        (("10.0.0.0/8",), "10.0.0.5", "6.6.6.6, 198.51.100.1, 10.0.0.7", "198.51.100.1"),
        (("10.0.0.0/8",), "10.0.0.5", "rubbish", "rubbish"),
        (("10.0.0.0/8",), "10.0.0.5", "6.6.6.6, 198.51.100.1:4711, 10.0.0.7:80", "198.51.100.1"),
        (("10.0.0.0/8",), "10.0.0.5", "[2001:db8::1]:4711", "2001:db8::1"),
        (("10.0.0.0/8",), "10.0.0.5", '"[2001:db8::1]"', "2001:db8::1"),
        (("10.0.0.0/8",), "10.0.0.5", "2001:db8::1", "2001:db8::1"),
        (("10.0.0.0/8",), "10.0.0.5", "198.51.100.1, ", "198.51.100.1"),
        (("10.0.0.0/8",), "10.0.0.5", "", "10.0.0.5"),
    ],
)
def test_a_client_can_not_choose_its_own_address(
    trusted: tuple[str, ...], peer: str, forwarded: str, client: str
) -> None:
    scope = {"client": (peer, 1), "headers": [(b"x-forwarded-for", forwarded.encode())]}
    assert client_finder(trusted)(scope) == client


def test_a_proxy_that_adds_a_line_of_its_own_is_believed_over_the_clients() -> None:
    lines = (b"6.6.6.6", b"7.7.7.7, 198.51.100.1", b"10.0.0.7")
    scope = {
        "client": ("10.0.0.5", 1),
        "headers": [(b"host", b"shop"), *((b"x-forwarded-for", line) for line in lines)],
    }
    assert client_finder(("10.0.0.0/8",))(scope) == "198.51.100.1"


NAMED = (b"x-client-ip", b"198.51.100.1")


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        ("10.0.0.5", [NAMED], "198.51.100.1"),
        ("10.0.0.5", [NAMED, (b"x-forwarded-for", b"6.6.6.6")], "198.51.100.1"),
        ("10.0.0.5", [(b"x-client-ip", b"2001:0DB8:0::1")], "2001:db8::1"),
        ("10.0.0.5", [(b"x-client-ip", b"::ffff:198.51.100.1")], "198.51.100.1"),
        # Only our own proxies say who asks.
        ("203.0.113.9", [NAMED], "203.0.113.9"),
        # Health checks have no such header; what a client wrote elsewhere isn't taken instead.
        (
            "10.0.0.5",
            [(b"x-forwarded-for", b"6.6.6.6"), (b"forwarded", b"for=6.6.6.6")],
            "10.0.0.5",
        ),
        # One address and nothing else.
        ("10.0.0.5", [NAMED, (b"x-client-ip", b"6.6.6.6")], "10.0.0.5"),
        ("10.0.0.5", [(b"x-client-ip", b"6.6.6.6, 198.51.100.1")], "10.0.0.5"),
        ("10.0.0.5", [(b"x-client-ip", b"198.51.100.1:80")], "10.0.0.5"),
        ("10.0.0.5", [(b"x-client-ip", b"fe80::1%anything")], "10.0.0.5"),
        ("10.0.0.5", [(b"x-client-ip", b"")], "10.0.0.5"),
        ("10.0.0.5", [(b"x-client-ip", b"\xff")], "10.0.0.5"),
    ],
)
def test_a_gateway_that_names_its_client_is_believed_in_that_header_alone(
    peer: str, headers: list[tuple[bytes, bytes]], client: str
) -> None:
    finder = client_finder(("10.0.0.0/8",), "X-Client-IP")
    assert finder({"client": (peer, 1), "headers": headers}) == client


def test_a_header_that_names_nobody_is_told_once() -> None:
    finder = client_finder(("10.0.0.0/8",), "X-Client-IP")
    with capture_logs() as logs:
        for text in (b"198.51.100.1", b"nobody", b"no one"):
            finder({"client": ("10.0.0.5", 1), "headers": [(b"x-client-ip", text)]})
    assert [(one["log_level"], one["header"]) for one in logs] == [("warning", "X-Client-IP")]


def test_a_key_file_that_was_cut_short_signs_nothing(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_text("")
    with pytest.raises(SettingsError, match=r"secret\.key"):
        signing_secrets(Settings(database=str(tmp_path / "shop.db")))


@pytest.mark.parametrize(
    ("rate", "workers", "each"), [(1_200, 1, 1_200), (1_200, 5, 240), (3, 4, 1), (0, 4, 0)]
)
def test_workers_share_the_rate_that_is_set(rate: int, workers: int, each: int) -> None:
    assert rate_per_process(Settings(requests_per_minute=rate, workers=workers)) == each
