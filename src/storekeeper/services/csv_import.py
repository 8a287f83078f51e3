"""Importing products and stock from CSV files of any length in bounded memory.

Rows go a chunk at a time: read and checked on a thread, then one change set per chunk. A chunk is
kept whole or not at all (of stock, a part of it where orders interfere), and importing the same
file again changes nothing. An import that is told where it left off goes on there: what was applied
once is never applied again, since people and orders may have changed it meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Literal, Protocol

from storekeeper.domain.accounts import Principal
from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.errors import Invalid
from storekeeper.domain.types import Struct
from storekeeper.domain.work import RowError
from storekeeper.services.base import Call, Tools, require
from storekeeper.services.csv_keeping import (
    Chunk,
    Keep,
    Mark,
    OnErrors,
    Rows,
    Tally,
    Writer,
    errors_of,
)
from storekeeper.services.csv_products import ProductRows
from storekeeper.services.csv_reader import CsvReader, Source
from storekeeper.services.csv_stock import StockRows
from storekeeper.services.threads import to_its_end
from storekeeper.store.port import Store

Mode = Literal["all_or_nothing", "skip_bad"]
Kind = Literal["products", "stock"]
Phase = Literal["checking", "applying"]
# Large enough to pay for a flush, small enough that orders hardly wait behind one.
CHUNK = 1_000


class Progress(Struct, frozen=True, kw_only=True):
    """How far an import has come, in bytes to read. `rows` and `failed` are those of this phase.

    All or nothing reads the file twice, so `bytes_total` is twice its size; `phase_done` of
    `phase_total` bytes are those of this reading. Created, updated and unchanged are rows that
    were applied; in a dry run those that would be. Checking before applying makes nothing.
    """

    phase: Phase
    bytes_done: int
    bytes_total: int
    phase_done: int
    phase_total: int
    rows: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: int = 0


class ImportReport(Struct, frozen=True, kw_only=True):
    """What an import did, or with `dry_run` would do. `errors` are the first of all `failed`.

    Created, updated and unchanged are the rows that were kept, none where nothing was written.
    """

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
        keep: Keep | None = None,
        after: Mark | None = None,
    ) -> ImportReport:
        """Makes and revises products by SKU. A stream has to be seekable.

        Raises `Invalid` for a file that can't be read at all; bad rows are in the report. The
        callbacks run on the event loop; `on_errors` gets all bad rows, a few at a time. `keep`
        commits each change with the mark of how far the import has come, and takes the errors
        meanwhile; given that mark as `after`, an import goes on there.
        """
        require(call, "products:write")
        import_id = import_id or self._tools.new_id()

        def rows(checking: bool) -> Rows:
            return ProductRows(
                self._tools, import_id, call.principal, self._currency, checking=checking
            )

        run = Run(self._store, self._chunk, rows, on_progress, on_errors, keep, after)
        report = await run.all(source, import_id, mode, dry_run)
        if keep is None:
            await self._sum_up(call, "products", report)
        return report

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
        keep: Keep | None = None,
        after: Mark | None = None,
    ) -> ImportReport:
        """Sets the units on hand by SKU and location, each difference one movement.

        All else as with products.
        """
        require(call, "stock:write")
        import_id = import_id or self._tools.new_id()

        def rows(checking: bool) -> Rows:
            return StockRows(self._tools, import_id, call.principal.name, checking=checking)

        run = Run(self._store, self._chunk, rows, on_progress, on_errors, keep, after)
        report = await run.all(source, import_id, mode, dry_run)
        if keep is None:
            await self._sum_up(call, "stock", report)
        return report

    async def _sum_up(self, call: Call, kind: Kind, report: ImportReport) -> None:
        """Of an import that is no job, whose end would tell of it."""
        if not report.dry_run:
            summary = audited_import(self._tools, call.principal, kind, report.import_id, report)
            if summary:
                await self._store.commit(ChangeSet(puts=summary))


class Figures(Protocol):
    """Rows by what became of them."""

    @property
    def created(self) -> int: ...
    @property
    def updated(self) -> int: ...
    @property
    def unchanged(self) -> int: ...
    @property
    def failed(self) -> int: ...


def audited_import(
    tools: Tools, principal: Principal, kind: str, import_id: str, figures: Figures
) -> tuple[Put, ...]:
    """The entry of the audit log that sums an import up; none where it changed nothing."""
    if not (figures.created or figures.updated):
        return ()
    subject = f"import:{import_id}"
    return tools.audited(
        principal,
        "products.imported" if kind == "products" else "stock.imported",
        subject,
        after={
            name: getattr(figures, name) for name in ("created", "updated", "unchanged", "failed")
        },
        reference=subject,
    )


class Run:
    """One import: once through the file, or twice where it is all or nothing."""

    def __init__(
        self,
        store: Store,
        chunk: int,
        rows: Callable[[bool], Rows],
        on_progress: OnProgress,
        on_errors: OnErrors,
        keep: Keep | None = None,
        after: Mark | None = None,
    ) -> None:
        self._store = store
        self._chunk = chunk
        self._rows = rows
        self._on_progress = on_progress
        self._on_errors = on_errors
        self._keep = keep
        self._after = after

    async def all(self, source: Source, import_id: str, mode: Mode, dry_run: bool) -> ImportReport:
        checks_first = mode == "all_or_nothing" and not dry_run
        passes = 2 if checks_first else 1
        message = ""
        first: Phase = "checking" if checks_first or dry_run else "applying"
        tally = Tally()
        # Where rows are applied already, the whole file was good.
        if self._after is None or not checks_first:
            tally = await self._read(source, first, 0, passes, mode, is_only_check=checks_first)
        if checks_first and tally.failed:
            tally = tally.of_nothing_kept()
            message = "nothing was written, because of the bad rows; mend them and import again"
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
        self,
        source: Source,
        phase: Phase,
        number: int,
        passes: int,
        mode: Mode,
        *,
        is_only_check: bool = False,
    ) -> Tally:
        rows = self._rows(phase == "checking")
        after = self._after if phase == "applying" else None
        tally = after.tally if after else Tally()
        if tally.failed and mode == "all_or_nothing":
            return tally
        reader = await to_its_end(
            lambda: CsvReader(source, rows.known, rows.required), CsvReader.close
        )

        def tell(chunk: Chunk, tally: Tally) -> None:
            told = tally.of_nothing_kept() if is_only_check else tally
            self._on_progress(
                Progress(
                    phase=phase,
                    bytes_done=number * reader.size + chunk.position,
                    bytes_total=passes * reader.size,
                    phase_done=chunk.position,
                    phase_total=reader.size,
                    **told.figures(),
                )
            )

        try:
            rows.use(reader.columns)
            following = _ahead(reader, rows, self._chunk, after.line if after else 0)
            async with contextlib.aclosing(following) as chunks:
                if phase == "checking":
                    async for chunk in chunks:
                        plan = await rows.plan(chunk.taken)
                        errors = errors_of(chunk, plan)
                        tally = tally.plus(chunk, plan, errors)
                        if errors:
                            self._on_errors(errors)
                        tell(chunk, tally)
                    return tally
                writer = Writer(
                    self._store,
                    rows,
                    tally,
                    chunk=self._chunk,
                    bytes_before=number * reader.size,
                    keep=self._keep,
                    on_errors=self._on_errors,
                )
                async with contextlib.aclosing(_writing(writer, rows, chunks)) as written:
                    async for chunk in written:
                        tell(chunk, writer.tally)
                        if writer.tally.failed and mode == "all_or_nothing":
                            break
                return writer.tally
        finally:
            reader.close()


async def _writing(
    writer: Writer, rows: Rows, chunks: AsyncIterator[Chunk]
) -> AsyncGenerator[Chunk]:
    """Writes the chunks one after the other; while one is being written, the next is planned.

    That is sound because no SKU is in a file twice; where a plan may rest on the chunk before
    all the same (a parent, options that change hands), it is made again.
    """
    writing: tuple[Chunk, asyncio.Task[None]] | None = None
    try:
        async for chunk in chunks:
            plan = await rows.plan(chunk.taken) if writer.takes_whole(chunk) else None
            if writing is not None:
                await writing[1]
                yield writing[0]
                if plan is not None and plan.may_depend:
                    plan = None
            writing = (chunk, asyncio.create_task(writer.write(chunk, plan)))
        if writing is not None:
            await writing[1]
            yield writing[0]
    finally:
        if writing is not None and not writing[1].done():
            await asyncio.wait([writing[1]])


async def _ahead(reader: CsvReader, rows: Rows, count: int, after: int) -> AsyncGenerator[Chunk]:
    """The file in chunks; the next is read while one is being worked on."""
    following = asyncio.create_task(asyncio.to_thread(_take, reader, rows, count, after))
    try:
        while True:
            chunk = await asyncio.shield(following)
            if not chunk.taken and not chunk.bad:
                return
            following = asyncio.create_task(asyncio.to_thread(_take, reader, rows, count, after))
            yield chunk
    finally:
        # A thread can't be stopped, and nobody may close the file under it.
        await asyncio.wait([following])
        following.exception()


def _take(reader: CsvReader, rows: Rows, count: int, after: int) -> Chunk:
    """The next rows past line `after`; none at the end of the file. Blocking."""
    while True:
        cells, bad = reader.take(count)
        is_end = not cells and not bad
        taken = []
        for row in cells:
            try:
                # Skipped rows are parsed too: a later row may not name the same again.
                taken.append(rows.parse(row))
            except Invalid as error:
                bad.append(RowError(line=row.line, field=error.field or "", reason=error.detail))
        if after:
            taken = [row for row in taken if row.line > after]
            bad = [error for error in bad if error.line > after]
        if taken or bad or is_end:
            return Chunk(taken=taken, bad=bad, position=reader.bytes_done)
