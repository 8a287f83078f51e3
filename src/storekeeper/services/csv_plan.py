"""What a handful of rows comes to: one change set, and the rows that can't be taken."""

from __future__ import annotations

from typing import Any

from storekeeper.domain.changes import ChangeSet, Check
from storekeeper.domain.work import RowError


class Plan:
    """Mutable while it is being made. `items` or `lines`: which row a change comes from.

    `may_depend`: rows before these may change it, because it speaks of other products than theirs.
    """

    __slots__ = (
        "bad",
        "change",
        "checks",
        "created",
        "items",
        "lines",
        "may_depend",
        "unchanged",
        "updated",
    )

    def __init__(self) -> None:
        self.change = ChangeSet()
        self.checks: tuple[Check, ...] = ()
        self.created = 0
        self.updated = 0
        self.unchanged = 0
        self.may_depend = False
        self.bad: dict[int, RowError] = {}
        self.lines: dict[str, int] = {}
        self.items: list[Any] = []

    @property
    def writes(self) -> bool:
        return bool(self.change.puts or self.change.movements)

    def refuse(self, line: int, field: str, reason: str) -> None:
        self.add_bad(RowError(line=line, field=field, reason=reason))

    def add_bad(self, error: RowError) -> None:
        self.bad.setdefault(error.line, error)
