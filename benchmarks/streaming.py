"""What a continuous backup costs a shop that takes orders, and how old the backup is meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw

from benchmarks import machine, servers, shops
from benchmarks.report import Report, interleaved, ratio, shown, spread
from benchmarks.run import Run
from benchmarks.slices import Side
from storekeeper.app import restore_from, utc_now
from storekeeper.store.sqlite.streaming import state

TITLE = "orders in a shop whose every commit is streamed to a folder, beside one without"
RATIO = 0.8
PATIENCE_S = 60.0
LATE_S = 10.0


def run(run: Run, report: Report) -> None:
    folder = shops.folder_of("streaming")
    target = folder / "target"
    target.mkdir()
    plain, streamed = (
        shops.copy_of(shops.small_shop(), folder, name) for name in ("plain", "streamed")
    )
    lags: list[float] = []
    catch_up: list[float] = []
    with (
        streaming(streamed, target) as stream,
        servers.serve(plain) as without,
        servers.serve(streamed) as with_stream,
    ):
        until(lambda: state.lag(streamed, utc_now()) is not None)
        sides = {}
        for name, server in (("without", without), ("streamed", with_stream)):
            placing = shops.orders(shops.log_all_in(server.port), shops.skus(1_000))
            sides[name] = Side(server, placing, run)
        used = machine.cpu_seconds(stream.pid)

        def under_load() -> float:
            rate = sides["streamed"]()
            lags.append(state.lag(streamed, utc_now()) or 0.0)
            # What the stream is behind by would slow the slice of the other side.
            catch_up.append(until_safe(streamed))
            return rate

        rates = interleaved(
            {"without": sides["without"], "streamed": under_load}, run.rounds(7), run.say
        )
        used = machine.cpu_seconds(stream.pid) - used
    began = time.perf_counter()
    drill = folder / "drill" / "shop.db"
    drill.parent.mkdir()
    done = asyncio.run(
        restore_from(shops.settings_for(drill), str(target), at=None, watch=lambda done: None)
    )
    restoring = time.perf_counter() - began
    orders = sum(one.rate * one.seconds for one in sides["streamed"].slices)
    report.figure("orders, without", f"{spread(rates['without'])}; {sides['without'].cost}")
    report.figure("orders, streamed", f"{spread(rates['streamed'])}; {sides['streamed'].cost}")
    report.figure("of the stream", f"{1e6 * used / orders:.0f} us of CPU for each order")
    report.figure("age of the backup after a slice", f"{max(lags):.1f} s at most")
    report.figure("until all is safe after a slice", f"{max(catch_up):.1f} s at most")
    size = sum(path.stat().st_size for path in target.rglob("*.gz"))
    report.figure("at the target", f"{size / 2**20:.0f} MiB, {shown(size / orders)} bytes an order")
    report.figure("restored elsewhere, with `verify`", f"{restoring:.1f} s")
    report.notes.append(
        "the stream may run on any core, the load generator's too; the folder is on the shop's disk"
    )
    report.target(
        "orders with the stream, of those without",
        ratio(rates["streamed"], rates["without"]),
        "at least",
        RATIO,
    )
    report.target("age of the backup under load", max(lags), "under", LATE_S, " s")
    missing = orders_in(streamed) - orders_in(drill)
    report.target("orders that the restored shop lacks", missing, "exactly", 0)
    report.target("differences that verify finds", len(done.differences), "exactly", 0)


@contextlib.contextmanager
def streaming(database: Path, target: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command beside a shop, told to end after it."""
    command = ("-m", "storekeeper", "backup", "--continuous", str(target))
    with subprocess.Popen(
        [sys.executable, *command, "--database", str(database)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as stream:
        try:
            yield stream
            stream.terminate()
            stream.wait(PATIENCE_S)
        finally:
            stream.kill()


def until_safe(database: Path) -> float:
    """Waits until all that is acknowledged by now can be restored; answers how long it took."""
    asked = utc_now()
    until(lambda: (state.lag(database, utc_now()) or 0.0) < (utc_now() - asked).total_seconds())
    return (utc_now() - asked).total_seconds()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("the stream doesn't come to its end")
        time.sleep(0.02)


def orders_in(database: Path) -> int:
    with contextlib.closing(apsw.Connection(str(database))) as connection:
        return int(connection.execute("SELECT count(*) FROM orders").get)
