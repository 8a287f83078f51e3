"""Starting, stopping and staying up: what an operator does with the server."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.cli.terminal import Served, eventually

PASSWORD = re.compile(r"(\S+@example\.com)\s+(\w{20})\b")


def log_in(served: Served, email: str, password: str) -> httpx.Response:
    return served.post("/auth/login", json={"email": email, "password": password})


def test_the_demo_starts_with_accounts_whose_passwords_work_and_keeps_them_secret_after(terminal):
    with terminal.serving("--demo") as served:
        passwords = dict(PASSWORD.findall(served.output))
        assert set(passwords) == {"admin@example.com", "customer@example.com"}
        for email, password in passwords.items():
            assert log_in(served, email, password).status_code == 200
        token = log_in(served, "customer@example.com", passwords["customer@example.com"])
        bearer = {"Authorization": f"Bearer {token.json()['access_token']}"}
        assert served.get("/orders", headers=bearer).json()["items"], "a customer with a history"
    started = time.monotonic()
    with terminal.serving("--demo") as served:
        assert time.monotonic() - started < 10
        assert PASSWORD.search(served.output) is None
        assert log_in(served, "admin@example.com", passwords["admin@example.com"]).is_success
    assert not any(password in terminal.errors() for password in passwords.values())


def test_sigterm_answers_what_was_asked_before_it_ends(terminal):
    """A customer whose order waits to be written gets an answer, and the exit is a normal one."""
    terminal.ok("demo")
    with terminal.serving() as served, holding(terminal.folder / "data/shop.db") as let_go:
        host, port = served.url.removeprefix("http://").split(":")
        body = b'{"lines":[{"sku":"85123A","quantity":1}],"email":"late@example.com"}'
        with socket.create_connection((host, int(port))) as customer:
            customer.sendall(
                b"POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n" % len(body) + body
            )
            eventually(lambda: served.get("/healthz").is_success)
            served.process.send_signal(signal.SIGTERM)
            eventually(lambda: _refuses(host, int(port)))
            let_go()
            assert b"HTTP/1.1 201" in customer.recv(65_536)
        assert served.process.wait(30) == 0
    terminal.ok("verify")


@contextlib.contextmanager
def holding(path: Path) -> Iterator[Callable[[], object]]:
    """Keeps the shop from writing, until what it gives is called."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield lambda: other.execute("ROLLBACK")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_ends_the_server_quietly(terminal, number, workers):
    with terminal.serving("--workers", str(workers)) as served:
        assert served.stop(number) == 0
    assert "Traceback" not in terminal.errors()


def test_a_second_server_on_the_port_says_so_in_one_sentence(terminal):
    with terminal.serving() as served:
        port = served.url.rsplit(":", 1)[1]
        ended = terminal.run("serve", "--port", port, "--database", "other.db")
    assert ended.code == 2
    assert f"port {port} on 127.0.0.1 is taken" in ended.err
    assert len(ended.err.splitlines()) == 1
    assert not (terminal.folder / "other.db").exists()


def test_a_host_that_is_not_ours_ends_the_start_clearly(terminal):
    ended = terminal.run("serve", "--port", "0", "--host", "192.0.2.1")
    assert ended.code == 2
    assert "192.0.2.1" in ended.err


def test_a_killed_worker_is_replaced_while_the_others_go_on(terminal):
    with terminal.serving("--workers", "2") as served:
        before = _children(served.process.pid)
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        eventually(lambda: len(set(_children(served.process.pid)) - set(before)) == 1)
        assert all(_is_up(served) for _ in range(20))
        assert served.stop() == 0
    assert all(not _runs(pid) for pid in before)


def test_workers_sell_the_same_stock_exactly(terminal):
    """Two processes, one last unit each time: it is sold once."""
    terminal.ok("init")
    (terminal.folder / "goods.csv").write_text("sku,name,price,currency\nLAST,The last,1.00,GBP\n")
    (terminal.folder / "stock.csv").write_text("sku,location,on_hand\nLAST,main,25\n")
    terminal.ok("import", "products", "goods.csv")
    terminal.ok("import", "stock", "stock.csv")
    codes: list[int] = []
    with terminal.serving("--workers", "2") as served:

        def buy(number: int) -> None:
            body = {
                "lines": [{"sku": "LAST", "quantity": 1}],
                "email": f"buyer-{number}@example.com",
                "confirm": True,
            }
            codes.append(served.post("/orders", json=body).status_code)

        buyers = [threading.Thread(target=buy, args=(number,)) for number in range(40)]
        for buyer in buyers:
            buyer.start()
        for buyer in buyers:
            buyer.join()
        assert served.stop() == 0
    assert sorted(codes) == [201] * 25 + [409] * 15
    terminal.ok("verify")


def test_workers_end_when_their_supervisor_is_killed(terminal):
    with terminal.serving("--workers", "2") as served:
        workers = _children(served.process.pid)
        served.process.kill()
        served.process.wait()
        eventually(lambda: not any(_runs(pid) for pid in workers))


def _children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _is_up(served: Served) -> bool:
    return served.get("/healthz").is_success


def _refuses(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_worker_that_dies_before_it_listens_does_not_take_the_shop_down(terminal):
    """With a name longer than a pipe holds, the supervisor is still writing when it dies."""
    (terminal.folder / "shop.toml").write_text(f'shop_name = "{"x" * 200_000}"\n')
    (terminal.folder / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if os.path.exists('broken') and 'storekeeper.cli.worker' in sys.orig_argv:\n"
        "    os._exit(7)\n"
    )
    terminal.environment["PYTHONPATH"] = str(terminal.folder)
    broken = terminal.folder / "broken"
    with terminal.serving("--workers", "2", "--config", "shop.toml") as served:
        before = _children(served.process.pid)
        broken.touch()
        os.kill(before[0], signal.SIGKILL)
        eventually(lambda: terminal.errors().count("worker died") >= 3)
        assert all(_is_up(served) for _ in range(20))
        broken.unlink()
        eventually(lambda: len(_children(served.process.pid)) == 2)
        assert served.stop() == 0
    assert "Traceback" not in terminal.errors()


def test_a_shop_that_cannot_be_opened_says_why_in_its_last_line(terminal):
    """Whoever starts it by hand would look for the reason at the end of a trace in the log."""
    terminal.ok("init")
    with contextlib.closing(
        sqlite3.connect(terminal.folder / "data/shop.db", isolation_level=None)
    ) as other:
        other.execute("BEGIN EXCLUSIVE")
        ended = terminal.run("serve", "--port", "0")
    assert ended.code == 3
    last = ended.err.splitlines()[-1]
    assert last.startswith("storekeeper: the shop could not be opened; ")
    assert last.endswith("shop.db is locked by another process; end that one or wait")
