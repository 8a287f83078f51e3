"""What a cache saves and what it costs: this process's memory, a shared one, the store alone."""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks import load, servers, shops
from benchmarks.report import Report, interleaved, ratio, spread
from benchmarks.run import Run
from benchmarks.slices import Side
from storekeeper.app import Shop, build_shop, create_tables
from storekeeper.cache.memory import MemoryCache
from storekeeper.cache.rates import MemoryRates, SharedRates
from storekeeper.cache.valkey import ValkeyBudgets
from storekeeper.config import Settings
from storekeeper.domain.types import ProductId
from storekeeper.identity.authenticator import StoreAuthenticator
from storekeeper.services.product_reads import ProductReads
from storekeeper.store.port import ProductQuery
from tools.engines.launch import CREDENTIALS, Missing, running

TITLE = "product reads, first pages, sessions and rates from the store, memory and a shared cache"
PRODUCTS = 200
PER_MINUTE = 1_200
# A node that asks for a client's budget gets so many requests; most clients use them up.
LEASE = PER_MINUTE // 100
PAGE = ProductQuery(limit=50)
SEARCH = ProductQuery(words="lamp made", sort="relevance", limit=50)
Work = Callable[[], Awaitable[Any]]


def run(run: Run, report: Report) -> None:
    """Services of one process, one question after the other; then servers, over HTTP."""
    with ExitStack() as engines:
        try:
            url = engines.enter_context(running("valkey")).url
        except Missing as missing:
            report.skipped = str(missing)
            return
        database = shops.copy_of(shops.small_shop(), shops.folder_of("cache"))
        embedded = Settings(database=str(database), notify_console=False, cache_url=url)
        load.run(_compare("embedded store", embedded, run, report))
        try:
            endpoint = engines.enter_context(running("dynamodb")).url
        except Missing as missing:
            report.notes.append(f"not measured on DynamoDB: {missing}")
        else:
            load.run(_compare("DynamoDB", _of_dynamodb(endpoint, url), run, report))
            report.notes.append(
                "DynamoDB Local stands in for DynamoDB; each look at the real log is a read unit "
                "and a way through the network, which is what is saved there"
            )
        _over_http(database, url, run, report)


def _of_dynamodb(endpoint: str, url: str) -> Settings:
    os.environ.update(CREDENTIALS)
    return Settings(
        store="dynamodb",
        database=str(shops.folder_of("cache-dynamodb") / "shop.db"),
        aws_region="eu-west-1",
        aws_endpoint_url=endpoint,
        secret_key="the same on every node " * 2,
        notify_console=False,
        cache_url=url,
    )


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Shop]:
    await asyncio.to_thread(create_tables, settings)
    shop = await asyncio.to_thread(build_shop, settings)
    try:
        await shop.cache_link.start()
        if await shop.prepare():
            await shops.add_customers(shop)
            await shops.add_products(shop, range(PRODUCTS))
        yield shop
    finally:
        await shop.close()


async def _compare(name: str, settings: Settings, run: Run, report: Report) -> None:
    async with _opened(settings) as shop:
        times = await _timed(await _questions(shop), run)
        for what in ("product", "first page", "search", "session"):
            sides = {side: found for (asked, side), found in times.items() if asked == what}
            told = ", ".join(
                f"{1e6 * statistics.median(found):.0f} us {side}" for side, found in sides.items()
            )
            report.figure(f"{name}: {what}", told)
        for what in ("product", "first page"):
            report.target(
                f"{name}: a {what} from memory, of the time from the store",
                ratio(times[what, "memory"], times[what, "store"]),
                "under",
                1.0,
                "x",
            )
        if settings.store == "sqlite":
            rates = await _timed(_rates(shop), run)
            for (what, side), found in rates.items():
                report.figure(f"{what}, {side}", f"{1e6 * statistics.median(found):.2f} us")


async def _questions(shop: Shop) -> dict[tuple[str, str], Work]:
    """What is asked, and who answers; each a call that answers one question."""
    found = await shop.store.products_by_sku([shops.sku(n).casefold() for n in range(PRODUCTS)])
    ids = itertools.cycle([ProductId(product.id) for product in found.values()])
    clock, far = shop.tools.clock, shop.shared_cache
    near = ProductReads(shop.store, clock, near=MemoryCache())
    shared = ProductReads(shop.store, clock, far=far)
    tokens = await shop.sessions.log_in(
        shops.email(0), shops.PASSWORD, client_address="192.0.2.1", client="benchmark"
    )
    bearer = f"Bearer {tokens.access_token}"
    plain = StoreAuthenticator(shop.store, shop.authenticator._tokens, clock=clock)
    return {
        ("product", "store"): lambda: shop.store.listed([next(ids)]),
        ("product", "memory"): lambda: near.product(next(ids)),
        ("product", "shared"): lambda: shared.product(next(ids)),
        ("first page", "store"): lambda: shop.store.products(PAGE),
        ("first page", "memory"): lambda: near.page(PAGE),
        ("first page", "shared"): lambda: shared.page(PAGE),
        ("search", "store"): lambda: shop.store.products(SEARCH),
        ("search", "memory"): lambda: near.page(SEARCH),
        ("search", "shared"): lambda: shared.page(SEARCH),
        ("session", "store"): lambda: plain.principal_of(bearer),
        ("session", "shared"): lambda: shop.authenticator.principal_of(bearer),
    }


def _rates(shop: Shop) -> dict[tuple[str, str], Work]:
    """A request's rate; each client uses up what the node has leased for it, and no more."""
    budgets = ValkeyBudgets(shop.cache_link, namespace="bench:", per_minute=PER_MINUTE)
    alone = MemoryRates(PER_MINUTE)
    shared = SharedRates(PER_MINUTE, budgets, MemoryRates(PER_MINUTE))
    numbers = itertools.count()

    async def in_memory() -> None:
        alone.take(f"client-{next(numbers) // LEASE}")

    async def of_all_nodes() -> None:
        taken = shared.take(f"client-{next(numbers) // LEASE}")
        if isinstance(taken, Awaitable):
            await taken

    async def without_leases() -> None:
        await budgets.lease(f"client-{next(numbers) // LEASE}", 1)

    return {
        ("rate of a request", "memory"): in_memory,
        ("rate of a request", "shared"): of_all_nodes,
        ("rate of a request", "shared, asked each time"): without_leases,
    }


async def _timed(
    questions: Mapping[tuple[str, str], Work], run: Run
) -> dict[tuple[str, str], list[float]]:
    """Seconds for one answer, in short slices of each in turn."""
    count = run.size(400, least=100)
    found: dict[tuple[str, str], list[float]] = {key: [] for key in questions}
    for work in questions.values():
        for _ in range(PRODUCTS):
            await work()
    for number in range(run.rounds(9)):
        order = list(questions) if number % 2 == 0 else list(questions)[::-1]
        for key in order:
            work = questions[key]
            started = time.perf_counter()
            for _ in range(count):
                await work()
            found[key].append((time.perf_counter() - started) / count)
        run.say(f"round {number + 1} of {len(questions)} questions")
    return found


def _over_http(database: Path, url: str, run: Run, report: Report) -> None:
    """Two servers on shops of their own, one with a shared cache."""
    places = {
        name: shops.copy_of(database, shops.folder_of(f"cache-{name}"))
        for name in ("memory", "shared")
    }
    with (
        servers.serve(places["memory"]) as memory,
        servers.serve(places["shared"], cache_url=url) as shared,
    ):
        sides: dict[str, Side] = {}
        for name, server in (("memory", memory), ("shared", shared)):
            tokens = shops.log_all_in(server.port)
            id = shops.call(server.port, "GET", "/products?limit=1")["items"][0]["id"]
            read = load.again(load.request("GET", f"/products/{id}"))
            sides[f"product page, {name}"] = Side(server, read, run, status=200)
            placing = shops.orders(tokens, shops.skus(shops.SMALL))
            sides[f"order, {name}"] = Side(server, placing, run)
        rates = interleaved(sides, run.rounds(5), run.say)
    for name, side in sides.items():
        report.figure(f"HTTP: {name}", f"{spread(rates[name])}, {side.cost}")
    report.target(
        "orders a second with a shared cache, of those without",
        ratio(rates["order, shared"], rates["order, memory"]),
        "at least",
        0.9,
        "x",
    )
