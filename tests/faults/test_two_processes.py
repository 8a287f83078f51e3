"""Several processes on one shop share its stock without selling a unit twice."""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.contract.engines import ENGINES
from tests.support.acknowledged import CLEAN, examine
from tests.support.order_worker import SKUS, place
from tests.support.processes import lines_of, process, wait_for
from tests.support.shop import shop_at

PROCESSES = 2
EACH = 750
STOCK = 1_000


@pytest.mark.parametrize("engine", ENGINES)
async def test_two_processes_sell_exactly_what_there_is(engine: str, tmp_path: Path) -> None:
    async with shop_at(ENGINES[engine], tmp_path) as shop:
        mug, tea = [await shop.sell(sku, stock=STOCK) for sku in SKUS]
    said = await asyncio.to_thread(run_beside_each_other, engine, tmp_path)
    acknowledged = {key: id for key, id in said.items() if id != "-"}
    assert len(said) == PROCESSES * EACH
    async with shop_at(ENGINES[engine], tmp_path) as shop:

        async def place_again(key: str) -> str:
            return (await place(shop, key)).order.id

        assert await examine(shop.store, acknowledged, place_again) == CLEAN
        assert sum((await shop.store.summary()).orders.values()) == len(acknowledged)
        # Every order takes a mug, so the mugs ran out first, to the last that an order could use.
        assert 0 <= (await shop.level(mug)).available <= 1
        assert (await shop.level(tea)).available >= 0


def run_beside_each_other(engine: str, folder: Path) -> dict[str, str]:
    """What all processes said of each key."""
    with ExitStack() as stack:
        workers = [
            stack.enter_context(
                process("-m", "tests.support.order_worker", engine, str(folder), f"p{n}", str(EACH))
            )
            for n in range(PROCESSES)
        ]
        said: dict[str, str] = {}
        for worker in workers:
            lines = list(lines_of(worker))
            assert (lines[0], lines[-1]) == ("ready", "done")
            said.update(line.split(" ") for line in lines[1:-1])  # type: ignore[misc]
        return said


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_process_that_is_killed_leaves_the_other_working(
    engine: str, tmp_path: Path
) -> None:
    """The one that dies may hold every lock there is; the other goes on and both keep their word."""
    async with shop_at(ENGINES[engine], tmp_path) as shop:
        for sku in SKUS:
            await shop.sell(sku, stock=1_000_000)
    said = await asyncio.to_thread(run_and_kill_one, engine, tmp_path)
    assert len([key for key in said if key.startswith("stays")]) == EACH
    async with shop_at(ENGINES[engine], tmp_path) as shop:

        async def place_again(key: str) -> str:
            return (await place(shop, key)).order.id

        assert await examine(shop.store, said, place_again) == CLEAN


def run_and_kill_one(engine: str, folder: Path) -> dict[str, str]:
    """What both said, the one that was killed while the other was at work included."""
    worker = ("-m", "tests.support.order_worker", engine, str(folder))
    with process(*worker, "dies", "1000000") as dies, process(*worker, "stays", str(EACH)) as stays:
        wait_for(stays, "ready")
        wait_for(dies, "ready")
        threading.Timer(0.1, dies.kill).start()
        said = [*lines_of(dies), *lines_of(stays)]
    assert said.pop() == "done"
    return dict(line.split(" ") for line in said)


@pytest.mark.parametrize("engine", ENGINES)
def test_processes_that_open_a_new_shop_at_the_same_moment_all_get_it(
    engine: str, tmp_path: Path
) -> None:
    """`serve --workers 4` on a fresh machine: one of them makes the tables, the others wait."""
    for attempt in range(2):
        place = tmp_path / str(attempt)
        with ExitStack() as stack:
            workers = [
                stack.enter_context(
                    process("-m", "tests.support.order_worker", engine, str(place), "p", "0")
                )
                for _ in range(4)
            ]
            for worker in workers:
                assert list(lines_of(worker)) == ["ready", "done"], worker.stderr.read()  # type: ignore[union-attr]
