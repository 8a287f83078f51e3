"""Ids that are the same in every run and sort in the order in which they were made."""

from __future__ import annotations

import itertools


class Ids:
    """Called like the real source; `node` keeps two sources in one test apart."""

    def __init__(self, node: int = 0) -> None:
        self._node = node
        self._count = itertools.count(1)

    def __call__(self) -> str:
        return f"00000000-0000-7000-8{self._node:03x}-{next(self._count):012x}"
