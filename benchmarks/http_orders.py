"""Durable three-line orders over HTTP against an empty POST through the same framework."""

from __future__ import annotations

from benchmarks import load, servers, shops
from benchmarks.report import Report, interleaved, ratio, shown, spread
from benchmarks.run import Run
from benchmarks.slices import Side

TITLE = "three-line orders with everything on, beside the framework's empty POST"
SHARE = 0.4
P99_MS = 50.0


def run(run: Run, report: Report) -> None:
    """Logged-in customers, validation, pricing, events, ledger, log, metrics, limits, relay."""
    database = shops.copy_of(shops.small_shop(), shops.folder_of("http-orders"))
    with servers.serve(database) as shop, servers.bare() as bare:
        tokens = shops.log_all_in(shop.port)
        orders = Side(shop, shops.orders(tokens, shops.skus(1_000)), run)
        empty = Side(bare, load.again(load.request("POST", "/empty", body=b"{}")), run)
        rates = interleaved({"orders": orders, "empty": empty}, run.rounds(9), run.say)
        confirmed = shops.metric(shop.port, "storekeeper_orders_total", outcome="confirmed")
        flushes = shops.metric(shop.port, "storekeeper_commit_batch_size_count")
        changes = shops.metric(shop.port, "storekeeper_commit_batch_size_sum")
        memory = shop.rss_mib()
    latencies = orders.latencies
    report.figure("orders", f"{spread(rates['orders'])}, {orders.cost}")
    report.figure("empty POST", f"{spread(rates['empty'])}, {empty.cost}")
    report.figure("time to answer an order", f"{load.percentile(latencies, 50):.1f} ms median")
    report.figure("change sets per flush", f"{changes / flushes:.1f}")
    report.figure(
        "orders placed in all", f"{shown(confirmed)}; the server then held {memory:.0f} MiB"
    )
    report.figure("left for the relay after a slice", orders.rest)
    report.figure("load generator", f"{100 * empty.busiest:.0f} % of its core at most")
    report.target(
        "share of the empty POST", ratio(rates["orders"], rates["empty"]), "at least", SHARE
    )
    report.target("99 % of orders answered", load.percentile(latencies, 99), "under", P99_MS, " ms")
    report.target("differences that verify finds", shops.verify(database), "exactly", 0)
