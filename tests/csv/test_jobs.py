"""An upload that was taken is worked off once, whatever happens to the process that took it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.work import Job
from storekeeper.services.catalog import ProductPatch
from storekeeper.services.csv_import import Mode
from storekeeper.services.jobs import Jobs
from tests.catalog.desk import ADMIN, BY_ADMIN, Desk, desk_at
from tests.csv.files import importing, products

HEADER = "sku,name,price\n"
TWO = HEADER + "MUG,Mug,9.99\nCUP,Cup,5\n"
LONG = HEADER + "".join(f"P{number},Product {number},1\n" for number in range(6_000))


async def body(text: str) -> AsyncIterator[bytes]:
    yield text.encode()


async def submitted(desk: Desk, text: str = TWO, **options: Any) -> Job:
    return await desk.jobs.submit(ADMIN, body(text), kind="products", **options)


async def ended(jobs: Jobs, job_id: str) -> Job:
    async with asyncio.timeout(30):
        while True:
            job = await jobs.job(job_id)
            if job.state in ("done", "failed"):
                return job
            await asyncio.sleep(0.01)


async def gone(path: Path) -> None:
    async with asyncio.timeout(30):
        while path.exists():
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running(jobs: Jobs) -> AsyncIterator[None]:
    await jobs.start()
    try:
        yield
    finally:
        await jobs.stop()


async def test_an_upload_becomes_a_job_that_can_be_followed_to_its_end(
    desk: Desk, admin: httpx.AsyncClient
) -> None:
    taken = await admin.post(
        "/products/import?mode=skip_bad",
        content=(TWO + "BAD,Bad,x\n=EVIL,,1\n").encode(),
        headers={"Content-Type": "text/csv"},
    )
    assert taken.status_code == 202, taken.text
    where = taken.headers["Location"]
    assert (taken.json()["state"], taken.json()["bytes_done"]) == ("waiting", 0)
    async with running(desk.jobs):
        await ended(desk.jobs, taken.json()["id"])
        # The upload is not needed any more.
        await gone(desk.folder / f"{taken.json()['id']}.csv")
    job = (await admin.get(where)).json()
    assert (job["state"], job["mode"], job["created_by"]) == ("done", "skip_bad", "admin:ada")
    assert (job["created"], job["failed"], job["rows"]) == (2, 2, 4)
    assert job["bytes_done"] == job["bytes_total"] > 0
    assert [(error["line"], error["field"]) for error in job["errors"]] == [
        (4, "price"),
        (5, "name"),
    ]
    bad = await admin.get(f"{where}/errors")
    assert bad.headers["Content-Type"].startswith("text/csv")
    assert bad.text.splitlines()[0] == "line,field,reason"
    assert bad.text.splitlines()[1].startswith("4,price,'x' is not an amount")
    assert set(await products(desk)) == {"MUG", "CUP"}
    assert [item["id"] for item in (await admin.get("/jobs")).json()["items"]] == [job["id"]]


async def test_stock_is_imported_by_staff(desk: Desk) -> None:
    await desk.create("MUG")
    async with desk.client("staff") as staff:
        answer = await staff.post("/stock/import", content=b"sku,on_hand\nMUG,5\n")
        await desk.jobs.work_off()
        job = (await staff.get(answer.headers["Location"])).json()
    assert (job["kind"], job["state"], job["updated"]) == ("stock", "done", 1)


async def test_a_file_with_a_bad_row_fails_whole_and_says_so(desk: Desk) -> None:
    job = await submitted(desk, TWO + "BAD,Bad,x\n")
    await desk.jobs.work_off()
    job = await desk.jobs.job(job.id)
    assert (job.state, job.rows, job.failed) == ("failed", 3, 1)
    assert (job.created, job.updated, job.unchanged) == (0, 0, 0), "none of them was kept"
    assert "nothing was written" in job.message
    assert await products(desk) == {}


async def test_a_job_that_broke_off_before_it_wrote_counts_no_row_as_kept(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the checking had counted was shown as if it had been made."""
    job = await submitted(desk, LONG)
    asked, by_sku = 0, desk.store.products_by_sku

    async def that_breaks(skus: Sequence[str]) -> dict[str, Product]:
        nonlocal asked
        asked += 1
        if asked > 3:
            await asyncio.sleep(0.05)  # the job tells of its progress meanwhile
            raise ZeroDivisionError
        return await by_sku(skus)

    monkeypatch.setattr(desk.store, "products_by_sku", that_breaks)
    await desk.another_runner("unlucky", tick_seconds=0.01).work_off()
    job = await desk.jobs.job(job.id)
    assert (job.state, job.phase, job.rows > 0) == ("failed", "checking", True)
    assert (job.created, job.updated, job.unchanged) == (0, 0, 0)
    assert "nothing was written" in job.message


async def test_a_job_that_broke_off_while_it_wrote_says_what_is_kept(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await submitted(desk, LONG, mode="skip_bad")
    by_sku = desk.store.products_by_sku

    async def that_breaks(skus: Sequence[str]) -> dict[str, Product]:
        if "p3000" in skus:
            raise ZeroDivisionError
        return await by_sku(skus)

    monkeypatch.setattr(desk.store, "products_by_sku", that_breaks)
    await desk.jobs.work_off()
    job = await desk.jobs.job(job.id)
    kept = len(await products(desk))
    assert (job.state, job.created) == ("failed", kept)
    assert f"the rows up to line {kept + 1} are written" in job.message


async def test_a_file_that_is_none_fails_with_the_reason(desk: Desk) -> None:
    job = await submitted(desk, "colour,size\n")
    await desk.jobs.work_off()
    job = await desk.jobs.job(job.id)
    assert (job.state, job.errors[0].field) == ("failed", "header")
    assert "colour" in job.message


async def test_a_dry_run_ends_well_and_writes_nothing(desk: Desk) -> None:
    job = await submitted(desk, TWO + "BAD,Bad,x\n", dry_run=True)
    await desk.jobs.work_off()
    job = await desk.jobs.job(job.id)
    assert (job.state, job.created, job.failed) == ("done", 2, 1)
    assert await products(desk) == {}


async def test_a_retried_upload_is_one_job(desk: Desk, admin: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "monday"}
    first = await admin.post("/products/import", content=TWO.encode(), headers=headers)
    again = await admin.post("/products/import", content=TWO.encode(), headers=headers)
    assert first.json()["id"] == again.json()["id"]
    assert len(list(desk.folder.glob("*.csv"))) == 1
    other = await admin.post("/products/import", content=LONG.encode(), headers=headers)
    assert other.json()["code"] == "idempotency_key_reused"
    assert len(list(desk.folder.iterdir())) == 1


@pytest.mark.parametrize("says_its_size", [True, False])
async def test_an_upload_past_the_limit_leaves_nothing(desk: Desk, says_its_size: bool) -> None:
    desk.jobs.max_upload_bytes = 1_000
    async with desk.client("admin") as admin:
        content: Any = LONG.encode() if says_its_size else body(LONG)
        answer = await admin.post("/products/import", content=content)
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    assert not desk.folder.exists() or not list(desk.folder.iterdir())
    assert not (await desk.jobs.list_jobs(limit=5)).items


async def test_uploads_may_be_larger_than_other_bodies(desk: Desk) -> None:
    big = HEADER + "".join(f"P{number},{'x' * 150},1\n" for number in range(1_000))
    assert len(big) > 100_000
    async with desk.client("admin") as admin:
        answer = await admin.post("/products/import", content=big.encode())
    assert answer.status_code == 202


async def test_a_client_that_goes_away_leaves_nothing_behind(desk: Desk) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"sku,name\n"
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        await desk.jobs.submit(ADMIN, broken(), kind="products")
    assert not list(desk.folder.iterdir())


async def test_too_many_waiting_imports_are_put_off(desk: Desk, admin: httpx.AsyncClient) -> None:
    for _ in range(20):
        await submitted(desk)
    answer = await admin.post("/products/import", content=TWO.encode())
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")


async def test_other_media_types_are_refused(admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/products/import", json={"sku": "MUG"})
    assert answer.status_code == 415


async def test_jobs_tell_their_progress_while_they_run(desk: Desk) -> None:
    jobs = desk.another_runner("quick", tick_seconds=0.01)
    job = await submitted(desk, LONG)
    seen: list[Job] = []
    async with running(jobs):
        while (now := await jobs.job(job.id)).state not in ("done", "failed"):
            seen.append(now)
            await asyncio.sleep(0.005)
    assert {"checking", "applying"} <= {one.phase for one in seen}
    for figure in ("done", "created"):
        told = [getattr(one, figure) for one in seen]
        assert told == sorted(told), figure
    checking = [one for one in seen if one.phase == "checking"]
    assert max(one.rows for one in checking) > 0
    assert {one.created for one in checking} == {0}, "nothing is made while rows are checked"
    assert now.created == 6_000


async def test_progress_counts_as_made_only_what_is_made(desk: Desk) -> None:
    """A bar that runs to the end twice, or a figure that starts again, tells a shopkeeper nothing
    about how long it will take and what is in the shop."""
    desk.importer._chunk = 2_000
    tried = await importing(desk, LONG, dry_run=True)
    assert [step.created for step in tried.progress] == [2_000, 4_000, 6_000], "what would be"
    done = await importing(desk, LONG)
    told = [(step.phase, step.rows, step.created) for step in done.progress]
    assert told == [
        *(("checking", rows, 0) for rows in (2_000, 4_000, 6_000)),
        *(("applying", rows, rows) for rows in (2_000, 4_000, 6_000)),
    ]
    for step in (done.progress[2], done.progress[-1]):
        assert step.phase_done == step.phase_total == len(LONG)


async def test_a_job_that_a_crash_cut_short_is_finished_at_the_next_start(tmp_path: Path) -> None:
    async with desk_at(tmp_path) as desk:
        job = await submitted(desk, LONG, mode="skip_bad")
        jobs = desk.another_runner("the process that dies", tick_seconds=0.01)
        task = asyncio.create_task(jobs.work_off())
        while not await products(desk):
            await asyncio.sleep(0.001)
        # What a kill leaves: the job running, its lease held, some chunks committed.
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        laid_down = await desk.jobs.job(job.id)
        crashed = replace(laid_down, state="running", version=laid_down.version + 1)
        await desk.store.commit(ChangeSet(puts=(Put(crashed),)))
        kept = len(await products(desk))
        assert 0 < kept < 6_000
    async with desk_at(tmp_path, node=1) as desk:
        assert await desk.jobs.work_off() == 1
        after = await desk.jobs.job(job.id)
        # The figures are those of the whole file, not of what was left of it.
        assert (after.state, after.rows) == ("done", 6_000)
        assert (after.created, after.unchanged, after.failed) == (6_000, 0, 0)
        assert len(await products(desk)) == 6_000


@pytest.mark.parametrize("mode", ["skip_bad", "all_or_nothing"])
async def test_what_staff_edit_while_an_import_is_interrupted_stays_as_they_left_it(
    desk: Desk, mode: Mode
) -> None:
    """A products import began again at its first row and undid the edits."""
    old = await desk.create("P0", name="Before the import")
    job = await submitted(desk, LONG, mode=mode)
    async with running(desk.jobs):
        while not (await desk.jobs.job(job.id)).applied_line:
            await asyncio.sleep(0.001)
    stopped = await desk.jobs.job(job.id)
    assert (stopped.state, stopped.rows < 6_000) == ("waiting", True)
    assert (await products(desk))["P0"].name == "Product 0"
    await desk.catalog.patch(BY_ADMIN, old.id, ProductPatch(name="As staff named it"))
    writes = await desk.events()
    assert await desk.another_runner("the next start").work_off() == 1
    done, made = await desk.jobs.job(job.id), await products(desk)
    assert made["P0"].name == "As staff named it"
    assert (done.state, done.rows) == ("done", 6_000)
    assert (done.created, done.updated, done.unchanged) == (5_999, 1, 0)
    assert len(made) == 6_000
    again = (await desk.events())[len(writes) :]
    assert again.count("products.imported") == (6_000 - stopped.rows) / 1_000, "each chunk once"


async def test_a_shop_that_stops_gives_its_job_back(desk: Desk) -> None:
    job = await submitted(desk, LONG, mode="skip_bad")
    async with running(desk.jobs):
        while not await products(desk):
            await asyncio.sleep(0.001)
    assert (await desk.jobs.job(job.id)).state == "waiting"
    assert await desk.another_runner("the next start").work_off() == 1
    assert (await desk.jobs.job(job.id)).state == "done"


async def test_of_several_processes_one_does_a_job(tmp_path: Path) -> None:
    async with desk_at(tmp_path) as one, desk_at(tmp_path, node=1) as other:
        job = await submitted(one, LONG)
        done = await asyncio.gather(
            one.jobs.work_off(), other.another_runner("another process").work_off()
        )
        assert sorted(done) == [0, 1]
        assert (await one.jobs.job(job.id)).created == 6_000


async def test_a_job_whose_process_hangs_goes_to_another_when_the_lease_ends(desk: Desk) -> None:
    job = await submitted(desk, TWO)
    hanging = desk.another_runner("hangs")
    assert await hanging._tenure.hold()
    other = desk.another_runner("takes over")
    assert await other.work_off() == 0
    desk.clock.advance(minutes=1)
    assert await other.work_off() == 1
    assert (await desk.jobs.job(job.id)).state == "done"


async def test_a_job_without_its_file_fails_and_the_next_one_runs(desk: Desk) -> None:
    lost, kept = await submitted(desk), await submitted(desk)
    (desk.folder / f"{lost.id}.csv").unlink()
    assert await desk.jobs.work_off() == 2
    assert "upload it again" in (await desk.jobs.job(lost.id)).message
    assert (await desk.jobs.job(kept.id)).state == "done"


async def test_jobs_and_files_are_forgotten_when_nobody_needs_them(desk: Desk) -> None:
    old = await submitted(desk)
    await desk.jobs.work_off()
    waiting = await submitted(desk)
    orphan = desk.folder / "of-no-job.csv"
    orphan.write_text("x")
    two_days_ago = time.time() - 2 * 86_400
    for path in desk.folder.iterdir():
        os.utime(path, (two_days_ago, two_days_ago))
    desk.clock.advance(days=31)
    await desk.jobs._purge()
    assert [job.id for job in (await desk.jobs.list_jobs(limit=5)).items] == [waiting.id]
    assert [path.name for path in desk.folder.iterdir()] == [f"{waiting.id}.csv"]
    assert await desk.jobs.work_off() == 1
    assert old.id != waiting.id


async def test_exports_come_as_files(desk: Desk, admin: httpx.AsyncClient) -> None:
    await desk.create("MUG", name="=HYPERLINK()", stock=3)
    for path, name, row in (
        ("/products/export", "products", "'=HYPERLINK()"),
        ("/stock/export", "stock", "MUG,main,3"),
        ("/stock/movements/export", "movements", "counted"),
    ):
        answer = await admin.get(path)
        assert answer.status_code == 200
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}.csv"'
        assert row in answer.text
