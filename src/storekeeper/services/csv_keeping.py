"""Writing an import's chunks while the shop is open: smaller pieces where orders interfere."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import msgspec

from storekeeper.domain.changes import ChangeSet, LevelMoved, Refusal, Short, Stale, Taken
from storekeeper.domain.errors import Conflict, Overloaded
from storekeeper.domain.types import Struct
from storekeeper.domain.work import RowError
from storekeeper.services.base import ATTEMPTS
from storekeeper.services.csv_plan import Plan
from storekeeper.services.csv_reader import Cells
from storekeeper.store.port import Store

SHOWN_ERRORS = 100
BUSY_WAIT_S = 0.2
BUSY_TRIES = 300
# Tries of a single row that wants its units on hand to stand still; then it is set all the same.
GUARDED_TRIES = 4
# Before another try, at random up to this: who edits without a pause mustn't win every time.
FIRST_REST_S = 0.002
LONGEST_REST_S = 0.2


class Chunk(Struct, frozen=True, kw_only=True):
    """Some rows of the file, parsed; those that can't be; and how far the file is read."""

    taken: list[Any]
    bad: list[RowError]
    position: int

    @property
    def last_line(self) -> int:
        lines = [error.line for error in self.bad]
        if self.taken:
            lines.append(self.taken[-1].line)
        return max(lines)

    def parted(self, count: int) -> tuple[Chunk, Chunk | None]:
        """The first `count` rows with the bad ones among them, and what is left."""
        if len(self.taken) <= count:
            return self, None
        end = self.taken[count - 1].line
        head = Chunk(
            taken=self.taken[:count],
            bad=[error for error in self.bad if error.line <= end],
            position=self.position,
        )
        rest = Chunk(
            taken=self.taken[count:],
            bad=[error for error in self.bad if error.line > end],
            position=self.position,
        )
        return head, rest


class Rows(Protocol):
    """What one kind of file means. `parse` and `use` raise `Invalid`.

    `stand_alone`: no row rests on another, so that any number of them may be written together.
    """

    @property
    def known(self) -> Sequence[str]: ...
    @property
    def required(self) -> Sequence[str]: ...
    @property
    def stand_alone(self) -> bool: ...

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

    def of_nothing_kept(self) -> Tally:
        """The figures where none of the rows read was written."""
        after = Tally()
        after.rows, after.failed = self.rows, self.failed
        after.first_errors = self.first_errors
        return after

    def plus(self, chunk: Chunk, plan: Plan, errors: Sequence[RowError]) -> Tally:
        """The figures with one chunk more."""
        after = Tally()
        after.rows = self.rows + len(chunk.taken) + len(chunk.bad)
        after.created = self.created + plan.created
        after.updated = self.updated + plan.updated
        after.unchanged = self.unchanged + plan.unchanged
        after.failed = self.failed + len(errors)
        after.first_errors = [*self.first_errors, *errors][:SHOWN_ERRORS]
        return after


class Mark(Struct, frozen=True, kw_only=True):
    """All lines up to `line` are applied; what came of them, and the errors of the last rows."""

    line: int
    tally: Tally
    bytes_done: int = 0
    errors: tuple[RowError, ...] = ()


# Commits the change together with the mark: both are kept or neither is.
Keep = Callable[[ChangeSet, Mark], Awaitable[None]]
OnErrors = Callable[[Sequence[RowError]], None]


def errors_of(chunk: Chunk, plan: Plan, blamed: Sequence[RowError] = ()) -> tuple[RowError, ...]:
    errors = [*chunk.bad, *blamed, *plan.bad.values()]
    return tuple(sorted(errors, key=lambda error: error.line))


class Writer:
    """Writes chunks one after the other. With `keep`, each commit says how far the file is."""

    def __init__(
        self,
        store: Store,
        rows: Rows,
        tally: Tally,
        *,
        chunk: int,
        bytes_before: int,
        keep: Keep | None,
        on_errors: OnErrors,
    ) -> None:
        self._store = store
        self._rows = rows
        self._chunk = chunk
        self._size = chunk
        self._bytes_before = bytes_before
        self._keep = keep
        self._on_errors = on_errors
        self.tally = tally

    def takes_whole(self, chunk: Chunk) -> bool:
        """Whether a plan for the whole chunk is of use."""
        return len(chunk.taken) <= self._size

    async def write(self, chunk: Chunk, plan: Plan | None) -> None:
        """Writes the chunk, in smaller pieces while others interfere and larger ones after."""
        rest: Chunk | None = chunk
        while rest is not None:
            piece, following = rest.parted(self._size)
            if await self._write_piece(piece, plan if piece is chunk else None):
                self._size = min(self._chunk, self._size * 2)
                rest = following
            else:
                self._size = max(1, len(piece.taken) // 2)
            plan = None

    async def _write_piece(self, piece: Chunk, plan: Plan | None) -> bool:
        """Rows that can't be taken are left out. False where fewer rows have a better chance."""
        taken, blamed = piece.taken, list[RowError]()
        stands_alone = self._rows.stand_alone
        is_single = stands_alone and len(taken) == 1
        for number in range(ATTEMPTS):
            if plan is None:
                plan = await self._rows.plan(taken)
            if is_single and number >= GUARDED_TRIES:
                _let_sell(plan)
            try:
                await self._commit(piece, plan, blamed)
                return True
            except (Stale, LevelMoved):
                if stands_alone and not is_single:
                    return False
                plan = None
                most = min(LONGEST_REST_S, FIRST_REST_S * 2**number)
                await asyncio.sleep(random.uniform(0, most))  # noqa: S311 - only spreads
            except (Taken, Short) as refusal:
                found = self._rows.blame(taken, refusal, plan)
                lines = {error.line for error in found}
                blamed.extend(found)
                taken = [row for row in taken if row.line not in lines]
                plan = None
        if not is_single:
            raise Conflict("others keep changing the same products; import the file again")
        reason = "others keep changing this product; import this row again"
        blamed.extend(RowError(line=row.line, field="sku", reason=reason) for row in taken)
        await self._commit(piece, Plan(), blamed)
        return True

    async def _commit(self, piece: Chunk, plan: Plan, blamed: Sequence[RowError]) -> None:
        errors = errors_of(piece, plan, blamed)
        tally = self.tally.plus(piece, plan, errors)
        keep = self._keep
        if keep is not None:
            mark = Mark(
                line=piece.last_line,
                tally=tally,
                bytes_done=self._bytes_before + piece.position,
                errors=errors,
            )
            # Also where no row changes anything: what is sold from here on must stay sold.
            await _when_free(lambda: keep(plan.change, mark))
        else:
            if plan.writes:
                await _when_free(lambda: self._store.commit(plan.change))
            if errors:
                self._on_errors(errors)
        self.tally = tally


def _let_sell(plan: Plan) -> None:
    """Takes the guard on the units from a single row's plan, so that no pace of sales stops it.

    The row says what was counted; its movement is the difference to what was on hand when it was
    read, a moment ago. What is sold between that reading and the commit left the shelf after the
    count: added to those sales, the difference leaves what was counted less what was sold since,
    which is what lies there. The guard only takes the later moment where it can have it. Without
    it another count in that very moment would be added to this one; hence it is tried first, and
    given up only where the units never stand still. Stock still can't fall below what is reserved.
    """
    plan.change = msgspec.structs.replace(plan.change, levels=())


async def _when_free(commit: Callable[[], Awaitable[None]]) -> None:
    """Orders go first: an import waits while the write queue is full, for a minute at most."""
    for _ in range(BUSY_TRIES):
        try:
            await commit()
        except Overloaded:
            await asyncio.sleep(BUSY_WAIT_S)
        else:
            return
    await commit()
