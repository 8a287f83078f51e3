"""Imports as jobs: an upload is kept beside the database, worked off one at a time, and reported.

A job that a crash interrupted goes on after the last row that it applied: a row that is set again
would undo what was edited, or bring back what was sold, in between. Of several processes one works
at a time: the one that holds the lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import structlog

from storekeeper.domain.accounts import Principal
from storekeeper.domain.changes import ChangeSet, Delete, Put, Refusal, Stale
from storekeeper.domain.errors import (
    NotFound,
    Overloaded,
    ShopError,
    StoreUnavailable,
)
from storekeeper.domain.work import Job
from storekeeper.services.base import Call, Tools, commit_once, fingerprint, made_before, require
from storekeeper.services.csv_format import ERROR_COLUMNS, rows_text
from storekeeper.services.csv_import import Importer, ImportReport, Kind, Mode
from storekeeper.services.job_run import SCOPES, Lost, Run, principal_of
from storekeeper.services.leases import Tenure
from storekeeper.services.uploads import keep, pieces_of
from storekeeper.store.port import Page
from storekeeper.telemetry.outage import AWAY, Outage

log = structlog.get_logger(__name__)
LEASE = "lease:jobs"
LEASE_S = 15.0
TICK_S = 0.5
# A job handed in here begins at once; this is for those that another process left behind.
POLL_S = 5.0
MAX_WAITING = 20
PURGE_S = 3_600.0
KEPT = timedelta(days=30)
PURGED_AT_ONCE = 100
ENDED = ("done", "failed")


class Jobs:
    """`folder` holds uploads until they are worked off, and bad rows until the job is purged."""

    def __init__(
        self,
        tools: Tools,
        importer: Importer,
        *,
        folder: Path,
        max_upload_bytes: int,
        holder: str,
        lease_seconds: float = LEASE_S,
        tick_seconds: float = TICK_S,
    ) -> None:
        self._tools = tools
        self._store = tools.store
        self._importer = importer
        self._folder = folder
        self.max_upload_bytes = max_upload_bytes
        self._lease_seconds = lease_seconds
        self._tick_seconds = tick_seconds
        self._tenure = Tenure(
            self._store,
            tools.clock,
            id=LEASE,
            holder=holder,
            duration=timedelta(seconds=lease_seconds),
        )
        self._wake = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def submit(
        self,
        principal: Principal,
        body: AsyncIterator[bytes],
        *,
        kind: Kind,
        mode: Mode = "all_or_nothing",
        dry_run: bool = False,
        key: str | None = None,
    ) -> Job:
        """Keeps the upload and answers the job that will import it.

        Raises `PayloadTooLarge`, `Overloaded` while too many jobs wait, `KeyReused`.
        """
        require(Call(principal=principal), SCOPES[kind])
        waiting = await self._store.find(Job, "state", "waiting", limit=MAX_WAITING)
        if len(waiting.items) >= MAX_WAITING:
            raise Overloaded(f"{MAX_WAITING} imports wait already; try later", retry_after=60)
        job_id = self._tools.new_id()
        size, digest = await keep(self._upload(job_id), body, at_most=self.max_upload_bytes)
        call = Call(principal=principal)
        if key:
            asked = {"mode": mode, "dry_run": dry_run, "sha256": digest}
            call = Call(
                principal=principal, key=key, fingerprint=fingerprint(f"import.{kind}", asked)
            )
        now = self._tools.clock()
        job = Job(
            id=job_id,
            version=1,
            kind=kind,
            state="waiting",
            created_at=now,
            updated_at=now,
            created_by=principal.name,
            total=size if mode == "skip_bad" or dry_run else 2 * size,
            dry_run=dry_run,
            skip_bad=mode == "skip_bad",
        )
        try:
            owner = await made_before(self._store, call)
            if owner is None:
                owner = await commit_once(self._store, call, job_id, ChangeSet(puts=(Put(job),)))
        except (ShopError, Refusal):
            # Only where it is certain that there is no job; the purge sees to the rest.
            await asyncio.to_thread(self._upload(job_id).unlink, True)
            raise
        if owner != job_id:
            await asyncio.to_thread(self._upload(job_id).unlink, True)
            return await self.job(owner)
        self._wake.set()
        return job

    async def job(self, job_id: str) -> Job:
        """Raises `NotFound`."""
        found = await self._store.get(Job, job_id)
        if found is None:
            raise NotFound(f"there is no job {job_id}")
        return found

    async def list_jobs(self, *, limit: int, cursor: str | None = None) -> Page[Job]:
        """Newest first."""
        return await self._store.list_all(Job, limit=limit, cursor=cursor, newest_first=True)

    async def errors(self, job_id: str) -> AsyncIterator[str]:
        """All bad rows of a job as CSV text; raises `NotFound` before the first piece."""
        await self.job(job_id)
        return pieces_of(self._errors(job_id), rows_text([ERROR_COLUMNS]))

    async def start(self) -> None:
        """Works in a task of its own until `stop`."""
        self._running = asyncio.create_task(self.run(), name="jobs")

    async def stop(self) -> None:
        """Leaves off; a job that is under way goes on when the shop starts again."""
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
            self._running = None

    async def run(self) -> None:
        """Works off jobs for ever; a fault is logged and tried again."""
        next_purge = 0.0
        outage = Outage(log, "the work on jobs")
        while True:
            try:
                self._wake.clear()
                if not await self.work_off() and time.monotonic() >= next_purge:
                    await self._purge()
                    next_purge = time.monotonic() + PURGE_S
                outage.ends()
            except AWAY as error:
                outage.begins(error.detail)
            except Lost as error:
                log.warning("jobs wait", reason=str(error))
            except Exception as error:
                log.error("jobs failed", exc_info=error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_S)

    async def work_off(self) -> int:
        """Does every job that waits or was interrupted; answers how many. 0 too where another
        process is at it."""
        done = 0
        # The question first: an idle shop renews no lease.
        while await self._next() is not None and await self._tenure.hold():
            job = await self._next()
            if job is None:
                break
            await self._work(job)
            done += 1
        if done:
            await self._tenure.let_go()
            await self._store.rest()
        return done

    async def _next(self) -> Job | None:
        # Together, as an engine may have to look elsewhere for either.
        running, waiting = await asyncio.gather(
            *(self._store.find(Job, "state", state, limit=1) for state in ("running", "waiting"))
        )
        return next(iter((*running.items, *waiting.items)), None)

    async def _work(self, job: Job) -> None:
        """One job to its report, from where it was left."""
        run = Run(
            self._tools,
            self._tenure,
            job,
            self._errors(job.id),
            lease_seconds=self._lease_seconds,
            tick_seconds=self._tick_seconds,
        )
        try:
            await run.begin()
            report = await run.until_done(self._import(run))
            await run.end(report)
        except asyncio.CancelledError:
            await asyncio.shield(run.lay_down())
            raise
        except Stale as error:
            raise Lost(str(error)) from None
        except (Lost, StoreUnavailable, Overloaded):
            raise
        except (ShopError, Refusal) as error:
            field = (error.field or "") if isinstance(error, ShopError) else ""
            await run.fail(str(error), field)
        except FileNotFoundError:
            await run.fail("the upload is gone; upload it again")
        except Exception as error:
            log.error("job failed", job=job.id, exc_info=error)
            await run.fail("something went wrong on our side; it was logged")
        await asyncio.to_thread(self._upload(job.id).unlink, True)

    async def _import(self, run: Run) -> ImportReport:
        job = run.job
        upload, call = self._upload(job.id), Call(principal=principal_of(job))
        mode: Mode = "skip_bad" if job.skip_bad else "all_or_nothing"
        action = (
            self._importer.import_products
            if job.kind == "products"
            else self._importer.import_stock
        )
        return await action(
            upload,
            call,
            mode=mode,
            dry_run=job.dry_run,
            import_id=job.id,
            on_progress=run.take_progress,
            on_errors=run.take_errors,
            keep=run.keep,
            after=run.after,
        )

    async def _purge(self) -> None:
        """Forgets jobs that ended a month ago, the oldest first, and files that no job needs."""
        page = await self._store.list_all(Job, limit=PURGED_AT_ONCE)
        for job in page.items:
            if job.state in ENDED and job.updated_at < self._tools.clock() - KEPT:
                with contextlib.suppress(Stale):
                    delete = Delete("Job", job.id, job.version)
                    await self._store.commit(ChangeSet(deletes=(delete,)))
        old = await asyncio.to_thread(self._old_files)
        jobs = await self._store.get_many(Job, list(old))
        for job_id, paths in old.items():
            needed = jobs.get(job_id)
            for path in paths:
                if needed is None or (needed.state in ENDED and path == self._upload(job_id)):
                    await asyncio.to_thread(path.unlink, True)

    def _old_files(self) -> dict[str, list[Path]]:
        """Some files that have lain for a day, by the job that they were made for."""
        found: dict[str, list[Path]] = {}
        day_ago = time.time() - 86_400
        for path in self._folder.glob("*"):
            if path.stat().st_mtime < day_ago and len(found) < PURGED_AT_ONCE:
                found.setdefault(path.name.partition(".")[0], []).append(path)
        return found

    def _upload(self, job_id: str) -> Path:
        return self._folder / f"{job_id}.csv"

    def _errors(self, job_id: str) -> Path:
        return self._folder / f"{job_id}.errors.csv"
