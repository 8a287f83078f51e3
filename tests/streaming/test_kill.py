"""Shop and stream are killed at any moment, over and over; the drill afterwards finds every order.

`make backup-drill` does more rounds (BACKUP_DRILL_ROUNDS).
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import msgspec
import pytest

from storekeeper.app import restore_from
from storekeeper.store.sqlite.streaming import state
from tests.cli.terminal import Terminal, eventually
from tests.contract.engines import sqlite
from tests.streaming.buckets import endpoint, new_bucket, settings_of
from tests.support import warm
from tests.support.order_worker import SKUS
from tests.support.processes import lines_of, process, wait_for
from tests.support.scratch import on_disk
from tests.support.shop import shop_at

_MORE = os.environ.get("BACKUP_DRILL_ROUNDS")
ROUNDS = int(_MORE or "1")
KINDS = ("folder", "bucket") if _MORE else ("folder",)


class Drill:
    """A shop on a disk, the command that streams it, and what customers were told and when."""

    def __init__(self, folder: Path, target: str, moments: random.Random) -> None:
        self.folder = folder
        self.database = folder / "shop.db"
        self.target = target
        self.moments = moments
        self.terminal = Terminal(folder)
        self.terminal.environment["STOREKEEPER_BACKUP_TARGET"] = target
        if target.startswith("s3:"):
            self.terminal.environment |= {
                "STOREKEEPER_BACKUP_ENDPOINT_URL": endpoint(),
                "STOREKEEPER_AWS_REGION": "eu-west-1",
            }
        self.acknowledged: dict[str, float] = {}

    @contextlib.contextmanager
    def streaming(self) -> Iterator[warm.Started]:
        """The command beside the shop, ended by the block or killed after it."""
        stream = self.terminal.start("backup", "--continuous", "--database", str(self.database))
        try:
            yield stream
        finally:
            stream.kill()
            stream.wait()
            stream.stdout.close()

    def order(self, name: str) -> None:
        """Until the process that takes the orders is killed."""
        with process(
            "-m", "tests.support.order_worker", "sqlite", str(self.folder), name, "100000"
        ) as worker:
            wait_for(worker, "ready")
            threading.Timer(self.moments.uniform(0.1, 0.4), worker.kill).start()
            for line in lines_of(worker):
                # It was acknowledged before it was read.
                self.acknowledged[line.split(" ")[1]] = time.time()

    def safe_until(self) -> float:
        known = state.read(self.database)
        return known.safe_until.timestamp() if known and known.safe_until else 0.0

    async def restored(self, name: str) -> tuple[set[str], float]:
        """The orders that are in a shop put together elsewhere, and of what moment it is."""
        place = self.folder / name / "shop.db"
        place.parent.mkdir()
        settings = msgspec.structs.replace(settings_of(place.parent), database=str(place))
        done = await restore_from(settings, self.target, at=None, watch=lambda done: None)
        assert done.differences == []
        return orders_in(place), done.until.timestamp()

    def restored_by_hand(self, name: str) -> set[str]:
        """The same as people do it."""
        place = self.folder / name / "shop.db"
        place.parent.mkdir()
        at = ("--database", str(place), "--json")
        told = self.terminal.ok("restore", self.target, *at).json
        assert told["differences"] == []
        if _MORE:
            assert self.terminal.ok("verify", *at).json["differences"] == []
            again = self.terminal.ok("backup", "--status", self.target, "--json").json
            assert again["until"] >= told["until"]
        return orders_in(place)


def orders_in(database: Path) -> set[str]:
    connection = apsw.Connection(str(database))
    try:
        return {id for (id,) in connection.execute("SELECT id FROM orders")}
    finally:
        connection.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A real one for the long run; the system keeps what a killed process wrote to either."""
    with on_disk() if _MORE else contextlib.nullcontext(tmp_path) as folder:
        yield folder


@pytest.mark.parametrize("kind", KINDS)
async def test_after_kills_of_shop_and_stream_each_order_older_than_the_lag_is_restored(
    kind: str, disk: Path
) -> None:
    target = f"s3://{await new_bucket()}/shop" if kind == "bucket" else str(disk / "target")
    (disk / "target").mkdir()
    moments = random.Random(20_300_101)
    drill = Drill(disk, target, moments)
    async with shop_at(sqlite, disk) as shop:
        for sku in SKUS:
            await shop.sell(sku, stock=10_000_000)
    for number in range(ROUNDS):
        with drill.streaming() as stream:
            drill.order(f"round{number}")
            eventually(drill.safe_until)
            time.sleep(moments.uniform(0, 0.5))
            stream.kill()
        told = drill.safe_until()
        found, until = await drill.restored(f"drill{number}")
        expected = {id for id, at in drill.acknowledged.items() if at <= told}
        assert expected <= found
        assert {id for id, at in drill.acknowledged.items() if at <= until} <= found
    with drill.streaming() as stream:
        drill.order("last")
        eventually(lambda: drill.safe_until() > max(drill.acknowledged.values()))
        stream.send_signal(signal.SIGTERM)
        assert stream.wait(30) == 0, drill.terminal.errors()
    assert drill.acknowledged.keys() <= drill.restored_by_hand("at-the-end")
