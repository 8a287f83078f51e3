"""A shop that nobody visits: its memory, its rest, and how soon it is open again."""

from __future__ import annotations

import statistics
import time

from benchmarks import machine, servers, shops
from benchmarks.report import Report
from benchmarks.run import Run

TITLE = "memory of an idle server with the demo shop, and the time of a second start"
MEMORY_MIB = 150.0
START_SECONDS = 2.0
IDLE_SECONDS = 5.0


def run(run: Run, report: Report) -> None:
    database = shops.folder_of("idle") / "shop.db"
    with servers.serve(database, cores=set(machine.cores()), options=("--demo",)) as first:
        first_start = first.start_seconds
    starts = []
    for _ in range(run.rounds(5)):
        with servers.serve(database, cores=set(machine.cores()), options=("--demo",)) as shop:
            shops.call(shop.port, "GET", "/readyz")
            starts.append(shop.start_seconds)
            shop.settle()
    with servers.serve(database, cores=set(machine.cores()), options=("--demo",)) as shop:
        before = machine.cpu_seconds(shop.pid)
        time.sleep(IDLE_SECONDS)
        used = machine.cpu_seconds(shop.pid) - before
        idle = shop.rss_mib()
        for path in ("/openapi.json", "/products"):
            shops.call(shop.port, "GET", path)
        visited = shop.rss_mib()
    report.figure("first start, with the demo loaded", f"{first_start:.1f} s")
    report.figure(
        "second start", f"{statistics.median(starts):.2f} s median, {max(starts):.2f} s at most"
    )
    report.figure("memory, idle", f"{idle:.0f} MiB")
    report.figure("memory after /openapi.json and /products", f"{visited:.0f} MiB")
    report.figure("processor, idle", f"{100 * used / IDLE_SECONDS:.1f} % of a core")
    report.target("memory of an idle server", max(idle, visited), "under", MEMORY_MIB, " MiB")
    report.target("second start", statistics.median(starts), "under", START_SECONDS, " s")
