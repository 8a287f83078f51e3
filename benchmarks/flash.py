"""A flash sale: everybody wants one product; first how fast, then exactly how many are sold."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks import load, servers, shops
from benchmarks.report import Report, interleaved, ratio, shown, spread
from benchmarks.run import Run
from benchmarks.slices import Side
from storekeeper.app import open_shop
from storekeeper.domain.types import fold_sku

TITLE = "all orders on one product beside orders spread over many; never one sold too many"
SHARE = 0.95
STOCK = 1_000
WANTED = 5_000
RARE = 900_001


def run(run: Run, report: Report) -> None:
    folder = shops.folder_of("flash")
    database = shops.copy_of(shops.small_shop(), folder)
    asyncio.run(_add_rare(database))
    with servers.serve(database) as shop:
        tokens = shops.log_all_in(shop.port)
        spread_out = Side(shop, shops.orders(tokens, shops.skus(1_000), lines=1), run)
        on_one = Side(shop, shops.orders(tokens, [shops.sku(7)], lines=1), run)
        rates = interleaved({"one": on_one, "spread": spread_out}, run.rounds(9), run.say)
        statuses = _sell_out(shop.port, tokens)
    on_hand = asyncio.run(_left(database))
    report.figure("all on one product", f"{spread(rates['one'])}, {on_one.cost}")
    report.figure("spread over 1,000", f"{spread(rates['spread'])}, {spread_out.cost}")
    report.figure("sell-out", ", ".join(f"{shown(n)} answered {s}" for s, n in statuses.items()))
    report.target(
        "share of the spread rate", ratio(rates["one"], rates["spread"]), "at least", SHARE
    )
    report.target(f"sold of {STOCK:,} in stock", statuses[201], "exactly", STOCK)
    report.target("refused as out of stock", statuses[409], "exactly", WANTED - STOCK)
    report.target("left on hand", on_hand, "exactly", 0)
    report.target("differences that verify finds", shops.verify(database), "exactly", 0)


def _sell_out(port: int, tokens: list[str]) -> Counter[int]:
    """5,000 orders for one unit each of what there are 1,000 of."""
    endless = shops.orders(tokens, [shops.sku(RARE)], lines=1)
    left = iter(range(WANTED))
    statuses: Counter[int] = Counter()

    def source() -> tuple[bytes, Any] | None:
        return None if next(left, None) is None else endless()

    def answered(tag: Any, status: int, body: bytes) -> None:
        statuses[status] += 1

    load.send_all(port, source, answered=answered)
    return statuses


async def _add_rare(database: Path) -> None:
    async with open_shop(shops.settings_for(database)) as shop:
        await shops.add_products(shop, [RARE], on_hand=STOCK)


async def _left(database: Path) -> int:
    async with open_shop(shops.settings_for(database)) as shop:
        sku = fold_sku(shops.sku(RARE))
        product = (await shop.store.products_by_sku([sku]))[sku]
        levels = await shop.store.levels([product.id])
        return sum(level.on_hand for level in levels)
