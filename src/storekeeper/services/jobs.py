"""Imports as jobs: an upload is kept beside the database, worked off one at a time, and reported.

A job that a crash interrupted starts again from its file, which is harmless because importing is
by SKU. Of several processes one works at a time: the one that holds the lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import msgspec
import structlog

from storekeeper.domain.accounts import Principal
from storekeeper.domain.changes import ChangeSet, Delete, Put, Refusal, Stale
from storekeeper.domain.errors import (
    NotFound,
    Overloaded,
    PayloadTooLarge,
    ShopError,
    StoreUnavailable,
)
from storekeeper.domain.types import AccountId
from storekeeper.domain.work import Job, RowError
from storekeeper.services.base import Call, Tools, commit_once, fingerprint, made_before, require
from storekeeper.services.csv_format import ERROR_COLUMNS, rows_text
from storekeeper.services.csv_import import Importer, ImportReport, Kind, Mode, Progress
from storekeeper.services.leases import Tenure
from storekeeper.store.port import Page

log = structlog.get_logger(__name__)
LEASE = "lease:jobs"
LEASE_S = 15.0
TICK_S = 0.5
POLL_S = 2.0
MAX_WAITING = 20
KEPT = timedelta(days=30)
WRITE_AT = 256 * 1024
SCOPES: dict[str, str] = {"products": "products:write", "stock": "stock:write"}


class Lost(Exception):
    """The lease is gone: another process may be at this job already."""


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
        size, digest = await self._spool(self._upload(job_id), body)
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
        except BaseException:
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
        return _pieces(self._errors(job_id))

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
        while True:
            try:
                self._wake.clear()
                if not await self.work_off():
                    await self._purge()
            except (Lost, StoreUnavailable, Overloaded) as error:
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
        return done

    async def _next(self) -> Job | None:
        for state in ("running", "waiting"):
            found = await self._store.find(Job, "state", state, limit=1)
            if found.items:
                return found.items[0]
        return None

    async def _work(self, job: Job) -> None:
        """One job from its file's start to its report."""
        run = Run(self, self._tenure, job)
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
        act = self._importer.import_products if job.kind == "products" else None
        return await (act or self._importer.import_stock)(
            self._upload(job.id),
            Call(principal=_principal_of(job)),
            mode="skip_bad" if job.skip_bad else "all_or_nothing",
            dry_run=job.dry_run,
            import_id=job.id,
            on_progress=run.take_progress,
            on_errors=run.take_errors,
        )

    async def _purge(self) -> None:
        """Forgets jobs that ended a month ago, the oldest first, a few at a time."""
        page = await self._store.list_all(Job, limit=20)
        for job in page.items:
            if job.state in ("done", "failed") and job.updated_at < self._tools.clock() - KEPT:
                with contextlib.suppress(Stale):
                    delete = Delete("Job", job.id, job.version)
                    await self._store.commit(ChangeSet(deletes=(delete,)))
                await asyncio.to_thread(self._errors(job.id).unlink, True)

    async def _spool(self, path: Path, body: AsyncIterator[bytes]) -> tuple[int, str]:
        """Writes an upload to the disk for good; answers its size and SHA-256."""
        spool = Spool(path)
        try:
            await asyncio.to_thread(spool.open)
            waiting = bytearray()
            size = 0
            async for piece in body:
                waiting += piece
                size += len(piece)
                if size > self.max_upload_bytes:
                    raise PayloadTooLarge(f"an upload has at most {self.max_upload_bytes} bytes")
                if len(waiting) >= WRITE_AT:
                    await asyncio.to_thread(spool.write, bytes(waiting))
                    waiting.clear()
            await asyncio.to_thread(spool.finish, bytes(waiting))
        except OSError as error:
            await asyncio.to_thread(spool.discard)
            raise StoreUnavailable(f"the upload can't be kept: {error.strerror}") from error
        except BaseException:
            await asyncio.to_thread(spool.discard)
            raise
        return size, spool.digest.hexdigest()

    def _upload(self, job_id: str) -> Path:
        return self._folder / f"{job_id}.csv"

    def _errors(self, job_id: str) -> Path:
        return self._folder / f"{job_id}.errors.csv"


class Run:
    """One job being worked off: keeps its record, its bad rows and the lease up to date."""

    def __init__(self, jobs: Jobs, tenure: Tenure, job: Job) -> None:
        self._store = jobs._store
        self._clock = jobs._tools.clock
        self._errors = jobs._errors(job.id)
        self._tenure = tenure
        self._tick = jobs._tick_seconds
        self._lease_ticks = max(1, int(jobs._lease_seconds / 3 / jobs._tick_seconds))
        self._progress: Progress | None = None
        self._bad: list[RowError] = []
        self.job = job

    def take_progress(self, progress: Progress) -> None:
        self._progress = progress

    def take_errors(self, errors: Sequence[RowError]) -> None:
        self._bad.extend(errors)

    async def begin(self) -> None:
        await asyncio.to_thread(self._start_errors)
        figures = ("done", "rows", "created", "updated", "unchanged", "failed")
        await self._put(
            state="running", errors=(), message="", phase="", **dict.fromkeys(figures, 0)
        )

    async def until_done(self, work: Any) -> ImportReport:
        """Tells of the progress while the work goes on; stops it when the lease is lost."""
        task: asyncio.Task[ImportReport] = asyncio.ensure_future(work)
        ticks = 0
        try:
            while True:
                finished, _ = await asyncio.wait([task], timeout=self._tick)
                await self._write_errors()
                if finished:
                    return task.result()
                ticks += 1
                if ticks % self._lease_ticks == 0 and not await self._tenure.hold():
                    raise Lost("the lease went to another process")
                await self._tell()
        finally:
            if not task.done():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def end(self, report: ImportReport) -> None:
        is_good = report.applied or report.dry_run
        await self._put(
            state="done" if is_good else "failed",
            done=self.job.total,
            rows=report.rows,
            created=report.created,
            updated=report.updated,
            unchanged=report.unchanged,
            failed=report.failed,
            errors=report.errors,
            message=report.message,
        )

    async def fail(self, message: str, field: str = "") -> None:
        await self._write_errors()
        errors = self.job.errors
        if field:
            errors = (RowError(line=1, field=field, reason=message),)
        await self._put(state="failed", errors=errors, message=message)

    async def lay_down(self) -> None:
        """Gives the job back, for the next process or start."""
        with contextlib.suppress(ShopError, Refusal):
            await self._put(state="waiting")
            await self._tenure.let_go()

    async def _tell(self) -> None:
        progress, self._progress = self._progress, None
        if progress is not None:
            await self._put(
                done=progress.bytes_done,
                total=progress.bytes_total,
                phase=progress.phase,
                rows=progress.rows,
                created=progress.created,
                updated=progress.updated,
                unchanged=progress.unchanged,
                failed=progress.failed,
            )

    async def _put(self, **changes: Any) -> None:
        job = msgspec.structs.replace(
            self.job, version=self.job.version + 1, updated_at=self._clock(), **changes
        )
        await self._store.commit(ChangeSet(puts=(Put(job),)))
        self.job = job

    async def _write_errors(self) -> None:
        bad, self._bad = self._bad, []
        if bad:
            await asyncio.to_thread(self._append_errors, bad)

    def _start_errors(self) -> None:
        self._errors.write_text(rows_text([ERROR_COLUMNS]), encoding="utf-8", newline="")

    def _append_errors(self, bad: Sequence[RowError]) -> None:
        text = rows_text((str(error.line), error.field, error.reason) for error in bad)
        with self._errors.open("a", encoding="utf-8", newline="") as file:
            file.write(text)


class Spool:
    """A file that has its name only once it is whole and on the disk. Blocking."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_suffix(".part")
        self.digest = hashlib.sha256()

    def open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Closed by finish or discard.
        self._file = self._part.open("xb")

    def write(self, data: bytes) -> None:
        self.digest.update(data)
        self._file.write(data)

    def finish(self, data: bytes) -> None:
        self.write(data)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.rename(self._path)

    def discard(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()
        self._part.unlink(missing_ok=True)


async def _pieces(path: Path) -> AsyncIterator[str]:
    position = 0
    while True:
        try:
            data = await asyncio.to_thread(_read_at, path, position)
        except FileNotFoundError:
            data = b"" if position else rows_text([ERROR_COLUMNS]).encode()
            if not position:
                yield data.decode()
            return
        if not data:
            return
        position += len(data)
        yield data.decode()


def _read_at(path: Path, position: int) -> bytes:
    """Up to 64 KiB of whole lines, so that no character is cut in two."""
    with path.open("rb") as file:
        file.seek(position)
        return file.read(64 * 1024) + file.readline()


def _principal_of(job: Job) -> Principal:
    """Who asked for the job, with the right to do it, which was checked when it was asked for."""
    role, _, account_id = job.created_by.partition(":")
    return Principal(
        account_id=AccountId(account_id) if account_id else None,
        role=cast(Any, role),
        scopes=frozenset({SCOPES[job.kind]}),
    )
