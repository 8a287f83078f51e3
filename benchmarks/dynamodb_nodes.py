"""One, two and four nodes on one table: a flash sale over HTTP, and orders a second side by side."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import dynamodb_shops, load, machine, servers, shops
from benchmarks.report import Report, shown
from benchmarks.run import Run
from benchmarks.servers import Server
from storekeeper.app import open_shop
from storekeeper.config import Settings
from storekeeper.domain.types import fold_sku

TITLE = "a flash sale on one, two and four nodes that share one table; never one sold too many"
NODES = (1, 2, 4)
STOCK = 1_000
WANTED = 5_000
PRODUCTS = 100
ORDERS = 2_000
# A node that gets less than this part of its even share starves.
LEAST_SHARE = 0.2


def run(run: Run, report: Report) -> None:
    folder = shops.folder_of("dynamodb-nodes")
    with dynamodb_shops.local_engine(report) as url:
        if not url:
            return
        for nodes in NODES:
            run.say(f"{nodes} node{'' if nodes == 1 else 's'}")
            _measure(nodes, folder / str(nodes), url, run, report)
    report.notes.append(
        f"{len(machine.cores())} cores for all nodes, the local engine and the load generator "
        "together: the figures show a shape, not what machines of their own would do"
    )


def _measure(nodes: int, folder: Path, url: str, run: Run, report: Report) -> None:
    stock, wanted = run.size(STOCK, 100), run.size(WANTED, 500)
    prefix = dynamodb_shops.new_prefix()
    places = [
        dynamodb_shops.settings_at(folder / f"node-{number}", url, prefix)
        for number in range(nodes)
    ]
    dynamodb_shops.make_shop(places[0], PRODUCTS)
    asyncio.run(_put_on_sale(places[0], stock))
    with contextlib.ExitStack() as opened:
        running = [opened.enter_context(_serve(settings)) for settings in places]
        ports = [node.port for node in running]
        tokens = shops.log_all_in(ports[0])
        spread_out = _sent(ports, tokens, shops.skus(PRODUCTS), run.size(ORDERS, 200))
        sale = _sent(ports, tokens, [shops.sku(PRODUCTS)], wanted)
    left, differences = asyncio.run(_after(places[0]))
    sold = Counter[int]()
    for (node, status), count in sale.answers.items():
        if status == 201:
            sold[node] += count
    many = f"{nodes} node{'' if nodes == 1 else 's'}"
    report.figure(f"{many}: orders spread over {PRODUCTS} products", f"{shown(spread_out.rate)}/s")
    report.figure(
        f"{many}: flash sale",
        f"{shown(sale.rate)} answers/s; sold by each node: "
        + ", ".join(f"{sold[node]:,}" for node in range(nodes)),
    )
    report.target(f"{many}: sold of {stock:,} in stock", sold.total(), "exactly", stock)
    report.target(f"{many}: refused", sale.refused, "exactly", wanted - stock)
    report.target(f"{many}: left on hand", left, "exactly", 0)
    report.target(f"{many}: differences that verify finds", differences, "exactly", 0)
    if nodes > 1:
        report.target(
            f"{many}: the smallest part of an even share of the sale",
            min(sold[node] for node in range(nodes)) * nodes / stock,
            "at least",
            LEAST_SHARE,
        )


class _Sent:
    """What came back: how many answers of each status from each node, and how many a second."""

    def __init__(self, rate: float, answers: Counter[tuple[int, int]]) -> None:
        self.rate = rate
        self.answers = answers

    @property
    def refused(self) -> int:
        return sum(count for (_, status), count in self.answers.items() if status == 409)


def _sent(ports: Sequence[int], tokens: list[str], skus: list[str], orders: int) -> _Sent:
    """So many orders of one unit; every node has its own clients, who take from one heap."""
    endless = shops.orders(tokens, skus, lines=1)
    left = iter(range(orders))
    answers: Counter[tuple[int, int]] = Counter()

    def source() -> tuple[bytes, Any] | None:
        return None if next(left, None) is None else endless()

    async def from_one(node: int, port: int) -> load.Slice:
        def answered(tag: Any, status: int, body: bytes) -> None:
            answers[node, status] += 1

        return await load.send_all_from(
            port, source, clients=load.CLIENTS // len(ports), answered=answered
        )

    async def all_nodes() -> float:
        slices = await asyncio.gather(*(from_one(node, port) for node, port in enumerate(ports)))
        return sum(one.answers for one in slices) / max(one.seconds for one in slices)

    return _Sent(load.run(all_nodes()), answers)


def _serve(settings: Settings) -> Server:
    return servers.serve(
        Path(settings.database),
        cores=set(machine.cores()),
        **dynamodb_shops.environment_of(settings),
    )


async def _put_on_sale(settings: Settings, stock: int) -> None:
    async with open_shop(settings) as shop:
        await shops.add_products(shop, [PRODUCTS], on_hand=stock)


async def _after(settings: Settings) -> tuple[int, int]:
    """Units on hand of what was on sale, and the differences that verify finds."""
    async with open_shop(settings) as shop:
        sku = fold_sku(shops.sku(PRODUCTS))
        product = (await shop.store.products_by_sku([sku]))[sku]
        levels = await shop.store.levels([product.id])
        return sum(level.on_hand for level in levels), len(await shop.store.verify())
