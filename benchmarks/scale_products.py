"""Whether a shop with a million products answers as fast as one with a thousand."""

from __future__ import annotations

import statistics
from contextlib import ExitStack

from benchmarks import big, load, servers, shops
from benchmarks.report import Report, interleaved, ratio, shown
from benchmarks.run import Run
from benchmarks.slices import Side

TITLE = "first page of products, and placing an order, with 1,000,000 products beside 1,000"
FEW = 1_000
MANY = 1_000_000
LIMIT = 1.5
# Different orders that are built beforehand: enough to meet most of what a cache doesn't hold.
VARIETY = 50_000


def run(run: Run, report: Report) -> None:
    sizes = {"few": FEW, "many": run.size(MANY)}
    with ExitStack() as open_shops:
        running = {
            name: open_shops.enter_context(servers.serve(big.shop_with_products(size, run)))
            for name, size in sizes.items()
        }
        sides: dict[str, Side] = {}
        for name, server in running.items():
            tokens = shops.log_all_in(server.port)
            page = load.again(load.request("GET", "/products"))
            sides[f"page, {name}"] = Side(server, page, run, status=200, clients=1, settles=False)
            same = shops.orders(tokens, shops.skus(FEW))
            sides[f"place, {name}"] = Side(server, same, run, clients=1, settles=False)
            sides[f"place by 64, {name}"] = Side(server, same, run)
            anything = shops.orders(tokens, shops.skus(sizes[name]), variety=VARIETY)
            sides[f"place anything, {name}"] = Side(server, anything, run, clients=1, settles=False)
        times = interleaved(
            {name: side.median for name, side in sides.items()}, run.rounds(7), run.say
        )
    report.figure("products", f"{shown(sizes['few'])} and {shown(sizes['many'])}")
    promised = {
        "page": "first page of GET /products",
        "place": "placing an order of well-selling products, one at a time",
        "place by 64": "placing an order of well-selling products, 64 at once",
    }
    told = promised | {"place anything": "placing an order of any products, one at a time"}
    for what, text in told.items():
        few, many = times[f"{what}, few"], times[f"{what}, many"]
        report.figure(
            text,
            f"{statistics.median(few):.2f} ms and {statistics.median(many):.2f} ms, "
            f"{ratio(many, few):.2f}x",
        )
        if what in promised:
            report.target(text, ratio(many, few), "at most", LIMIT, "x")
    report.notes.append(
        "products drawn evenly from the whole million are nearly never among the 10,000 that the "
        "catalogue's cache holds, so each order looks its products up, as the first order of a "
        "product does in any shop; that is what the last line shows, beside a small shop that "
        "has them all at hand"
    )
