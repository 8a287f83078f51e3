"""How a run was asked for: how long, where, and how much it says meanwhile."""

from __future__ import annotations

import sys
from pathlib import Path

from storekeeper.domain.types import Struct


class Run(Struct, frozen=True, kw_only=True):
    """`scale` shortens what takes long; targets are promised for 1 only.

    `seconds` is the length of a slice, `kills` the rounds of the proof against loss.
    """

    scale: float = 1.0
    seconds: float = 1.5
    kills: int = 50
    data: Path = Path("../shared/data")
    is_quiet: bool = False

    def rounds(self, wanted: int) -> int:
        return max(3, round(wanted * self.scale))

    def size(self, wanted: int, least: int = 1_000) -> int:
        return max(least, round(wanted * self.scale))

    def say(self, text: str) -> None:
        if not self.is_quiet:
            print(f"   … {text}", file=sys.stderr, flush=True)
