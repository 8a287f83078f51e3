"""Logs and metrics: without them an operator is blind; with secrets in them, exposed."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import time

from storekeeper.cache.rates import MemoryRates
from storekeeper.telemetry.metrics import GAUGES, Metrics
from storekeeper.telemetry.recent import LONGEST, MOST, RecentErrors
from storekeeper.telemetry.sink import MOST_LINES, Sink


def test_lines_come_out_whole_and_in_their_order() -> None:
    stream = io.BytesIO()
    sink = Sink(stream)
    sink.write(b"first")
    sink.write(b"second", urgent=True)
    sink.close()
    assert stream.getvalue() == b"first\nsecond\n"


def test_what_comes_while_the_log_is_written_for_the_last_time_is_written() -> None:
    """Why a server ended would be missing from its log."""
    taken = io.BytesIO()
    begun = threading.Event()

    class Slow(io.RawIOBase):
        def write(self, data: object) -> int:
            begun.set()
            while not sink._is_closing:
                time.sleep(0.001)
            return taken.write(data)  # type: ignore[arg-type]

    sink = Sink(Slow())  # type: ignore[arg-type]
    sink.write(b"first", urgent=True)
    assert begun.wait(10)
    sink.write(b"last")
    sink.close()
    assert taken.getvalue().split() == [b"first", b"last"]


def test_a_log_that_nobody_reads_stops_nobody() -> None:
    """The shop would stand still, or fail, as soon as its log's disk is full."""
    taken = io.BytesIO()

    class Broken(io.RawIOBase):
        is_broken = True

        def write(self, data: object) -> int:
            if self.is_broken:
                raise OSError("no space left")
            return taken.write(data)  # type: ignore[arg-type]

    stream = Broken()
    sink = Sink(stream)  # type: ignore[arg-type]
    for number in range(MOST_LINES + 10):
        sink.write(b"%d" % number, urgent=number % 100 == 0)
    stream.is_broken = False
    sink.write(b"after", urgent=True)
    sink.close()
    lines = taken.getvalue().splitlines()
    told = [json.loads(line)["lines"] for line in lines if b"dropped" in line]
    kept = [line for line in lines if b"dropped" not in line]
    assert sum(told) + len(kept) == MOST_LINES + 11


def test_lines_that_wait_are_written_when_the_process_ends() -> None:
    program = (
        "from storekeeper.telemetry.logging import configure\n"
        "import structlog, logging\n"
        "configure('info', 'json')\n"
        "structlog.get_logger().info('hello', order='1')\n"
        "logging.getLogger('other').warning('from %s', 'elsewhere')\n"
        "structlog.get_logger().debug('not shown')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, timeout=60
    )
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [
        ("hello", "info"),
        ("from elsewhere", "warning"),
    ]
    assert all("timestamp" in line for line in lines)


def test_metrics_tell_requests_orders_batches_and_gauges() -> None:
    metrics = Metrics()
    metrics.observe("POST", "/orders", 201, 0.004)
    metrics.observe("BREW", "/orders", 405, 0.001)
    metrics.order("placed")
    metrics.batch(12)
    text = metrics.text(dict.fromkeys(GAUGES, 3.0)).decode()
    assert 'storekeeper_http_requests_total{method="POST",route="/orders",status="201"} 1.0' in text
    assert 'method="other"' in text
    assert 'storekeeper_orders_total{outcome="placed"} 1.0' in text
    assert 'storekeeper_commit_batch_size_bucket{le="16.0"} 1.0' in text
    assert "storekeeper_outbox_lag_seconds 3\n" in text


def test_a_client_gets_its_rate_and_no_more_until_time_passes() -> None:
    now = [0.0]
    rates = MemoryRates(60, monotonic=lambda: now[0])
    taken = [rates.take("a") for _ in range(61)]
    assert taken[59] == (60, 0, 60)
    assert taken[60] == (60, -1, 1)
    assert rates.take("b") == (60, 59, 1)
    now[0] = 1.0
    assert rates.take("a") == (60, 0, 60)
    assert MemoryRates(0).take("a") is None


def test_clients_that_are_remembered_are_bounded() -> None:
    rates = MemoryRates(10, size=2, monotonic=lambda: 0.0)
    for who in ("a", "a", "b", "c"):
        rates.take(who)
    assert rates.take("a") == (10, 9, 6)


def test_recent_errors_are_the_newest_and_bounded() -> None:
    """They are kept in memory, and a bad night has more of them than anybody reads."""
    recent = RecentErrors()
    for number in range(MOST + 5):
        event = {"level": "error", "event": f"{number} {'x' * 9_000}", "exc_info": OSError("away")}
        recent.processor(None, "error", event)
    kept = recent.newest_first()
    assert [one.what.split()[0] for one in kept] == [str(MOST + 4 - n) for n in range(MOST)]
    assert {one.kind for one in kept} == {"OSError"}
    assert max(len(one.what) for one in kept) == LONGEST


def test_recent_errors_hold_no_warnings_and_no_words_of_requests_or_libraries() -> None:
    """Such words may hold an address or what a customer typed; staff look at this list."""
    recent = RecentErrors()
    recent.processor(None, "warning", {"level": "warning", "event": "slow"})
    recent.processor(None, "error", {"level": "error", "event": "ada's", "request_id": "r1"})
    line = {"level": "error", "event": "no mail to ada@example.com", "logger": "aiosmtplib"}
    assert recent.processor(None, "error", line) is line
    assert [one.what for one in recent.newest_first()] == ["aiosmtplib"]
