"""One job being worked off: its progress, its bad rows and the lease, kept up to date meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import itertools
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from storekeeper.domain.accounts import Principal
from storekeeper.domain.changes import ChangeSet, Put, Refusal, Stale
from storekeeper.domain.errors import ShopError
from storekeeper.domain.types import AccountId
from storekeeper.domain.work import Job, RowError
from storekeeper.services.base import Tools, with_fresh_reads
from storekeeper.services.csv_format import ERROR_COLUMNS, restore, rows_text
from storekeeper.services.csv_import import ImportReport, Progress, audited_import
from storekeeper.services.csv_keeping import Mark, Tally
from storekeeper.services.leases import Tenure

SCOPES: dict[str, str] = {"products": "products:write", "stock": "stock:write"}


class Lost(Exception):
    """The lease is gone: another process may be at this job already."""


class Run:
    """One job being worked off: keeps its record, its bad rows and the lease up to date."""

    def __init__(
        self,
        tools: Tools,
        tenure: Tenure,
        job: Job,
        errors: Path,
        *,
        lease_seconds: float,
        tick_seconds: float,
    ) -> None:
        self._tools = tools
        self._store = tools.store
        self._clock = tools.clock
        self._errors = errors
        self._tenure = tenure
        self._tick = tick_seconds
        self._lease_ticks = max(1, int(lease_seconds / 3 / tick_seconds))
        self._progress: Progress | None = None
        self._bad: list[RowError] = []
        self._lock = asyncio.Lock()
        self._errors_lock = asyncio.Lock()
        self._kept_lines: set[int] = set()
        self.job = job

    def take_progress(self, progress: Progress) -> None:
        self._progress = progress

    def take_errors(self, errors: Sequence[RowError]) -> None:
        self._bad.extend(errors)

    @property
    def after(self) -> Mark | None:
        """Where an earlier run of this job left off; None where it applied nothing for good."""
        job = self.job
        if not job.applied_line:
            return None
        tally = Tally()
        for name in tally.figures():
            setattr(tally, name, getattr(job, name))
        tally.first_errors = list(job.errors)
        return Mark(line=job.applied_line, tally=tally)

    async def keep(self, change: ChangeSet, mark: Mark) -> None:
        """Commits rows together with how far the job has come; raises `Lost` where another
        process is at the job, which is seen before anything is written."""
        # First, since a crash in between must not lose them; again they are not written.
        self._bad.extend(error for error in mark.errors if error.line not in self._kept_lines)
        self._kept_lines.update(error.line for error in mark.errors)
        await self._write_errors()
        async with self._lock:
            job = self._changed(
                done=mark.bytes_done,
                phase="applying",
                errors=tuple(mark.tally.first_errors),
                applied_line=mark.line,
                **mark.tally.figures(),
            )
            try:
                await self._store.commit(change + ChangeSet(puts=(Put(job),)))
            except Stale as stale:
                if stale.kind == "Job":
                    raise Lost(str(stale)) from None
                raise
            self.job = job
            # It told of less than the job says now.
            self._progress = None
        self._kept_lines.clear()

    async def begin(self) -> None:
        if self.job.applied_line:
            await asyncio.to_thread(self._shorten_errors, self.job.applied_line)
            await self._put(state="running", message="")
            return
        await asyncio.to_thread(self._start_errors)
        figures = ("done", "rows", "created", "updated", "unchanged", "failed")
        await self._put(
            state="running", errors=(), message="", phase="", **dict.fromkeys(figures, 0)
        )

    async def until_done(self, work: Coroutine[Any, Any, ImportReport]) -> ImportReport:
        """Tells of the progress while the work goes on; stops it when the lease is lost."""
        task: asyncio.Task[ImportReport] = asyncio.create_task(work)
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
        await self._end(
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
        """Ends the job, saying what is left of it in the shop."""
        await self._write_errors()
        job = self.job
        errors = (RowError(line=1, field=field, reason=message),) if field else job.errors
        kept = {name: getattr(job, name) for name in ("created", "updated", "unchanged")}
        if job.applied_line:
            outcome = f"the rows up to line {job.applied_line} are written"
        else:
            # A dry run tells of what would be made, and didn't come to its end.
            kept = dict.fromkeys(kept, 0)
            outcome = "nothing was written"
        await self._end(state="failed", errors=errors, message=f"{message}; {outcome}", **kept)

    async def lay_down(self) -> None:
        """Gives the job back, for the next process or start."""
        with contextlib.suppress(ShopError, Refusal):
            await with_fresh_reads(self._give_back)
        with contextlib.suppress(ShopError, Refusal):
            await self._tenure.let_go()

    async def _give_back(self) -> None:
        # A commit that nobody waited for any more may have been made all the same.
        found = await self._store.get(Job, self.job.id)
        if self._tenure.is_held and found is not None and found.state == "running":
            self.job = found
            await self._put(state="waiting")

    async def _tell(self) -> None:
        async with self._lock:
            progress, self._progress = self._progress, None
            if progress is None:
                return
            job = self._changed(
                done=progress.bytes_done,
                total=progress.bytes_total,
                phase=progress.phase,
                rows=progress.rows,
                created=progress.created,
                updated=progress.updated,
                unchanged=progress.unchanged,
                failed=progress.failed,
            )
            await self._store.commit(ChangeSet(puts=(Put(job),)))
            self.job = job

    async def _end(self, **changes: Any) -> None:
        """The job's last version, with its line in the audit log."""
        async with self._lock:
            job = self._changed(**changes)
            summary: tuple[Put, ...] = ()
            if not job.dry_run:
                principal = principal_of(job)
                summary = audited_import(self._tools, principal, job.kind, job.id, job)
            await self._store.commit(ChangeSet(puts=(Put(job), *summary)))
            self.job = job

    async def _put(self, **changes: Any) -> None:
        async with self._lock:
            job = self._changed(**changes)
            await self._store.commit(ChangeSet(puts=(Put(job),)))
            self.job = job

    def _changed(self, **changes: Any) -> Job:
        return msgspec.structs.replace(
            self.job, version=self.job.version + 1, updated_at=self._clock(), **changes
        )

    async def _write_errors(self) -> None:
        async with self._errors_lock:
            bad, self._bad = self._bad, []
            if bad:
                await asyncio.to_thread(self._append_errors, bad)

    def _start_errors(self) -> None:
        self._errors.write_text(rows_text([ERROR_COLUMNS]), encoding="utf-8", newline="")

    def _shorten_errors(self, line: int) -> None:
        """Leaves only the bad rows up to a line; the others are found again."""
        shortened = self._errors.with_suffix(".new")
        with shortened.open("w", encoding="utf-8", newline="") as kept:
            kept.write(rows_text([ERROR_COLUMNS]))
            if self._errors.exists():
                with self._errors.open(encoding="utf-8", newline="") as file:
                    for row in itertools.islice(csv.reader(file), 1, None):
                        if row[0].isdecimal() and int(row[0]) <= line:
                            kept.write(rows_text([[restore(cell) for cell in row]]))
        shortened.replace(self._errors)

    def _append_errors(self, bad: Sequence[RowError]) -> None:
        text = rows_text((str(error.line), error.field, error.reason) for error in bad)
        with self._errors.open("a", encoding="utf-8", newline="") as file:
            file.write(text)


def principal_of(job: Job) -> Principal:
    """Who asked for the job, with the right to do it, which was checked when it was asked for."""
    role, _, account_id = job.created_by.partition(":")
    return Principal(
        account_id=AccountId(account_id) if account_id else None,
        role=cast(Any, role),
        scopes=frozenset({SCOPES[job.kind]}),
    )
