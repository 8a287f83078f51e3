"""A flash sale on four machines: sold to the last unit and not beyond it, by all of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.contract.engines import ENGINES
from tests.support.acknowledged import CLEAN, examine
from tests.support.flash_worker import SKU, place
from tests.support.processes import lines_of, process, wait_for
from tests.support.shop import shop_at

ENGINE = "dynamodb"
PROCESSES = 4
EACH = 1_250
UNITS = 1_000
# A quarter would be fair; nobody may be far from it, however busy the machine of the test is.
LEAST = UNITS // PROCESSES // 5


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_four_processes_sell_a_thousand_units_to_five_thousand_orders(tmp_path: Path) -> None:
    async with shop_at(ENGINES[ENGINE], tmp_path) as shop:
        mug = await shop.sell(SKU, stock=UNITS)
    said = await asyncio.to_thread(sell_out, tmp_path)
    assert len(said) == PROCESSES * EACH
    acknowledged = {key: id for key, id in said.items() if id != "-"}
    assert len(acknowledged) == UNITS
    shares = Counter(key.partition("-")[0] for key in acknowledged)
    print("units sold by process:", dict(shares))
    assert min(shares[f"p{n}"] for n in range(PROCESSES)) >= LEAST, shares
    async with shop_at(ENGINES[ENGINE], tmp_path) as shop:

        async def place_again(key: str) -> str:
            return (await place(shop, key)).order.id

        assert await examine(shop.store, acknowledged, place_again) == CLEAN
        level = await shop.level(mug)
        assert (level.on_hand, level.reserved) == (UNITS, UNITS)


def sell_out(folder: Path) -> dict[str, str]:
    """What all processes said of each key; they begin when all of them are there."""
    with ExitStack() as stack, ThreadPoolExecutor(PROCESSES) as pool:
        worker = ("-m", "tests.support.flash_worker", ENGINE, str(folder))
        workers = [
            stack.enter_context(process(*worker, f"p{n}", str(EACH))) for n in range(PROCESSES)
        ]
        for started in workers:
            wait_for(started, "ready")
        for started in workers:
            assert started.stdin is not None
            started.stdin.write("\n")
            started.stdin.flush()
        said: dict[str, str] = {}
        for lines in pool.map(lambda started: list(lines_of(started)), workers):
            assert lines[-1] == "done"
            said.update(line.split(" ") for line in lines[:-1])  # type: ignore[misc]
        return said
