"""The cache as the shop sees it: bytes under a key for a while, or nothing; never an error.

Whatever goes wrong with a cache is a miss: it may be down, forget, or hold what another program
wrote. Who asks it must be able to do without.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, Protocol

# Nothing larger is kept: one value must not push out thousands of others.
LARGEST_VALUE: Final = 65_536
What = Literal["product", "page", "categories", "caller", "wait"]
Outcome = Literal["near", "far", "miss", "stale"]


class Cache(Protocol):
    """Made by the composition root."""

    async def get(self, key: str) -> bytes | None:
        """What was put there, unchanged, or None."""

    async def put(self, key: str, value: bytes, seconds: float) -> None:
        """Keeps a value for at most so long. One that is larger than `LARGEST_VALUE` isn't kept."""


class Lease(NamedTuple):
    """Requests that a node may let through for a client, how many are left for all nodes, and the
    seconds until there is one more where none is."""

    granted: int
    left: int
    wait: float


class Budgets(Protocol):
    """How many requests each client may still make, of all nodes together."""

    @property
    def is_up(self) -> bool:
        """Whether it is worth asking."""

    async def lease(self, who: str, wanted: int) -> Lease | None:
        """Takes up to `wanted` requests off the budget; None where that can't be told now."""


class Count(Protocol):
    """Where looks into the cache are counted."""

    def __call__(self, what: What, outcome: Outcome) -> None: ...


def not_counted(what: What, outcome: Outcome) -> None:
    """For who has no figures."""
