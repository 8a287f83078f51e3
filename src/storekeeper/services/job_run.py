"""One job being worked off: its progress, its bad rows and the lease, kept up to date meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec

from storekeeper.domain.changes import ChangeSet, Put, Refusal
from storekeeper.domain.errors import ShopError
from storekeeper.domain.work import Job, RowError
from storekeeper.services.base import Tools
from storekeeper.services.csv_format import ERROR_COLUMNS, rows_text
from storekeeper.services.csv_import import ImportReport, Progress
from storekeeper.services.leases import Tenure


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
        self._store = tools.store
        self._clock = tools.clock
        self._errors = errors
        self._tenure = tenure
        self._tick = tick_seconds
        self._lease_ticks = max(1, int(lease_seconds / 3 / tick_seconds))
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
        with contextlib.suppress(ShopError, Refusal):
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
