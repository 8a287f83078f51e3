"""A count is set once: what is sold while an import is interrupted or under way stays sold."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.stock import Level
from storekeeper.domain.types import ProductId
from storekeeper.domain.work import Job
from storekeeper.services.base import Call
from storekeeper.services.checkout import LineRequest, PlaceOrder
from storekeeper.services.csv_import import Mode
from storekeeper.services.csv_keeping import Mark, Tally
from storekeeper.services.job_run import Lost, Run
from storekeeper.store.port import MovementQuery
from tests.catalog.desk import ADMIN, CUSTOMER, Desk, desk_at
from tests.csv.files import importing
from tests.csv.test_jobs import body
from tests.csv.test_stock_import import on_hand
from tests.support.builders import moving

ROWS = 60
COUNTS = "sku,on_hand\n" + "".join(f"S{number},100\n" for number in range(ROWS))


async def sell(desk: Desk, sku: str, quantity: int) -> None:
    request = PlaceOrder(lines=(LineRequest(sku=sku, quantity=quantity),), confirm=True)
    await desk.checkout.place(Call(principal=CUSTOMER), request)


async def stocked(desk: Desk, rows: int = ROWS) -> None:
    for number in range(rows):
        await desk.create(f"S{number}")
    desk.importer._chunk = 2


async def until_applied(desk: Desk, job_id: str) -> Job:
    async with asyncio.timeout(30):
        while not (job := await desk.jobs.job(job_id)).applied_line:
            await asyncio.sleep(0)
    return job


async def assert_resumed(desk: Desk, job_id: str) -> None:
    assert await desk.another_runner("the next start").work_off() == 1
    job = await desk.jobs.job(job_id)
    assert (job.state, job.rows, job.updated, job.unchanged) == ("done", ROWS, ROWS, 0)
    assert await on_hand(desk, "S0") == {"main": 60}
    assert await on_hand(desk, f"S{ROWS - 1}") == {"main": 100}
    assert await desk.store.verify() == []


@pytest.mark.parametrize("mode", ["skip_bad", "all_or_nothing"])
async def test_what_is_sold_while_the_shop_restarts_stays_sold(desk: Desk, mode: Mode) -> None:
    await stocked(desk)
    job = await desk.jobs.submit(ADMIN, body(COUNTS), kind="stock", mode=mode)
    await desk.jobs.start()
    await until_applied(desk, job.id)
    await desk.jobs.stop()
    stopped = await desk.jobs.job(job.id)
    assert (stopped.state, stopped.rows < ROWS) == ("waiting", True)
    await sell(desk, "S0", 40)
    await assert_resumed(desk, job.id)


async def test_what_is_sold_after_a_crash_stays_sold(tmp_path: Path) -> None:
    async with desk_at(tmp_path) as desk:
        await stocked(desk)
        job = await desk.jobs.submit(ADMIN, body(COUNTS), kind="stock", mode="skip_bad")
        task = asyncio.create_task(desk.another_runner("dies").work_off())
        await until_applied(desk, job.id)
        task.cancel()
        await asyncio.wait([task])
        found = await desk.jobs.job(job.id)
        # What a kill leaves.
        crashed = replace(found, state="running", version=found.version + 1)
        await desk.store.commit(ChangeSet(puts=(Put(crashed),)))
        await sell(desk, "S0", 40)
    async with desk_at(tmp_path, node=1) as desk:
        desk.importer._chunk = 2
        await assert_resumed(desk, job.id)


async def test_a_row_that_changed_nothing_is_not_set_later_either(desk: Desk) -> None:
    await stocked(desk)
    await desk.count("S0", 100)
    await desk.count("S1", 100)
    job = await desk.jobs.submit(ADMIN, body(COUNTS), kind="stock")
    await desk.jobs.start()
    await until_applied(desk, job.id)
    await desk.jobs.stop()
    await sell(desk, "S0", 40)
    await desk.another_runner("the next start").work_off()
    done = await desk.jobs.job(job.id)
    assert (done.updated, done.unchanged) == (ROWS - 2, 2)
    assert await on_hand(desk, "S0") == {"main": 60}


async def test_a_process_that_lost_its_job_writes_no_more_of_it(desk: Desk) -> None:
    """Two processes at one file would set counts twice."""
    product = await desk.create("S0")
    job = await desk.jobs.submit(ADMIN, body(COUNTS), kind="stock")
    tenure = desk.jobs._tenure
    errors = desk.folder / "errors.csv"
    run = Run(desk.tools, tenure, job, errors, lease_seconds=15, tick_seconds=1)
    await run.begin()
    taken_over = replace(run.job, version=run.job.version + 1)
    await desk.store.commit(ChangeSet(puts=(Put(taken_over),)))
    with pytest.raises(Lost):
        await run.keep(moving(product, 100), Mark(line=2, tally=Tally()))
    assert await on_hand(desk, "S0") == {}
    assert await desk.jobs.job(job.id) == taken_over


async def test_bad_rows_are_told_once_after_a_restart(desk: Desk) -> None:
    await stocked(desk)
    lines = COUNTS.splitlines()
    for line in (1, 3, 40, 61):
        lines.insert(line, f"'=UNKNOWN{line},5")
    text = "\n".join(lines) + "\n"
    job = await desk.jobs.submit(ADMIN, body(text), kind="stock", mode="skip_bad")
    await desk.jobs.start()
    await until_applied(desk, job.id)
    await desk.jobs.stop()
    await desk.another_runner("the next start").work_off()
    done = await desk.jobs.job(job.id)
    told = "".join([piece async for piece in await desk.jobs.errors(job.id)])
    assert [row.partition(",")[0] for row in told.splitlines()] == ["line", "2", "4", "41", "62"]
    assert [error.line for error in done.errors] == [2, 4, 41, 62]
    assert (done.rows, done.updated, done.failed) == (ROWS + 4, ROWS, 4)


async def test_an_import_gets_through_while_the_shop_sells(desk: Desk) -> None:
    """All of a large chunk was refused whenever one of its products sold in between."""
    await stocked(desk, 100)
    desk.importer._chunk = 100
    for number in range(40):
        await desk.count(f"S{number}", 10_000)
    is_over = False

    async def selling(sku: str) -> int:
        sold = 0
        while not is_over:
            await sell(desk, sku, 1)
            sold += 1
            await asyncio.sleep(0.005)  # the customer's pace
        return sold

    sellers = [asyncio.create_task(selling(f"S{number}")) for number in range(40)]
    text = "sku,on_hand\n" + "".join(f"S{number},20000\n" for number in range(100))
    try:
        done = await importing(desk, text, "stock")
    finally:
        is_over = True
        sold = await asyncio.gather(*sellers)
    assert done.figures() == (0, 100, 0, 0), done.errors
    assert min(sold) > 0
    for number in (40, 99):
        assert await on_hand(desk, f"S{number}") == {"main": 20_000}
    assert 10_000 < (await on_hand(desk, "S0"))["main"] <= 20_000
    assert await desk.store.verify() == []


async def test_a_product_that_sells_without_a_pause_is_counted_all_the_same(desk: Desk) -> None:
    """Whoever bought one SKU in a tight loop kept its row of an import from ever being applied."""
    await stocked(desk, 1)
    await desk.count("S0", 100_000)
    is_over, sold = False, 0

    async def buying() -> None:
        nonlocal sold
        while not is_over:
            await sell(desk, "S0", 1)
            sold += 1

    buyers = [asyncio.create_task(buying()) for _ in range(8)]
    try:
        while not sold:
            await asyncio.sleep(0)
        async with asyncio.timeout(20):
            done = await importing(desk, "sku,on_hand\nS0,50000\n", "stock")
        sold_until_then = sold
    finally:
        is_over = True
        await asyncio.gather(*buyers)
    assert done.figures() == (0, 1, 0, 0), done.errors
    ledger = await desk.store.movements(MovementQuery(limit=100_000))
    (imported,) = [one.on_hand for one in ledger.items if one.reason == "imported"]
    # No sale is lost: the ledger has each of them beside the one difference.
    assert await on_hand(desk, "S0") == {"main": 100_000 + imported - sold}
    # The difference is that to the units of a moment before the import's end.
    assert -50_000 <= imported <= -50_000 + sold_until_then
    assert await desk.store.verify() == []


async def unsteady(desk: Desk, monkeypatch: pytest.MonkeyPatch, busy: Product) -> None:
    """Whenever the product's units are read, some are sold before anything else can happen."""
    levels = desk.store.levels

    async def levels_that_move(product_ids: Sequence[ProductId]) -> list[Level]:
        found = await levels(product_ids)
        if busy.id in product_ids:
            await desk.store.commit(moving(busy, -1))
        return found

    monkeypatch.setattr(desk.store, "levels", levels_that_move)


async def test_a_row_gets_through_in_few_tries_and_takes_off_what_sold_since(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stocked(desk, 4)
    await desk.count("S1", 1_000)
    desk.importer._chunk = 4
    await unsteady(desk, monkeypatch, (await desk.store.products_by_sku(["s1"]))["s1"])
    text = "sku,on_hand\n" + "".join(f"S{number},50\n" for number in range(4))
    done = await importing(desk, text, "stock", mode="skip_bad")
    assert done.figures() == (0, 4, 0, 0)
    assert await on_hand(desk, "S1") == {"main": 49}, "counted 50, and one of them was sold since"
    ledger = await desk.store.movements(MovementQuery(sku="s1", limit=100))
    assert len(ledger.items) < 20
    assert await desk.store.verify() == []


async def test_a_count_below_what_was_reserved_meanwhile_is_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its guard on the units, a row may still not take away what is promised."""
    await stocked(desk, 1)
    await desk.count("S0", 100)
    desk.importer._chunk = 1
    levels = desk.store.levels

    async def levels_that_move(product_ids: Sequence[ProductId]) -> list[Level]:
        found = await levels(product_ids)
        await sell(desk, "S0", 1)
        await desk.order("S0", 3)
        return found

    monkeypatch.setattr(desk.store, "levels", levels_that_move)
    done = await importing(desk, "sku,on_hand\nS0,12\n", "stock", mode="skip_bad")
    monkeypatch.undo()
    assert done.bad() == [(2, "on_hand")]
    assert await desk.store.verify() == []


async def test_a_row_whose_product_is_edited_all_the_time_is_told_and_the_others_are_kept(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stocked(desk, 4)
    desk.importer._chunk = 4
    by_sku = await desk.store.products_by_sku(["s1"])
    busy, levels = by_sku["s1"], desk.store.levels

    async def levels_beside_edits(product_ids: Sequence[ProductId]) -> list[Level]:
        nonlocal busy
        if busy.id in product_ids:
            busy = replace(busy, version=busy.version + 1)
            await desk.store.commit(ChangeSet(puts=(Put(busy),)))
        return await levels(product_ids)

    monkeypatch.setattr(desk.store, "levels", levels_beside_edits)
    text = "sku,on_hand\n" + "".join(f"S{number},50\n" for number in range(4))
    done = await importing(desk, text, "stock", mode="skip_bad")
    assert (done.bad(), done.figures()) == ([(3, "sku")], (0, 3, 0, 1))
    assert await on_hand(desk, "S3") == {"main": 50}
