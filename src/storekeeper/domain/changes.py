"""A change set: a list of guarded writes that happens all together or not at all.

The domain computes change sets and knows nothing of databases; a store commits them.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from storekeeper.domain.events import Event
from storekeeper.domain.stock import Movement
from storekeeper.domain.types import LocationId, ProductId, Struct


class Record(Protocol):
    """Anything kept by id. `version` starts at 1 and grows by one with each change."""

    @property
    def id(self) -> str: ...
    @property
    def version(self) -> int: ...


class Put(NamedTuple):
    """Keep `record`. Its version says what is expected: 1 means that there is none yet,
    N that the kept one is at N - 1."""

    record: Any


class Delete(NamedTuple):
    """Remove the record of `kind` (its type's name) that stands at `version`."""

    kind: str
    id: str
    version: int


class Check(NamedTuple):
    """The record of `kind` must stand at `version`; nothing is written."""

    kind: str
    id: str
    version: int


class Claim(Struct, frozen=True, kw_only=True):
    """A value that only one owner may hold: a SKU, an e-mail address, an idempotency key."""

    scope: str
    value: str
    owner: str
    note: str = ""


class Release(NamedTuple):
    """Give up a claim."""

    scope: str
    value: str


class LevelIs(NamedTuple):
    """The units on hand must be what a count or a decision was based on."""

    product_id: ProductId
    location_id: LocationId
    on_hand: int


class ChangeSet(Struct, frozen=True, kw_only=True):
    """All of it or none of it.

    `releases` come before `claims`, so that a value can change hands in one change set.
    `unreferenced`: products that no order and no variant may refer to, or the change set is
    refused.
    """

    puts: tuple[Put, ...] = ()
    deletes: tuple[Delete, ...] = ()
    checks: tuple[Check, ...] = ()
    claims: tuple[Claim, ...] = ()
    releases: tuple[Release, ...] = ()
    levels: tuple[LevelIs, ...] = ()
    unreferenced: tuple[ProductId, ...] = ()
    movements: tuple[Movement, ...] = ()
    events: tuple[Event, ...] = ()

    def __add__(self, other: ChangeSet) -> ChangeSet:
        return ChangeSet(
            **{
                name: getattr(self, name) + getattr(other, name)
                for name in ChangeSet.__struct_fields__
            }
        )


class Refusal(Exception):
    """A guard of the change set didn't hold; nothing of it was written."""


class Stale(Refusal):
    """A record isn't at the version that was expected (`actual` 0: there is none)."""

    def __init__(self, kind: str, id: str, expected: int, actual: int) -> None:
        super().__init__(f"{kind} {id} is at version {actual}, expected {expected}")
        self.kind = kind
        self.id = id
        self.expected = expected
        self.actual = actual


class Taken(Refusal):
    """A claim is held already; `claim` is the one that stands."""

    def __init__(self, claim: Claim) -> None:
        super().__init__(f"{claim.scope} {claim.value!r} is held by {claim.owner}")
        self.claim = claim


class Short(Refusal):
    """Stock doesn't suffice; `lines` names every shortage (`domain.stock.Shortage`)."""

    def __init__(self, lines: tuple[Any, ...]) -> None:
        super().__init__(f"{len(lines)} stock items fall short")
        self.lines = lines


class LevelMoved(Refusal):
    """The units on hand aren't what `LevelIs` expected."""

    def __init__(self, level: LevelIs, actual: int) -> None:
        super().__init__(f"{level.product_id} at {level.location_id} has {actual} on hand")
        self.level = level
        self.actual = actual


class Referenced(Refusal):
    """An order, a variant or stock still refers to a product that was to be unreferenced."""

    def __init__(self, product_id: str) -> None:
        super().__init__(f"something still refers to product {product_id}")
        self.product_id = product_id


class Impossible(Refusal):
    """More would be released than is reserved: a fault of ours, stopped before it is written."""
