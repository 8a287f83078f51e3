"""What an order costs before HTTP: placed through the services, in one process, on one core.

The promise of `http_orders` is a share of the framework's empty POST. This shows what of that
budget is left for HTTP once checking, pricing, events, ledger and the flush have taken theirs.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
import uuid
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import uvloop

from benchmarks import load, machine, servers, shops
from benchmarks.report import Report, interleaved, ratio, spread
from benchmarks.run import Run
from benchmarks.slices import Side
from storekeeper.app import Shop, open_shop
from storekeeper.app.serving import tune_collector
from storekeeper.domain.accounts import Account, Principal
from storekeeper.services.base import Call, fingerprint
from storekeeper.services.checkout import LineRequest, PlaceOrder

TITLE = "three-line orders placed through the services, without HTTP, beside the empty POST"
VARIETY = 2_000


def run(run: Run, report: Report) -> None:
    database = shops.copy_of(shops.small_shop(), shops.folder_of("order-path"))
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone,
        servers.bare() as bare,
    ):

        def orders() -> float:
            return alone.submit(_place, database, run.seconds).result()

        empty = Side(bare, load.again(load.request("POST", "/empty", body=b"{}")), run)
        rates = interleaved({"orders": orders, "empty": empty}, run.rounds(9), run.say)
    report.figure("orders without HTTP", spread(rates["orders"]))
    report.figure("empty POST", f"{spread(rates['empty'])}, {empty.cost}")
    report.figure("share of the empty POST", f"{ratio(rates['orders'], rates['empty']):.2f}")
    report.target("differences that verify finds", shops.verify(database), "exactly", 0)


def _place(database: Path, seconds: float) -> float:
    """Orders a second of as many clients as over HTTP, on the server's core."""
    machine.stay_on(machine.server_cores())
    return uvloop.run(_placed(database, seconds))


async def _placed(database: Path, seconds: float) -> float:
    async with open_shop(shops.settings_for(database)) as shop:
        tune_collector()
        found = await shop.store.find(Account, "status", "active", limit=load.CLIENTS)
        people = [Principal(account_id=one.id, role="customer") for one in found.items]
        draw = random.Random(1)
        skus = shops.skus(1_000)
        requests = [
            PlaceOrder(
                lines=tuple(LineRequest(sku=sku, quantity=1) for sku in draw.sample(skus, 3)),
                confirm=True,
            )
            for _ in range(VARIETY)
        ]
        numbers = itertools.count()
        prefix = uuid.uuid4().hex
        started = time.perf_counter()
        end = started + seconds

        async def client(who: Principal) -> None:
            while time.perf_counter() < end:
                number = next(numbers)
                await _order(shop, who, requests[number % VARIETY], f"{prefix}-{number}")

        await asyncio.gather(*(client(people[at % len(people)]) for at in range(load.CLIENTS)))
        return next(numbers) / (time.perf_counter() - started)


async def _order(shop: Shop, who: Principal, request: PlaceOrder, key: str) -> None:
    call = Call(principal=who, key=key, fingerprint=fingerprint("orders.place", request))
    await shop.checkout.place(call, request)
