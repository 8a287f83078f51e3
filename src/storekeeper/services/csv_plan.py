"""What a handful of rows comes to: one change set, and the rows that can't be taken."""

from __future__ import annotations

from storekeeper.domain.changes import ChangeSet
from storekeeper.domain.work import RowError


class Plan:
    """Mutable while it is being made. `lines`: which row a product or a claim comes from."""

    __slots__ = ("bad", "change", "created", "lines", "unchanged", "updated")

    def __init__(self) -> None:
        self.change = ChangeSet()
        self.created = 0
        self.updated = 0
        self.unchanged = 0
        self.bad: dict[int, RowError] = {}
        self.lines: dict[str, int] = {}

    @property
    def writes(self) -> bool:
        return bool(self.change.puts or self.change.movements)

    def refuse(self, line: int, field: str, reason: str) -> None:
        self.add_bad(RowError(line=line, field=field, reason=reason))

    def add_bad(self, error: RowError) -> None:
        self.bad.setdefault(error.line, error)
