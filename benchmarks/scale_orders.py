"""Whether a shop with five million orders answers as fast as one with a thousand."""

from __future__ import annotations

import statistics
from contextlib import ExitStack

from benchmarks import big, load, servers, shops
from benchmarks.report import Report, interleaved, ratio, shown
from benchmarks.run import Run
from benchmarks.slices import Side

TITLE = "a customer's orders, and placing one, with 5,000,000 orders beside 1,000"
FEW = 1_000
MANY = 5_000_000
LIMIT = 1.5


def run(run: Run, report: Report) -> None:
    sizes = {"few": FEW, "many": run.size(MANY)}
    with ExitStack() as open_shops:
        running = {
            name: open_shops.enter_context(servers.serve(big.shop_with_orders(size, run)))
            for name, size in sizes.items()
        }
        sides: dict[str, Side] = {}
        for name, server in running.items():
            tokens = shops.log_all_in(server.port)
            asks = {
                "list": load.again(load.request("GET", "/orders", token=tokens[0])),
                "long list": load.again(load.request("GET", "/orders", token=tokens[1])),
            }
            for what, source in asks.items():
                sides[f"{what}, {name}"] = Side(
                    server, source, run, status=200, clients=1, settles=False
                )
            placing = shops.orders(tokens, shops.skus(big.STOCKED))
            sides[f"place, {name}"] = Side(server, placing, run, clients=1, settles=False)
            sides[f"place by 64, {name}"] = Side(server, placing, run)
        times = interleaved(
            {name: side.median for name, side in sides.items()}, run.rounds(7), run.say
        )
    report.figure("orders", f"{shown(sizes['few'])} and {shown(sizes['many'])}")
    told = {
        "list": f"a customer's list (of {big.REGULARS_ORDERS} orders in both)",
        "long list": f"list of a customer with one order in {big.HEAVY_SHARE} of all",
        "place": "placing an order, one at a time",
        "place by 64": "placing an order, 64 at once",
    }
    for what, text in told.items():
        few, many = times[f"{what}, few"], times[f"{what}, many"]
        report.figure(text, f"{statistics.median(few):.2f} ms and {statistics.median(many):.2f} ms")
        report.target(text, ratio(many, few), "at most", LIMIT, "x")
