"""What the writer remembers between batches."""

from __future__ import annotations

from typing import Any

from storekeeper.domain.admission import Total


class Known:
    """Products as the last commit left them: row, version, total, levels, and the newest movement
    and order line. Kept from batch to batch while nobody else writes; an order then reads nothing
    but its own id."""

    __slots__ = ("chains", "data_version", "levels", "pks", "totals", "versions")

    def __init__(self, data_version: int = -1) -> None:
        self.data_version = data_version
        self.pks: dict[str, int] = {}
        self.versions: dict[str, int] = {}
        self.totals: dict[Any, Total] = {}
        self.levels: dict[Any, tuple[int, int]] = {}
        self.chains: dict[str, list[int]] = {}
