"""Importing products and stock from CSV files of any length in bounded memory.

Rows go a chunk at a time: read and checked on a thread, then one change set per chunk. A chunk is
kept whole or not at all, and importing the same file again changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Any, Literal, Protocol

from storekeeper.domain.changes import LevelMoved, Refusal, Short, Stale, Taken
from storekeeper.domain.errors import Conflict, Invalid, Overloaded
from storekeeper.domain.types import Struct
from storekeeper.domain.work import RowError
from storekeeper.services.base import ATTEMPTS, Call, Tools, require
from storekeeper.services.csv_plan import Plan
from storekeeper.services.csv_products import ProductRows
from storekeeper.services.csv_reader import Cells, CsvReader, Source
from storekeeper.services.csv_stock import StockRows
from storekeeper.store.port import Store

Mode = Literal["all_or_nothing", "skip_bad"]
Kind = Literal["products", "stock"]
Phase = Literal["checking", "applying"]
# Large enough to pay for a flush, small enough that orders hardly wait behind one.
CHUNK = 1_000
SHOWN_ERRORS = 100
BUSY_WAIT_S = 0.2
BUSY_TRIES = 300


class Progress(Struct, frozen=True, kw_only=True):
    """How far an import has come, in bytes to read; the figures are those of this phase.

    All or nothing reads the file twice, so `bytes_total` is twice its size.
    """

    phase: Phase
    bytes_done: int
    bytes_total: int
    rows: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: int = 0


class ImportReport(Struct, frozen=True, kw_only=True):
    """What an import did, or with `dry_run` would do. `errors` are the first of all `failed`."""

    import_id: str
    applied: bool
    dry_run: bool
    rows: int
    created: int
    updated: int
    unchanged: int
    failed: int
    errors: tuple[RowError, ...] = ()
    message: str = ""


OnProgress = Callable[[Progress], None]
OnErrors = Callable[[Sequence[RowError]], None]


class Chunk(Struct, frozen=True, kw_only=True):
    """Some rows of the file, parsed; those that can't be; and how far the file is read."""

    taken: list[Any]
    bad: list[RowError]
    position: int


class Rows(Protocol):
    """What one kind of file means. `parse` and `use` raise `Invalid`."""

    @property
    def known(self) -> Sequence[str]: ...
    @property
    def required(self) -> Sequence[str]: ...

    def use(self, columns: Sequence[str]) -> None: ...
    def parse(self, row: Cells) -> Any: ...
    async def plan(self, rows: Sequence[Any]) -> Plan: ...
    def blame(self, rows: Sequence[Any], refusal: Refusal, plan: Plan) -> list[RowError]: ...


class Tally:
    """Running figures of one reading."""

    def __init__(self) -> None:
        self.rows = self.created = self.updated = self.unchanged = self.failed = 0
        self.first_errors: list[RowError] = []

    def figures(self) -> dict[str, int]:
        names = ("rows", "created", "updated", "unchanged", "failed")
        return {name: getattr(self, name) for name in names}


class Importer:
    """`currency` is that of prices in a file that names none."""

    def __init__(self, tools: Tools, *, currency: str, chunk: int = CHUNK) -> None:
        self._tools = tools
        self._store = tools.store
        self._currency = currency
        self._chunk = chunk

    async def import_products(
        self,
        source: Source,
        call: Call,
        *,
        mode: Mode = "all_or_nothing",
        dry_run: bool = False,
        import_id: str = "",
        on_progress: OnProgress = lambda _: None,
        on_errors: OnErrors = lambda _: None,
    ) -> ImportReport:
        """Makes and revises products by SKU. A stream has to be seekable.

        Raises `Invalid` for a file that can't be read at all; bad rows are in the report. The
        callbacks run on the event loop; `on_errors` gets all bad rows, a few at a time.
        """
        require(call, "products:write")
        import_id = import_id or self._tools.new_id()

        def rows(checking: bool) -> Rows:
            return ProductRows(
                self._tools, import_id, call.principal.name, self._currency, checking=checking
            )

        run = Run(self._store, self._chunk, rows, on_progress, on_errors)
        return await run.all(source, import_id, mode, dry_run)

    async def import_stock(
        self,
        source: Source,
        call: Call,
        *,
        mode: Mode = "all_or_nothing",
        dry_run: bool = False,
        import_id: str = "",
        on_progress: OnProgress = lambda _: None,
        on_errors: OnErrors = lambda _: None,
    ) -> ImportReport:
        """Sets the units on hand by SKU and location, each difference one movement."""
        require(call, "stock:write")
        import_id = import_id or self._tools.new_id()

        def rows(checking: bool) -> Rows:
            return StockRows(self._tools, import_id, call.principal.name, checking=checking)

        run = Run(self._store, self._chunk, rows, on_progress, on_errors)
        return await run.all(source, import_id, mode, dry_run)


class Run:
    """One import: once through the file, or twice where it is all or nothing."""

    def __init__(
        self,
        store: Store,
        chunk: int,
        rows: Callable[[bool], Rows],
        on_progress: OnProgress,
        on_errors: OnErrors,
    ) -> None:
        self._store = store
        self._chunk = chunk
        self._rows = rows
        self._on_progress = on_progress
        self._on_errors = on_errors

    async def all(self, source: Source, import_id: str, mode: Mode, dry_run: bool) -> ImportReport:
        checks_first = mode == "all_or_nothing" and not dry_run
        passes = 2 if checks_first else 1
        message = ""
        first: Phase = "checking" if checks_first or dry_run else "applying"
        tally = await self._read(source, first, 0, passes, mode)
        if checks_first and tally.failed:
            message = "nothing is applied, because of the bad rows"
        elif checks_first:
            tally = await self._read(source, "applying", 1, passes, mode)
            if tally.failed:
                message = (
                    "the shop was changed while the file was applied, so that a row no longer "
                    "fits; a part of the file is applied: import it again"
                )
        return ImportReport(
            import_id=import_id,
            applied=not dry_run and not (mode == "all_or_nothing" and tally.failed > 0),
            dry_run=dry_run,
            errors=tuple(tally.first_errors),
            message=message,
            **tally.figures(),
        )

    async def _read(
        self, source: Source, phase: Phase, number: int, passes: int, mode: Mode
    ) -> Tally:
        rows = self._rows(phase == "checking")
        reader = await asyncio.to_thread(CsvReader, source, rows.known, rows.required)
        tally = Tally()

        def count(chunk: Chunk, plan: Plan, blamed: Sequence[RowError] = ()) -> None:
            self._count(tally, chunk, plan, blamed)
            self._on_progress(
                Progress(
                    phase=phase,
                    bytes_done=number * reader.size + chunk.position,
                    bytes_total=passes * reader.size,
                    **tally.figures(),
                )
            )

        try:
            rows.use(reader.columns)
            async with contextlib.aclosing(_ahead(reader, rows, self._chunk)) as chunks:
                if phase == "checking":
                    async for chunk in chunks:
                        count(chunk, await rows.plan(chunk.taken))
                else:
                    async with contextlib.aclosing(self._keeping(rows, chunks)) as all_kept:
                        async for kept in all_kept:
                            count(*kept)
                            if tally.failed and mode == "all_or_nothing":
                                break
            return tally
        finally:
            await asyncio.to_thread(reader.close)

    async def _keeping(
        self, rows: Rows, chunks: AsyncIterator[Chunk]
    ) -> AsyncGenerator[tuple[Chunk, Plan, list[RowError]]]:
        """Commits the chunks one after the other; while one is being written, the next is planned.

        That is sound because no SKU is in a file twice; where a plan may rest on the chunk before
        all the same (a parent, options that change hands), it is made again.
        """
        writing: tuple[Chunk, asyncio.Task[tuple[Plan, list[RowError]]]] | None = None
        try:
            async for chunk in chunks:
                plan = await rows.plan(chunk.taken)
                if writing is not None:
                    yield writing[0], *await writing[1]
                    if plan.may_depend:
                        plan = await rows.plan(chunk.taken)
                writing = (chunk, asyncio.create_task(self._commit(rows, chunk.taken, plan)))
            if writing is not None:
                yield writing[0], *await writing[1]
        finally:
            if writing is not None and not writing[1].done():
                await asyncio.wait([writing[1]])

    def _count(self, tally: Tally, chunk: Chunk, plan: Plan, blamed: Sequence[RowError]) -> None:
        errors = sorted([*chunk.bad, *blamed, *plan.bad.values()], key=lambda error: error.line)
        tally.rows += len(chunk.taken) + len(chunk.bad)
        tally.created += plan.created
        tally.updated += plan.updated
        tally.unchanged += plan.unchanged
        tally.failed += len(errors)
        if errors:
            tally.first_errors.extend(errors[: SHOWN_ERRORS - len(tally.first_errors)])
            self._on_errors(errors)

    async def _commit(
        self, rows: Rows, taken: list[Any], plan: Plan
    ) -> tuple[Plan, list[RowError]]:
        """Commits, and plans anew while others interfere; rows that can't be taken are left out."""
        blamed: list[RowError] = []
        for _ in range(ATTEMPTS):
            if not plan.writes:
                return plan, blamed
            try:
                await self._commit_when_free(plan)
            except (Stale, LevelMoved):
                pass
            except (Taken, Short) as refusal:
                found = rows.blame(taken, refusal, plan)
                lines = {error.line for error in found}
                blamed.extend(found)
                taken = [row for row in taken if row.line not in lines]
            else:
                return plan, blamed
            plan = await rows.plan(taken)
        raise Conflict("others keep changing the same products; import the file again")

    async def _commit_when_free(self, plan: Plan) -> None:
        """Orders go first: an import waits while the write queue is full, for a minute at most."""
        for _ in range(BUSY_TRIES):
            try:
                await self._store.commit(plan.change)
            except Overloaded:
                await asyncio.sleep(BUSY_WAIT_S)
            else:
                return
        await self._store.commit(plan.change)


async def _ahead(reader: CsvReader, rows: Rows, count: int) -> AsyncGenerator[Chunk]:
    """The file in chunks; the next is read while one is being worked on."""
    following = asyncio.create_task(asyncio.to_thread(_take, reader, rows, count))
    try:
        while True:
            chunk = await asyncio.shield(following)
            if not chunk.taken and not chunk.bad:
                return
            following = asyncio.create_task(asyncio.to_thread(_take, reader, rows, count))
            yield chunk
    finally:
        # A thread can't be stopped, and nobody may close the file under it.
        await asyncio.wait([following])
        following.exception()


def _take(reader: CsvReader, rows: Rows, count: int) -> Chunk:
    """The next rows. Blocking."""
    cells, bad = reader.take(count)
    taken = []
    for row in cells:
        try:
            taken.append(rows.parse(row))
        except Invalid as error:
            bad.append(RowError(line=row.line, field=error.field or "", reason=error.detail))
    return Chunk(taken=taken, bad=bad, position=reader.bytes_done)
