"""A server that is replaced by the next one: nobody who orders meanwhile may notice."""

from __future__ import annotations

import contextlib
import http.client
import signal
import socket
import sqlite3
import subprocess

import httpx

from tests.cli.terminal import COMMAND, PATIENCE_S, eventually
from tests.support.handing import handing, held_socket


def test_who_connects_between_two_servers_is_answered_by_the_next(terminal):
    """The socket stays open while the shop is updated, so that no order is turned away."""
    with held_socket() as listening:
        port = listening.getsockname()[1]
        for turn in ("first", "second"):
            with (
                socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as waiting,
                (terminal.folder / f"{turn}.txt").open("w") as errors,
            ):
                waiting.sendall(b"GET /healthz HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
                with subprocess.Popen(
                    handing(listening, [*COMMAND, "serve"]),
                    cwd=terminal.folder,
                    env=terminal.environment,
                    pass_fds=(listening.fileno(),),
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                ) as server:
                    try:
                        assert waiting.recv(65_536).startswith(b"HTTP/1.1 200"), turn
                        server.send_signal(signal.SIGTERM)
                        assert server.wait(PATIENCE_S) == 0
                    finally:
                        server.kill()


def test_a_request_that_is_on_its_way_when_the_server_ends_is_answered(terminal):
    """A proxy that has just connected must not have to tell a customer 502."""
    body = b'{"lines":[{"sku":"NONE","quantity":1}],"email":"ada@example.com"}'
    head = b"POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n"
    whole = head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    with terminal.serving() as served, contextlib.ExitStack() as stack:
        host, port = served.url.removeprefix("http://").split(":")
        opened = []
        for sent in (0, 20, whole.index(body), len(whole) - 9):
            one = stack.enter_context(socket.create_connection((host, port), timeout=PATIENCE_S))
            one.sendall(whole[:sent])
            opened.append((one, whole[sent:]))
        assert served.get("/healthz").is_success
        served.process.send_signal(signal.SIGTERM)
        eventually(lambda: _is_refused(host, int(port)))
        for one, rest in opened:
            one.sendall(rest)
        answers = [one.makefile("rb").read() for one, _ in opened]
        assert served.process.wait(PATIENCE_S) == 0
    assert [answer.split()[1] for answer in answers] == [b"422"] * 4, "no such product"


def _is_refused(host: str, port: int) -> bool:
    with contextlib.suppress(ConnectionRefusedError), socket.create_connection((host, port)):
        return False
    return True


def test_more_sockets_than_one_are_refused_by_name(terminal):
    with held_socket() as listening:
        ended = subprocess.run(
            handing(listening, [*COMMAND, "serve"], count=2),
            cwd=terminal.folder,
            env=terminal.environment,
            pass_fds=(listening.fileno(),),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert ended.returncode == 2
    assert "hands over 2 sockets" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_sockets_for_another_process_are_not_taken(terminal):
    """A child of a service inherits its variables, and would take whatever is number 3."""
    terminal.environment |= {"LISTEN_PID": "1", "LISTEN_FDS": "1"}
    with terminal.serving() as served:
        assert served.get("/healthz").is_success


def test_balancers_hear_that_it_goes_while_it_serves_on(terminal):
    """/readyz says so first; requests are answered until they go elsewhere, and a connection ends
    with an answer, not under a request."""
    terminal.environment |= {"STOREKEEPER_DRAIN_SECONDS": "60"}
    with terminal.serving() as served:
        kept = http.client.HTTPConnection(served.url.removeprefix("http://"), timeout=PATIENCE_S)
        assert _status(kept, "/healthz") == (200, None)
        assert served.get("/readyz").status_code == 200
        served.process.send_signal(signal.SIGTERM)
        told = eventually(lambda: (one := served.get("/readyz")).status_code == 503 and one)
        assert told.json() == {
            "status": "not ready",
            "store": "ok",
            "relay": "ok",
            "server": "ending",
        }
        assert _status(kept, "/products") == (200, "close")
        assert served.get("/products").status_code == 200, "a new connection is taken still"
        # Who doesn't want to wait says so again.
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(PATIENCE_S) == 0


def _status(connection: http.client.HTTPConnection, path: str) -> tuple[int, str | None]:
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.getheader("connection")


def test_ready_asks_the_server_that_the_settings_name(terminal):
    with terminal.serving() as served:
        port = served.url.rsplit(":", 1)[1]
        assert terminal.ok("ready", served.url, "--json").json["ready"] is True
        assert "is ready" in terminal.ok("ready", STOREKEEPER_PORT=port).out
        served.stop()
        ended = terminal.run("ready", STOREKEEPER_PORT=port)
    assert ended.code == 1
    assert f"127.0.0.1:{port} is not ready" in ended.err
    assert len(ended.err.splitlines()) == 1


def test_ready_waits_for_a_server_that_is_being_opened(terminal):
    with held_socket() as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        asking = [*COMMAND, "ready", "--wait", "60", url]
        with (
            subprocess.Popen(
                handing(listening, [*COMMAND, "serve"]),
                cwd=terminal.folder,
                env=terminal.environment,
                pass_fds=(listening.fileno(),),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ) as server,
        ):
            try:
                subprocess.run(asking, env=terminal.environment, check=True, timeout=PATIENCE_S)
                assert httpx.get(f"{url}/readyz").status_code == 200
            finally:
                server.kill()


def test_what_an_update_will_migrate_is_told_before_it_is_done(terminal):
    assert terminal.run("migrate", "--check").code == 1
    terminal.ok("init")
    assert terminal.ok("migrate", "--check", "--json").json["pending"] == 0
    _set_schema(terminal, 1)
    assert terminal.ok("migrate", "--check", "--json").json["pending"] > 0
    assert terminal.ok("migrate", "--check", "--json").json["pending"] > 0, "nothing was done"
    _set_schema(terminal, 999)
    ended = terminal.run("migrate", "--check")
    assert ended.code == 3
    assert "newer Storekeeper" in ended.err


def _set_schema(terminal, version: int) -> None:
    with contextlib.closing(sqlite3.connect(terminal.folder / "data/shop.db")) as database:
        database.execute(f"PRAGMA user_version = {version}")
