"""The same history through the API comes to the same figures, as an integration would get them."""

from __future__ import annotations

from pathlib import Path

import pytest

from storekeeper.domain.accounts import SCOPES
from tests.cli.terminal import Ended, Served, Terminal
from tests.replay.rows import HEADER
from tests.replay.test_replay import SMALL, figures

ADMIN = "admin@example.com"


@pytest.fixture
def terminal(tmp_path) -> Terminal:
    return Terminal(tmp_path)


def api_key(served: Served, password: str) -> str:
    login = served.post("/auth/login", json={"email": ADMIN, "password": password}).json()
    bearer = {"Authorization": f"Bearer {login['access_token']}"}
    body = {"name": "replay", "scopes": SCOPES}
    return str(served.post("/api-keys", json=body, headers=bearer).json()["key"])


def replay(terminal: Terminal, served: Served, path: Path, key: str) -> Ended:
    return terminal.run(
        "replay", path, "--via", "http", "--url", served.url, "--json", SHOP_API_KEY=key
    )


def test_a_history_played_through_the_api_twice_is_there_once_to_the_penny(terminal):
    path = terminal.folder / "lines.csv"
    path.write_text("\n".join((HEADER, *SMALL)) + "\n")
    password = terminal.ok("create-admin", ADMIN, "--json").json["password"]
    with terminal.serving() as served:
        key = api_key(served, password)
        first = replay(terminal, served, path, key)
        again = replay(terminal, served, path, key)
    assert (first.code, again.code) == (0, 0), first.err + again.err
    assert first.json["equal"]
    found = figures(first.json)
    # Ten at the start, all sold or damaged; nine came back and seven were found.
    assert (found["orders"], found["revenue"], found["units on hand"]) == (2, 4342, 9 + 7)
    assert figures(again.json) == found
    direct = terminal.ok("replay", path, "--database", "direct.db", "--json").json
    assert figures(direct) == found
    terminal.ok("verify")


def test_a_key_that_is_not_good_is_refused_in_one_sentence(terminal):
    path = terminal.folder / "lines.csv"
    path.write_text("\n".join((HEADER, *SMALL)) + "\n")
    with terminal.serving() as served:
        ended = replay(terminal, served, path, "sk_nonsense")
    assert ended.code == 1
    assert ended.json["error"]["code"] == "unauthenticated"
    assert len(ended.err.splitlines()) == 1


def test_a_shop_that_is_not_there_is_unavailable(terminal):
    path = terminal.folder / "lines.csv"
    path.write_text("\n".join((HEADER, *SMALL)) + "\n")
    ended = terminal.run(
        "replay", path, "--via", "http", "--url", "http://127.0.0.1:9", SHOP_API_KEY="sk_x"
    )
    assert ended.code == 3
    assert "no shop answers at http://127.0.0.1:9" in ended.err
