"""An answer that comes before all of the body has: its client gets to read it, and can't hold on."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from typing import Any, cast

import pytest

from storekeeper.http import lingering
from storekeeper.http.connections import Connections
from storekeeper.http.lingering import IDLE_S, LONGEST_S, MOST_BYTES, Lingering
from tests.api.test_connections import connected, parted
from tests.cli.terminal import Served, Terminal

PIECE = b" " * 65_536


@pytest.fixture
def served(tmp_path):
    with Terminal(tmp_path).serving() as served:
        yield served


def head(length: int) -> bytes:
    return (
        b"POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n" % length
    )


def all_of(connection: socket.socket) -> bytes:
    """Up to the server's end; a reset fails."""
    parts = []
    while part := connection.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def test_who_sends_too_much_reads_why(served: Served) -> None:
    """Else all that a proxy or a phone knows is that the connection broke, and it sends it again."""
    for _ in range(5):
        with connected(served, head(4_000_000)) as [client]:
            client.sendall(b" " * 4_000_000)
            status, headers, body = parted(all_of(client))
        assert (status, body["code"]) == (413, "payload_too_large")
        assert headers["connection"] == "close"


@pytest.mark.parametrize(
    "piece",
    [b"a:\r\n" * 2_000, b"x" * 8_000],
    ids=["endless headers", "an endless header"],
)
@pytest.mark.parametrize("before", [b"", b"GET /healthz HTTP/1.1\r\nHost: shop\r\n\r\n"])
def test_a_head_without_an_end_is_refused_before_it_fills_the_memory(
    served: Served, piece: bytes, before: bytes
) -> None:
    """A body is bounded by itself; a head was kept whole, and whoever sent one stopped the shop."""
    with connected(served, before) as [client]:
        first = b""
        while before and not first.endswith(b"}"):
            first += client.recv(65_536)
        client.sendall(b"GET /shop HTTP/1.1\r\nHost: shop\r\nX-Long: ")
        sent = 0
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while sent < 4 * MOST_BYTES:
                client.sendall(piece)
                sent += len(piece)
                if select.select([client], [], [], 0.005)[0]:
                    break
        assert sent < 2**20
        status, headers, body = parted(all_of(client))
    assert (status, body["code"]) == (431, "head_too_large")
    assert headers["connection"] == "close"
    assert served.get("/healthz").is_success


def test_a_large_head_that_ends_is_read(served: Served) -> None:
    """Cookies and signed addresses are long; what ends below the bound is nobody's fault."""
    long = b"GET /healthz HTTP/1.1\r\nHost: shop\r\nX-Long: " + b"x" * 60_000
    with connected(served) as [client]:
        for start in range(0, len(long), 5_000):
            client.sendall(long[start : start + 5_000])
        client.sendall(b"\r\nConnection: close\r\n\r\n")
        assert all_of(client).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "sent",
    [
        b"PAINT / HTTP/1.1\r\nHost: shop\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: shop\r\nX-Bad: a\x01b\r\n\r\n",
        b"POST /orders HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["method", "header", "chunk"],
)
def test_what_is_no_request_at_all_is_a_problem_too(served: Served, sent: bytes) -> None:
    with connected(served, sent) as [client]:
        status, headers, body = parted(all_of(client))
    assert (status, body["code"]) == (400, "malformed")
    assert headers["content-type"] == "application/problem+json"


def test_who_goes_on_sending_is_cut_off_and_holds_nobody_up(served: Served) -> None:
    sent, began = 0, time.monotonic()
    with connected(served, head(10**12)) as [client]:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while True:
                sent += client.send(PIECE)
        assert served.get("/healthz").is_success
    assert time.monotonic() - began < LONGEST_S + 10
    # What the shop takes of a body, what it discards then, and what the system's buffers hold.
    assert sent < MOST_BYTES + 24 * 2**20
    assert served.stop() == 0


def test_a_client_is_listened_to_for_a_bounded_time_and_amount() -> None:
    one = Lingering(100.0)
    assert not one.is_over_at(100.0 + IDLE_S - 0.1)
    assert one.is_over_at(100.0 + IDLE_S)
    # A byte now and then.
    now = 100.0
    while not one.is_over_at(now):
        now += IDLE_S / 2
        assert one.takes(1, now)
        assert now <= 100.0 + LONGEST_S
    assert one.takes(MOST_BYTES - 20, now)
    assert not one.takes(100, now)


def test_many_of_them_are_bounded_and_make_room_for_customers(monkeypatch) -> None:
    class Client:
        is_silent = is_idle = False

        def __init__(self) -> None:
            self.is_dropped = False

        def drop(self) -> None:
            self.is_dropped = True

    monkeypatch.setattr(lingering, "MOST", 3)
    watch = Connections(header_seconds=1, body_seconds=1, maximum=5)
    clients: list[Any] = [Client() for _ in range(5)]
    for client in clients:
        assert watch.add(client)
        assert watch.linger(client)
    assert [client.is_dropped for client in clients] == [True, True, False, False, False]
    for number in range(2, 5):
        assert watch.add(cast("Any", Client())), "three are left, and two have room anyway"
        assert clients[2].is_dropped == (number == 4)
    # One past the bound isn't listened to: its place is for probes.
    full = Connections(header_seconds=1, body_seconds=1, maximum=0)
    extra: Any = Client()
    assert not full.add(extra)
    assert not full.linger(extra)
