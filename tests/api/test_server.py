"""The shop as a server process: what reaches the socket, what comes back, what the log keeps."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.api.shopfront import Seed, settings_at
from tests.support.processes import ROOT

SECRETS = {
    "address": "Zzyzx-Marker-Road",
    "email": "zzyzx-marker@example.com",
    "guest": "zzyzx-guest@example.com",
    "name": "Zzyzxmarker",
    "note": "zzyzx-note-marker",
    "password": "zzyzx horse battery",
    "phone": "+44 7700 900999",
    "search": "zzyzxsearch",
    "wrong": "zzyzx wrong password",
}


@dataclass
class Served:
    port: int
    http: httpx.Client
    log: Path

    def raw(self, request: bytes) -> bytes:
        """What the server answers to exactly these bytes, until it closes or falls silent."""
        parts = []
        with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            connection.sendall(request)
            with contextlib.suppress(TimeoutError):
                while part := connection.recv(65_536):
                    parts.append(part)
        return b"".join(parts)


@contextmanager
def served(folder: Path, **settings: Any) -> Iterator[Served]:
    """A server on its own database; ended by SIGTERM, which has to be a clean end."""
    log = folder / "log.jsonl"
    given = msgspec.json.encode(settings_at(folder, **settings)).decode()
    with log.open("wb") as sink:
        command = [sys.executable, "-m", "tests.api.serve", given]
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=sink, text=True
        ) as process:
            try:
                assert process.stdout is not None
                port = int(process.stdout.readline())
                with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as http:
                    yield Served(port, http, log)
                process.send_signal(signal.SIGTERM)
                assert process.wait(timeout=30) == 0
            finally:
                process.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"/orders/%00", 404),
        (b"/orders/%ff%fe%fd", 404),
        (b"/orders/%", 404),
        (b"/orders/%zz", 404),
        (b"/orders/..%2f..", 404),
        (b"/../../etc/passwd", 404),
        (b"/%2e%2e/healthz", 404),
        (b"/healthz?%", 422),
        (b"/healthz?a=%ff&b=%00", 422),
        (b"/healthz#fragment", 200),
        (b"/orders/\xc3\xa9", 404),
    ],
)
def test_rubbish_in_the_address_is_answered_with_a_problem(
    server: Served, target: bytes, status: int
):
    answer = server.raw(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.split(b" ", 2)[1] in (b"%d" % status, b"400"), answer


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Content-Length: five\r\n",
        b"Idempotency-Key: a\r\nIdempotency-Key: b\r\nContent-Length: 2\r\n",
        b"Authorization: \xff\xfe\r\nContent-Length: 2\r\n",
        b"Host: \x00\r\n",
    ],
)
def test_rubbish_in_the_headers_never_breaks_it(server: Served, headers: bytes):
    answer = server.raw(
        b"POST /orders HTTP/1.1\r\nHost: x\r\n" + headers + b"Connection: close\r\n\r\n{}"
    )
    assert not answer or answer.split(b" ", 2)[1][:1] == b"4", answer
    assert server.http.get("/healthz").status_code == 200


def test_head_has_the_length_of_get_and_no_body(server: Served):
    head = server.raw(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"content-length: 15" in head
    assert head.endswith(b"\r\n\r\n")


def test_a_body_that_grows_past_the_limit_is_refused(server: Served):
    def pieces() -> Iterator[bytes]:
        yield b'{"note":"'
        for _ in range(40):
            yield b"x" * 65_536
        yield b'"}'

    for path in ("/orders", "/orders/", "/users"):
        with httpx.Client(base_url=server.http.base_url) as http:
            answer = http.post(path, content=pieces(), headers={"Content-Type": "application/json"})
            assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


def test_the_server_tells_nobody_what_it_is_made_of(server: Served):
    assert "server" not in server.http.get("/healthz").headers


def test_the_log_names_every_request_and_keeps_no_secret(tmp_path: Path, seed: Seed):
    shutil.copytree(seed.folder, tmp_path, dirs_exist_ok=True)
    with served(tmp_path, notify_console=True) as server:
        sent = _a_customers_day(server.http)
    text = server.log.read_text()
    for what, marker in {**SECRETS, **sent}.items():
        assert marker not in text, f"the {what} is in the log"
    lines = [json.loads(line) for line in text.splitlines()]
    requests = [line for line in lines if line["event"] == "request"]
    assert {"request_id", "method", "route", "status", "ms", "by", "timestamp"} <= set(requests[0])
    placed = next(line for line in requests if line["request_id"] == "my-order-1")
    assert (placed["route"], placed["status"], placed["by"].split(":")[0]) == (
        "/orders",
        201,
        "customer",
    )
    assert {line["status"] for line in requests} >= {200, 201, 401, 404, 422}


def _a_customers_day(http: httpx.Client) -> dict[str, str]:
    """Sends everything that nobody should find in a log; answers the secrets that came back."""
    account = {"email": SECRETS["email"], "password": SECRETS["password"]}
    http.post("/users", json={**account, "name": SECRETS["name"]})
    http.post("/users", json={**account, "name": SECRETS["name"], SECRETS["note"]: 1})
    http.post("/auth/login", json={**account, "password": SECRETS["wrong"]})
    tokens = http.post("/auth/login", json=account).json()
    me = {"Authorization": f"Bearer {tokens['access_token']}"}
    address = {
        "name": SECRETS["name"],
        "line1": SECRETS["address"],
        "city": "London",
        "country": "GB",
        "phone": SECRETS["phone"],
    }
    order = {
        "lines": [{"sku": "MUG", "quantity": 1}],
        "shipping_address": address,
        "note": SECRETS["note"],
    }
    placed = http.post("/orders", json=order, headers=me | {"X-Request-ID": "my-order-1"})
    assert placed.status_code == 201, placed.text
    guest = http.post("/orders", json={**order, "email": SECRETS["guest"]}).json()
    http.get(f"/orders/{guest['id']}", params={"token": guest["token"]})
    http.get(f"/orders/{guest['id']}", params={"token": SECRETS["note"]})
    http.get("/products", params={"q": SECRETS["search"]})
    http.get(f"/{SECRETS['search']}", params={"email": SECRETS["email"]})
    http.get("/orders", headers={"Authorization": f"Bearer {SECRETS['search']}"})
    http.post("/auth/forgot", json={"email": SECRETS["email"]})
    http.post("/orders", content=json.dumps(order)[:-3], headers=me)
    fresh = http.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]}).json()
    http.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    return {
        "access token": tokens["access_token"],
        "refresh token": tokens["refresh_token"],
        "second refresh token": fresh["refresh_token"],
        "guest's token": guest["token"],
    }
