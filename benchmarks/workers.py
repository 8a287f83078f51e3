"""What a second server process on the same file brings on this machine."""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks import load, machine, servers, shops
from benchmarks.report import Report, interleaved, ratio, spread
from benchmarks.run import Run
from benchmarks.slices import Side

TITLE = "two worker processes beside one, for reading and for ordering"


def run(run: Run, report: Report) -> None:
    """No promise but honesty: it says how many cores there are for servers and load together."""
    folder = shops.folder_of("workers")
    cores = set(machine.cores())
    databases = []
    with ExitStack() as open_shops:
        sides: dict[str, Side] = {}
        for workers in (1, 2):
            database = shops.copy_of(shops.small_shop(), folder, f"workers-{workers}")
            databases.append(database)
            server = open_shops.enter_context(servers.serve(database, workers=workers, cores=cores))
            tokens = shops.log_all_in(server.port)
            placing = shops.orders(tokens, shops.skus(1_000))
            sides[f"orders, {workers}"] = Side(server, placing, run)
            page = load.again(load.request("GET", "/products?limit=10"))
            sides[f"pages, {workers}"] = Side(server, page, run, status=200)
        rates = interleaved(sides, run.rounds(7), run.say)
    for what, told in (("orders", "orders"), ("pages", "pages of ten products")):
        for workers in (1, 2):
            report.figure(f"{told}, {workers} at work", spread(rates[f"{what}, {workers}"]))
        report.figure(
            f"{told}, gain",
            f"{ratio(rates[f'{what}, 2'], rates[f'{what}, 1']):.2f}x",
        )
    report.notes.append(
        f"{len(cores)} cores for the servers and the load generator together; "
        "each process groups its own commits and waits its turn at the file"
    )
    differences = sum(shops.verify(database) for database in databases)
    report.target("differences that verify finds", differences, "exactly", 0)
