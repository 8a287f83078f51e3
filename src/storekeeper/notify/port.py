"""What the relay asks of a channel: take one event, and say how that went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from storekeeper.domain.events import Event
from storekeeper.domain.types import Struct


class Outcome(Struct, frozen=True, kw_only=True):
    """How one try went.

    `is_final`: trying again is pointless. `retry_after`: the seconds that the other side asked
    for. `error` is for admins; it names no addressee.
    """

    delivered: bool
    is_final: bool = False
    status_code: int | None = None
    error: str = ""
    retry_after: float | None = None


DELIVERED = Outcome(delivered=True)


def failed(
    error: str,
    *,
    status_code: int | None = None,
    is_final: bool = False,
    retry_after: float | None = None,
) -> Outcome:
    return Outcome(
        delivered=False,
        is_final=is_final,
        status_code=status_code,
        error=error,
        retry_after=retry_after,
    )


class Sink(Protocol):
    """Somewhere events go. `deliver` may be called again with an event that arrived already."""

    @property
    def name(self) -> str:
        """Unique and lasting; the sink's place in the events is kept under it."""

    @property
    def batch(self) -> int:
        """Events that are handled between two commits of the sink's place, at most."""

    @property
    def parallel(self) -> int:
        """Deliveries under way at once, at most; events of one subject always go one by one."""

    @property
    def keeps_record(self) -> bool:
        """Whether what went well can be looked up too."""

    def wants(self, event: Event) -> bool: ...

    async def deliver(self, event: Event) -> Outcome:
        """Takes its own time limit; what it raises counts as a failure that may pass."""


@runtime_checkable
class Teller(Protocol):
    """A sink that can't fail, and so is told of many events at once."""

    def tell(self, events: Sequence[Event]) -> None: ...


class SinkSource(Protocol):
    """Sinks that come and go while the shop runs."""

    async def sinks(self) -> Sequence[Sink]: ...


def position_id(sink: str) -> str:
    """Under which a sink's place in the events is kept (`domain.work.Position`)."""
    return f"relay:{sink}"


def delivery_id(sink: str, event_id: str) -> str:
    return f"{sink}|{event_id}"
