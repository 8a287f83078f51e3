"""Where an order's time goes: `python -m benchmarks.profile_orders [SECONDS]`.

Prints the dearest functions of the event loop and of the writer. The profiler itself makes small
functions look dearer than they are; trust the order, and measure a change with `http_orders`.
"""

from __future__ import annotations

import pstats
import sys

from benchmarks import load, machine, servers, shops

SHOWN = 45


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 4.0
    folder = shops.folder_of("profile")
    database = shops.copy_of(shops.small_shop(), folder)
    machine.stay_on(machine.load_cores())
    with servers.serve(database, profile=folder) as shop:
        source = shops.orders(shops.log_all_in(shop.port), shops.skus(1_000))
        found = load.measure(shop.port, source, seconds).only(201)
        shop.settle()
    print(f"{found.answers} orders, {found.rate:.0f}/s with the profiler on")
    for thread in ("event-loop", "storekeeper-writer"):
        print(f"\n==== {thread}")
        pstats.Stats(str(folder / f"{thread}.prof")).sort_stats("tottime").print_stats(SHOWN)


if __name__ == "__main__":
    main()
