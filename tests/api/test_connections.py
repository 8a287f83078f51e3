"""Clients that hold a connection without sending: they are let go, and nobody else notices them."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import Served, Terminal, eventually

SHORT = {
    "STOREKEEPER_HEADER_SECONDS": "1",
    "STOREKEEPER_BODY_SECONDS": "1",
    "STOREKEEPER_REQUESTS_PER_MINUTE": "0",
}
# Longer than a test may take: whatever ends before was not ended by a wait.
LONG = {"STOREKEEPER_HEADER_SECONDS": "600", "STOREKEEPER_BODY_SECONDS": "600"}
BEGUN = (
    b"POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n"
    b"X-Request-ID: slow-one\r\nContent-Length: 100\r\n\r\n{"
)


@pytest.fixture
def terminal(tmp_path) -> Terminal:
    return Terminal(tmp_path)


@contextlib.contextmanager
def connected(served: Served, sent: bytes = b"", count: int = 1) -> Iterator[list[socket.socket]]:
    host, port = served.url.removeprefix("http://").split(":")
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(count):
            one = stack.enter_context(socket.create_connection((host, int(port)), timeout=60))
            one.sendall(sent)
            found.append(one)
        yield found


def rest_of(connection: socket.socket) -> bytes:
    """What the server still says until it closes; fails where it doesn't within a minute."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def parted(answer: bytes) -> tuple[int, dict[str, str], dict[str, str]]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, json.loads(body)


def requests_in(log: str) -> list[dict[str, object]]:
    lines = (json.loads(line) for line in log.splitlines() if line.startswith("{"))
    return [line for line in lines if line["event"] == "request"]


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHo"])
def test_who_sends_no_whole_head_is_let_go_and_others_are_served_meanwhile(terminal, sent):
    terminal.environment.update(SHORT)
    with terminal.serving() as served:
        with connected(served, sent, count=50) as held:
            assert served.get("/healthz").is_success
            assert all(rest_of(one) == b"" for one in held)
        assert served.stop() == 0


def test_a_second_request_that_begins_and_stops_is_let_go(terminal):
    terminal.environment.update(SHORT)
    with terminal.serving() as served:
        with connected(served, b"GET /healthz HTTP/1.1\r\nHost: shop\r\n\r\nGET /") as [one]:
            assert rest_of(one).startswith(b"HTTP/1.1 200")
        assert served.stop() == 0


@pytest.mark.parametrize("path", [b"/orders", b"/users", b"/auth/login"])
def test_a_body_that_stops_coming_is_answered_408(terminal, path):
    terminal.environment.update(SHORT)
    with terminal.serving() as served:
        with connected(served, BEGUN.replace(b"/orders", path)) as [one]:
            assert served.get("/healthz").is_success
            status, headers, problem = parted(rest_of(one))
        assert (status, problem["code"]) == (408, "request_timeout")
        assert headers["content-type"] == "application/problem+json"
        assert headers["connection"] == "close"
        assert problem["request_id"] == headers["x-request-id"] == "slow-one"
        assert served.stop() == 0
    [line] = [one for one in requests_in(terminal.errors()) if one["request_id"] == "slow-one"]
    assert line["status"] == 408


def test_a_byte_now_and_then_is_not_enough(terminal):
    terminal.environment.update(SHORT)
    with terminal.serving() as served:
        with connected(served, BEGUN) as [one]:
            one.settimeout(0.2)
            answer = b""
            for _ in range(95):
                one.sendall(b" ")
                with contextlib.suppress(TimeoutError):
                    answer = one.recv(65_536)
                    break
        assert answer.startswith(b"HTTP/1.1 408")
        assert served.stop() == 0


def test_a_slow_but_steady_upload_goes_on_past_many_windows(terminal):
    """A shop far from its server still gets its catalogue in."""
    terminal.environment.update(SHORT, STOREKEEPER_BODY_SECONDS="2")
    rows = b"sku,name,price,currency\n" + b"".join(
        b"S%d,%s,1.00,GBP\n" % (number, b"n" * 100) for number in range(50)
    )
    with terminal.serving() as served:
        head = upload(token_of_an_admin(terminal, served), len(rows))
        with connected(served, head) as [one]:
            started = time.monotonic()
            for at in range(0, len(rows), 400):
                one.sendall(rows[at : at + 400])
                time.sleep(0.4)  # the client's own slowness, 1,000 bytes a second
            assert time.monotonic() - started > 2 * 2
            assert rest_of(one).startswith(b"HTTP/1.1 202")
        assert served.stop() == 0


def test_who_reads_nothing_of_the_answers_is_cut_off(terminal):
    terminal.environment.update(SHORT)
    with terminal.serving() as served:
        asked = 200
        size = len(served.get("/openapi.json").content)
        host, port = served.url.removeprefix("http://").split(":")
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            one.connect((host, int(port)))
            one.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: shop\r\n\r\n" * asked)
            eventually(lambda: "slow connections closed" in terminal.errors())
            assert served.get("/healthz").is_success
            assert len(rest_of(one)) < asked * size
        assert served.stop() == 0
    assert "Traceback" not in terminal.errors()


def test_an_upload_that_stops_is_ended_and_leaves_nothing_behind(terminal):
    terminal.environment.update(SHORT)
    with terminal.serving() as served:
        begun = upload(token_of_an_admin(terminal, served), 1_000_000) + b"sku,name,price\n"
        with connected(served, begun) as [one]:
            status, _, problem = parted(rest_of(one))
        assert (status, problem["code"]) == (408, "request_timeout")
        eventually(lambda: [one for one in requests_in(terminal.errors()) if one["status"] == 408])
        jobs = terminal.folder / "data/jobs"
        eventually(lambda: not [path for path in jobs.rglob("*") if path.is_file()])
        assert served.stop() == 0
    assert "Traceback" not in terminal.errors()


def token_of_an_admin(terminal: Terminal, served: Served) -> str:
    made = terminal.ok("create-admin", "root@example.com", "--json").json
    account = {"email": "root@example.com", "password": made["password"]}
    found: str = served.post("/auth/login", json=account).json()["access_token"]
    return found


def upload(token: str, size: int) -> bytes:
    """The head of a request that sends products."""
    return (
        b"POST /products/import HTTP/1.1\r\nHost: shop\r\nContent-Type: text/csv\r\n"
        b"Authorization: Bearer %b\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        % (token.encode(), size)
    )


def test_sigterm_lets_go_of_requests_that_are_not_whole(terminal):
    terminal.environment.update(LONG)
    with terminal.serving() as served:
        with (
            connected(served, count=100),
            connected(served, b"GET /hea", count=50),
            connected(served, BEGUN, count=50) as begun,
        ):
            assert served.get("/healthz").is_success
            served.process.send_signal(signal.SIGTERM)
            status, headers, problem = parted(rest_of(begun[0]))
            assert served.process.wait(15) == 0, "less than `shutdown_seconds`"
        assert (status, problem["code"]) == (503, "store_unavailable")
        assert int(headers["retry-after"]) > 0
    log = terminal.errors()
    assert "Traceback" not in log
    assert "Exception in ASGI" not in log
    assert {line["status"] for line in requests_in(log)} == {200, 503}


def test_more_connections_than_files_lock_nobody_out(terminal):
    """With 256 files for the process, 400 that say nothing are no hindrance to a customer."""
    terminal.environment.update(LONG)
    limit_files(terminal, "(256, 256)")
    with terminal.serving() as served:
        with connected(served, count=400):
            # Those that came first are let go for who does send something.
            assert served.get("/products").is_success
        assert served.stop() == 0
    assert "Too many open files" not in terminal.errors()


def test_past_the_bound_customers_are_told_to_wait_and_probes_are_answered(terminal):
    terminal.environment.update(LONG, STOREKEEPER_MAX_CONNECTIONS="20")
    with terminal.serving() as served:
        with connected(served, BEGUN, count=20):
            refused = eventually(lambda: told_to_wait(served))
            assert refused.json()["code"] == "overloaded"
            assert int(refused.headers["retry-after"]) > 0
            assert refused.headers["connection"] == "close"
            assert served.get("/healthz").is_success
            assert served.get("/readyz").is_success
            # Not even by those who fill what is kept for probes.
            with connected(served, count=60):
                assert eventually(lambda: served.get("/healthz").is_success)
        eventually(lambda: served.get("/products").is_success)
        assert served.stop() == 0


ASKED = b"GET /healthz HTTP/1.1\r\nHost: shop\r\n\r\n"


def test_a_connection_waits_for_the_next_request_as_long_as_it_is_told_to(terminal):
    """A proxy in front counts on it. uvicorn's own five seconds would be seen each time."""
    terminal.environment.update(LONG, STOREKEEPER_KEEP_ALIVE_SECONDS="1")
    with terminal.serving() as served:

        def seconds() -> float:
            with connected(served, ASKED) as [one]:
                asked_at = time.monotonic()
                assert rest_of(one).startswith(b"HTTP/1.1 200")
                return time.monotonic() - asked_at

        assert any(0.9 < seconds() < 4.5 for _ in range(3))
        assert served.stop() == 0


def test_those_that_ask_nothing_more_make_room_for_who_does(terminal):
    terminal.environment.update(LONG, STOREKEEPER_MAX_CONNECTIONS="20")
    with terminal.serving() as served:
        with connected(served, ASKED, count=20) as held:
            for one in held:
                assert one.recv(65_536).startswith(b"HTTP/1.1 200")
            eventually(lambda: served.get("/products").is_success)
        assert served.stop() == 0


def told_to_wait(served: Served):
    answer = served.get("/products")
    return answer if answer.status_code == 503 else None


def limit_files(terminal: Terminal, limits: str) -> None:
    """`limits`: how many files the server may open, and how many it may ask for."""
    (terminal.folder / "sitecustomize.py").write_text(
        f"import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, {limits})\n"
    )
    terminal.environment["PYTHONPATH"] = str(terminal.folder)


def test_the_limit_of_open_files_is_raised_as_far_as_it_goes(terminal):
    limit_files(terminal, "(128, 1500)")
    with terminal.serving() as served:
        limits = Path(f"/proc/{served.process.pid}/limits").read_text()
        assert re.search(r"Max open files\s+1500\s+1500", limits)
        assert served.stop() == 0
