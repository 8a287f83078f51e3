"""Two server processes on one shop and one cache, as an operator runs them, over real sockets."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import msgspec
import pytest

from storekeeper.config import Settings
from tests.api.shopfront import PASSWORD, Seed, settings_at
from tests.cache.server import url_of
from tests.support.processes import lines_of, process
from tools.engines.launch import Running

RATE = 40


@contextmanager
def a_process(settings: Settings) -> Iterator[httpx.Client]:
    with process("-m", "tests.api.serve", msgspec.json.encode(settings).decode()) as started:
        port = next(lines_of(started))
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client


@pytest.fixture
def clients(tmp_path: Path, seed: Seed, server: Running) -> Iterator[list[httpx.Client]]:
    shutil.copytree(seed.folder, tmp_path, dirs_exist_ok=True)
    settings = settings_at(tmp_path, cache_url=url_of(server), requests_per_minute=RATE)
    with ExitStack() as stack:
        yield [stack.enter_context(a_process(settings)) for _ in range(2)]


def bearer(client: httpx.Client, name: str) -> dict[str, str]:
    body = {"email": f"{name}@example.com", "password": PASSWORD}
    answer = client.post("/auth/login", json=body)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def test_what_one_process_does_the_other_knows_at_once(
    clients: list[httpx.Client], seed: Seed
) -> None:
    first, second = clients
    root, ada = bearer(first, "root"), bearer(first, "ada")
    mug = f"/products/{seed.products['MUG']}"
    for client in clients:
        assert client.get("/readyz").json()["cache"] == "ok"
    for price in (999, 1_500, 20, 999):
        first.patch(mug, json={"price": {"amount": price}}, headers=root).raise_for_status()
        for client in (second, first):
            assert client.get(mug).json()["price"]["amount"] == price
        order = second.post("/orders", json={"lines": [{"sku": "MUG", "quantity": 1}]}, headers=ada)
        assert order.json()["total"]["amount"] == price
    assert second.get("/users/me", headers=ada).status_code == 200
    first.post("/auth/logout", headers=ada).raise_for_status()
    assert [client.get("/users/me", headers=ada).status_code for client in clients] == [401, 401]


def test_one_client_has_one_budget(clients: list[httpx.Client]) -> None:
    began = time.monotonic()
    answers = [client.get("/categories").status_code for client in clients * 40]
    refilled = (time.monotonic() - began) * RATE / 60
    assert RATE <= answers.count(200) <= RATE + refilled + 1
