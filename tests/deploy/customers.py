"""Customers who go on ordering while a shop is replaced, and what became of each order."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.cli.terminal import PATIENCE_S, Terminal, eventually

SKU = "MUG"
STOCK = 1_000_000
# Of one customer, between two orders: the processor is the shop's most of the time.
PAUSE_S = 0.1


@dataclass
class Told:
    """What customers were told: the order of each key, and whatever else than 201 came."""

    orders: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def grows(self, by: int) -> None:
        """Waits until as many more have ordered; what failed is told at once."""
        aim = len(self.orders) + by
        eventually(lambda: self.failures or len(self.orders) >= aim)
        assert self.failures == []


def stock_up(terminal: Terminal) -> None:
    (terminal.folder / "goods.csv").write_text(f"sku,name,price,currency\n{SKU},A mug,9.99,GBP\n")
    (terminal.folder / "stock.csv").write_text(f"sku,location,on_hand\n{SKU},main,{STOCK}\n")
    terminal.ok("import", "products", "goods.csv")
    terminal.ok("import", "stock", "stock.csv")


def place(http: httpx.Client, url: str, key: str) -> httpx.Response:
    body = {
        "lines": [{"sku": SKU, "quantity": 1}],
        "email": f"{key}@example.com",
        "confirm": True,
    }
    return http.post(f"{url}/orders", json=body, headers={"Idempotency-Key": key})


@contextlib.contextmanager
def ordering(
    url: str, *, customers: int = 4, pause_s: float = PAUSE_S, **client: Any
) -> Iterator[Told]:
    """Each sends one order after the other, each under a key of its own and only once, and, as
    proxies are told to, each on a connection of its own."""
    once = httpx.Limits(max_keepalive_connections=0)
    told, is_over = Told(), threading.Event()

    def customer(number: int) -> None:
        with httpx.Client(timeout=PATIENCE_S, trust_env=False, limits=once, **client) as http:
            for turn in itertools.count():
                if is_over.wait(pause_s):
                    return
                key = f"k-{number}-{turn}"
                try:
                    answer = place(http, url, key)
                except httpx.HTTPError as error:
                    told.failures.append(f"{key}: {error!r}")
                    continue
                if answer.status_code == 201:
                    told.orders[key] = answer.json()["id"]
                else:
                    told.failures.append(f"{key}: {answer.status_code} {answer.text[:200]}")

    threads = [threading.Thread(target=customer, args=(number,)) for number in range(customers)]
    for thread in threads:
        thread.start()
    try:
        yield told
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def assert_all_there_once(told: Told, database: Path) -> None:
    """Every order that was acknowledged is there, and nothing but these."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as shop:
        kept = [id for (id,) in shop.execute("SELECT id FROM orders")]
    assert sorted(kept) == sorted(told.orders.values())
    assert told.failures == []


def assert_stock_is_conserved(told: Told, database: Path) -> None:
    """Each order that was acknowledged took its one unit, and nothing else took or brought any."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as shop:
        levels = shop.execute("SELECT on_hand, reserved FROM stock").fetchall()
    assert levels == [(STOCK - len(told.orders), 0)]
