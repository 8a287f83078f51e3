"""A process killed at any moment loses nothing that it had acknowledged."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.engines import ENGINES
from tests.support.acknowledged import CLEAN, examine
from tests.support.order_worker import SKUS, place
from tests.support.processes import lines_of, process, wait_for
from tests.support.scratch import on_disk
from tests.support.shop import shop_at

ROUNDS = 5


def acknowledged_before_the_kill(
    engine: str, folder: Path, name: str, delay: float
) -> dict[str, str]:
    """Order ids by key, of a process that was killed `delay` seconds after it began."""
    with process("-m", "tests.support.order_worker", engine, str(folder), name, "100000") as worker:
        wait_for(worker, "ready")
        threading.Timer(delay, worker.kill).start()
        return dict(line.split(" ") for line in lines_of(worker))


@pytest.fixture
def disk() -> Iterator[Path]:
    with on_disk() as folder:
        yield folder


@pytest.mark.parametrize("engine", ENGINES)
async def test_after_a_kill_every_acknowledged_order_is_there_once(engine: str, disk: Path) -> None:
    """Each round goes on with the file that the kill before left behind."""
    moments = random.Random(20_300_101)
    acknowledged: dict[str, str] = {}
    async with shop_at(ENGINES[engine], disk) as shop:
        for sku in SKUS:
            await shop.sell(sku, stock=10_000_000)
    for number in range(ROUNDS):
        new = acknowledged_before_the_kill(
            engine, disk, f"round{number}", moments.uniform(0.05, 0.4)
        )
        acknowledged.update(new)
        async with shop_at(ENGINES[engine], disk, node=number) as shop:

            async def place_again(key: str) -> str:
                return (await place(shop, key)).order.id

            assert await examine(shop.store, new, place_again) == CLEAN
    assert acknowledged, "no round was long enough to acknowledge anything"
