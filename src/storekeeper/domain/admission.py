"""Which of the change sets that arrived together can be done, in the order of their arrival.

This is where the guards of `domain.changes` are decided, for every store. A store reads what the
batch touches into a `State`, asks `admit`, and writes what `State` then holds; nothing else may
write while it does. Stock is decided here and nowhere else: on hand never falls below reserved,
reserved never below zero, and one event tells of each crossing of a product's reorder point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from storekeeper.domain import events
from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import (
    ChangeSet,
    Claim,
    Impossible,
    LevelMoved,
    Referenced,
    Refusal,
    Short,
    Stale,
    Taken,
)
from storekeeper.domain.errors import NotFound
from storekeeper.domain.events import Event
from storekeeper.domain.orders import Order
from storekeeper.domain.stock import Shortage, is_low
from storekeeper.domain.types import LocationId, ProductId

LevelKey = tuple[ProductId, LocationId]
RecordKey = tuple[str, str]
_NOTHING = (0, 0)


class Total:
    """A product's units over all locations, and its rule; mutable while a batch is decided."""

    __slots__ = ("allow_backorder", "is_low", "on_hand", "reserved", "threshold")

    def __init__(
        self,
        on_hand: int = 0,
        reserved: int = 0,
        threshold: int | None = None,
        is_low: bool = False,
        allow_backorder: bool = False,
    ) -> None:
        self.on_hand = on_hand
        self.reserved = reserved
        self.threshold = threshold
        self.is_low = is_low
        self.allow_backorder = allow_backorder


class State:
    """What the batch touches, as it is and then as it will be.

    `versions`: 0 for a record that isn't there. `levels`: (on hand, reserved).
    `gone`: products that the batch deleted; their totals have still to be written.
    `dirty_*`: what admitted change sets changed and the store has to write.
    """

    __slots__ = (
        "claims",
        "dirty_claims",
        "dirty_levels",
        "dirty_totals",
        "gone",
        "levels",
        "referenced",
        "totals",
        "versions",
    )

    def __init__(
        self,
        versions: dict[RecordKey, int],
        claims: dict[tuple[str, str], Claim | None],
        levels: dict[LevelKey, tuple[int, int]],
        totals: dict[ProductId, Total],
        referenced: set[ProductId],
    ) -> None:
        self.versions = versions
        self.claims = claims
        self.levels = levels
        self.totals = totals
        self.referenced = referenced
        self.gone: set[ProductId] = set()
        self.dirty_claims: set[tuple[str, str]] = set()
        self.dirty_levels: set[LevelKey] = set()
        self.dirty_totals: set[ProductId] = set()


class Admitted:
    """A change set that will be written, and the events that its stock gave rise to."""

    __slots__ = ("change", "events")

    def __init__(self, change: ChangeSet, told: list[Event]) -> None:
        self.change = change
        self.events = told


def touched(
    changes: Iterable[ChangeSet],
) -> tuple[set[RecordKey], set[tuple[str, str]], set[ProductId], set[ProductId]]:
    """The records, claims, products' stock and references that deciding on `changes` needs."""
    records: set[RecordKey] = set()
    claims: set[tuple[str, str]] = set()
    totals: set[ProductId] = set()
    references: set[ProductId] = set()
    for change in changes:
        for (record,) in change.puts:
            kind = type(record).__name__
            records.add((kind, record.id))
            if kind == "Product":
                totals.add(record.id)
        records.update([(kind, id) for kind, id, _ in change.checks])
        records.update([(kind, id) for kind, id, _ in change.deletes])
        claims.update([(claim.scope, claim.value) for claim in change.claims])
        claims.update(change.releases)
        totals.update([moved.product_id for moved in change.movements])
        totals.update([level.product_id for level in change.levels])
        references.update(change.unreferenced)
    return records, claims, totals, references


def admit(
    changes: Iterable[ChangeSet], state: State, now: datetime, new_id: Callable[[], str]
) -> list[Admitted | Exception]:
    """Decides each change set in turn; `state` then holds what the admitted ones leave."""
    results: list[Admitted | Exception] = []
    for change in changes:
        try:
            results.append(Admitted(change, _admit_one(change, state, now, new_id)))
        except (Refusal, NotFound) as refusal:
            results.append(refusal)
    return results


def _admit_one(
    change: ChangeSet, state: State, now: datetime, new_id: Callable[[], str]
) -> list[Event]:
    """Checks everything first, then changes `state`: a refusal leaves it as it was."""
    _check_records(change, state)
    new_claims = _check_claims(change, state)
    for product_id in change.unreferenced:
        total = state.totals.get(product_id)
        if product_id in state.referenced or (total and (total.on_hand or total.reserved)):
            raise Referenced(product_id)
    new_levels = _check_levels(change, state)

    for delete in change.deletes:
        state.versions[delete.kind, delete.id] = 0
        if delete.kind == "Product":
            _apply_deletion(ProductId(delete.id), state)
    for (record,) in change.puts:
        state.versions[type(record).__name__, record.id] = record.version
        if type(record) is Order:
            if record.version == 1:
                state.referenced.update([line.product_id for line in record.lines])
        elif type(record) is Product and record.parent_id is not None:
            state.referenced.add(record.parent_id)
    if new_claims:
        state.claims.update(new_claims)
        state.dirty_claims.update(new_claims)
    return _apply_stock(change, state, new_levels, now, new_id)


def _check_records(change: ChangeSet, state: State) -> None:
    versions = state.versions
    for (record,) in change.puts:
        kind = type(record).__name__
        expected = record.version - 1
        actual = versions[kind, record.id]
        if actual != expected:
            raise Stale(kind, record.id, expected, actual)
    for kind, id, expected in change.checks:
        actual = versions[kind, id]
        if actual != expected:
            raise Stale(kind, id, expected, actual)
    for kind, id, expected in change.deletes:
        actual = versions[kind, id]
        if actual != expected:
            raise Stale(kind, id, expected, actual)


def _check_claims(change: ChangeSet, state: State) -> dict[tuple[str, str], Claim | None]:
    new: dict[tuple[str, str], Claim | None] = {}
    for release in change.releases:
        new[release.scope, release.value] = None
    for claim in change.claims:
        key = (claim.scope, claim.value)
        held = new[key] if key in new else state.claims[key]
        if held is not None:
            raise Taken(held)
        new[key] = claim
    return new


def _check_levels(change: ChangeSet, state: State) -> dict[LevelKey, tuple[int, int]]:
    """The levels that the change set leads to; raises `Short` naming every shortage."""
    for expected in change.levels:
        actual = state.levels.get((expected.product_id, expected.location_id), (0, 0))[0]
        if actual != expected.on_hand:
            raise LevelMoved(expected, actual)
    levels = state.levels
    new: dict[LevelKey, tuple[int, int]] = {}
    for movement in change.movements:
        key = (movement.product_id, movement.location_id)
        on_hand, reserved = new.get(key) or levels.get(key, _NOTHING)
        new[key] = (on_hand + movement.on_hand, reserved + movement.reserved)
    rules = {record.id: record for (record,) in change.puts if type(record) is Product}
    totals = state.totals
    short: list[Shortage] = []
    for key, (on_hand, reserved) in new.items():
        product_id = key[0]
        total = None if product_id in state.gone else totals.get(product_id)
        if total is None and product_id not in rules:
            raise NotFound(f"there is no product {product_id}")
        if reserved < 0:
            raise Impossible(f"{key}: {reserved} reserved; more released than was reserved")
        if on_hand < reserved:
            rule = rules.get(product_id)
            if not (rule.allow_backorder if rule else total and total.allow_backorder):
                short.append(_shortage(key, reserved - on_hand, levels.get(key, _NOTHING)))
    if rules:
        short.extend(_left_below_zero(rules, state, new))
    if short:
        raise Short(tuple(short))
    return new


def _shortage(key: LevelKey, lacking: int, before: tuple[int, int]) -> Shortage:
    available = before[0] - before[1]
    return Shortage(
        product_id=key[0],
        location_id=key[1],
        requested=available + lacking,
        available=max(0, available),
    )


def _left_below_zero(
    rules: dict[ProductId, Product], state: State, new: dict[LevelKey, tuple[int, int]]
) -> list[Shortage]:
    """Levels that backorder took below zero stand in the way of switching backorder off."""
    ending = {
        id
        for id, product in rules.items()
        if not product.allow_backorder and id in state.totals and state.totals[id].allow_backorder
    }
    if not ending:
        return []
    return [
        Shortage(product_id=key[0], location_id=key[1], requested=reserved - on_hand, available=0)
        for key, (on_hand, reserved) in state.levels.items()
        if key[0] in ending and key not in new and on_hand < reserved
    ]


def _apply_stock(
    change: ChangeSet,
    state: State,
    new_levels: dict[LevelKey, tuple[int, int]],
    now: datetime,
    new_id: Callable[[], str],
) -> list[Event]:
    told: list[Event] = []
    for (record,) in change.puts:
        if type(record) is Product:
            _apply_rule(record, state)
    levels = state.levels
    totals = state.totals
    for key, level in new_levels.items():
        total = totals[key[0]]
        before = levels.get(key, _NOTHING)
        total.on_hand += level[0] - before[0]
        total.reserved += level[1] - before[1]
    levels.update(new_levels)
    state.dirty_levels.update(new_levels)
    moved = dict.fromkeys([product_id for product_id, _ in new_levels])
    state.dirty_totals.update(moved)
    for product_id in moved:
        total = totals[product_id]
        available = total.on_hand - total.reserved
        low = is_low(available, total.threshold)
        if low and not total.is_low:
            told.append(_low_event(product_id, available, total.threshold, now, new_id()))
        total.is_low = low
    return told


def _apply_deletion(product_id: ProductId, state: State) -> None:
    state.gone.add(product_id)
    total = state.totals.get(product_id)
    if total is not None:
        total.threshold = None
        total.is_low = False


def _apply_rule(product: Product, state: State) -> None:
    """A new product, or a new reorder point, is no crossing: being low then is only noted."""
    state.gone.discard(product.id)
    total = state.totals.get(product.id)
    if total is None:
        total = state.totals[product.id] = Total()
    threshold = product.low_stock_threshold if product.track_stock else None
    if total.threshold != threshold or product.version == 1:
        total.is_low = is_low(total.on_hand - total.reserved, threshold)
    if total.allow_backorder != product.allow_backorder:
        state.dirty_levels.update(key for key in state.levels if key[0] == product.id)
    total.threshold = threshold
    total.allow_backorder = product.allow_backorder
    state.dirty_totals.add(product.id)


def _low_event(
    product_id: ProductId, available: int, threshold: int | None, now: datetime, id: str
) -> Event:
    return Event(
        id=id,
        kind=events.STOCK_LOW,
        subject=f"product:{product_id}",
        at=now,
        data={"product_id": product_id, "available": available, "threshold": threshold},
    )
