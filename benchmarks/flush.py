"""Group commit against one commit per order, on a slow disk and on the one that there is."""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks import servers, shops
from benchmarks.report import Report, interleaved, ratio, spread
from benchmarks.run import Run
from benchmarks.slices import Side

TITLE = "grouped commits beside one commit per order, with and without a slow disk"
FLUSH_MS = 2.0
GROUPED = 256
GAIN = 8.0


def run(run: Run, report: Report) -> None:
    """Four shops: with 2 ms added to every flush, or none; grouped, or one by one."""
    folder = shops.folder_of("flush")
    with ExitStack() as open_shops:
        sides = {}
        for disk, delay in (("slow", FLUSH_MS), ("free", 0.0)):
            for way, batch in (("grouped", GROUPED), ("single", 1)):
                name = f"{way}, {disk}"
                database = shops.copy_of(shops.small_shop(), folder, f"{way}-{disk}")
                server = open_shops.enter_context(
                    servers.serve(database, write_batch=batch, flush_ms=delay)
                )
                source = shops.orders(shops.log_all_in(server.port), shops.skus(1_000))
                sides[name] = Side(server, source, run)
        rates = interleaved(sides, run.rounds(7), run.say)
    for disk, told in (("slow", f"{FLUSH_MS:g} ms added to every flush"), ("free", "as it is")):
        for way in ("grouped", "single"):
            report.figure(f"{told}, {way}", spread(rates[f"{way}, {disk}"]))
    report.target(
        f"gain by grouping with {FLUSH_MS:g} ms per flush",
        ratio(rates["grouped, slow"], rates["single, slow"]),
        "at least",
        GAIN,
        "x",
    )
    report.target(
        "gain by grouping on this disk",
        ratio(rates["grouped, free"], rates["single, free"]),
        "at least",
        1.0,
        "x",
    )
