"""Two stores in memory: one that decides by `admit`, in batches, and one that is plainly right."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

from storekeeper.domain.admission import Admitted, State, Total, admit, touched
from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import (
    ChangeSet,
    Claim,
    Impossible,
    LevelMoved,
    Referenced,
    Short,
    Stale,
    Taken,
)
from storekeeper.domain.errors import NotFound
from storekeeper.domain.orders import Order
from storekeeper.domain.types import ProductId
from tests.support.clock import START
from tests.support.ids import Ids

Outcome = type[Exception] | None


@dataclass
class Kept:
    """What a store holds, in a form that can be compared."""

    versions: dict[tuple[str, str], int] = field(default_factory=dict)
    claims: dict[tuple[str, str], str] = field(default_factory=dict)
    levels: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    # threshold, low, backorder
    rules: dict[str, tuple[int | None, bool, bool]] = field(default_factory=dict)
    ordered: set[str] = field(default_factory=set)
    alerts: list[tuple[str, int]] = field(default_factory=list)

    def total(self, product: str) -> tuple[int, int]:
        levels = [level for (id, _), level in self.levels.items() if id == product]
        return sum(on_hand for on_hand, _ in levels), sum(reserved for _, reserved in levels)

    def available(self, product: str) -> int:
        on_hand, reserved = self.total(product)
        return on_hand - reserved


class Deciding:
    """Loads what a batch touches, asks `admit`, writes what it marked as changed."""

    def __init__(self) -> None:
        self.kept = Kept()
        self._claims: dict[tuple[str, str], Claim] = {}

    def commit(self, changes: Sequence[ChangeSet]) -> list[Outcome]:
        state = self._load(changes)
        results = admit(changes, state, START, Ids())
        admitted = [result for result in results if isinstance(result, Admitted)]
        self._write(admitted, state)
        return [type(result) if isinstance(result, Exception) else None for result in results]

    def _load(self, changes: Sequence[ChangeSet]) -> State:
        kept = self.kept
        records, claims, totals, references = touched(changes)
        products = {id for kind, id in records if kind == "Product"} | totals | references
        return State(
            versions={key: kept.versions.get(key, 0) for key in records},
            claims={key: self._claims.get(key) for key in claims},
            levels={key: level for key, level in kept.levels.items() if key[0] in products},  # type: ignore[misc]
            totals={ProductId(id): _total(kept, id) for id in products if id in kept.rules},
            referenced={id for id in references if id in kept.ordered},
        )

    def _write(self, admitted: Sequence[Admitted], state: State) -> None:
        kept = self.kept
        for product_id in state.dirty_totals:
            total = state.totals[product_id]
            kept.rules[product_id] = (total.threshold, total.is_low, total.allow_backorder)
        for key in state.dirty_levels:
            kept.levels[key] = state.levels[key]
        for claim_key in state.dirty_claims:
            claim = state.claims[claim_key]
            if claim is None:
                self._claims.pop(claim_key, None)
            else:
                self._claims[claim_key] = claim
        kept.claims = {key: claim.owner for key, claim in self._claims.items()}
        for result in admitted:
            _note_records(kept, result.change)
            kept.alerts += [
                (event.data["product_id"], event.data["available"]) for event in result.events
            ]
        assert all(
            (state.totals[id].on_hand, state.totals[id].reserved) == kept.total(id)
            for id in state.dirty_totals
        )


def _total(kept: Kept, id: str) -> Total:
    on_hand, reserved = kept.total(id)
    threshold, is_low, backorder = kept.rules[id]
    return Total(on_hand, reserved, threshold, is_low, backorder)


class Plain:
    """One change set at a time, on a copy that is kept only if nothing is wrong with it."""

    def __init__(self) -> None:
        self.kept = Kept()

    def commit(self, change: ChangeSet) -> Outcome:
        after = copy.deepcopy(self.kept)
        try:
            _check_records(self.kept, change)
            _move_claims(after, change)
            _check_references(self.kept, change)
            _move_stock(after, self.kept, change)
        except (Stale, Taken, Referenced, LevelMoved, NotFound, Short, Impossible) as refusal:
            return type(refusal)
        _note_records(after, change)
        _note_low(after, self.kept, change)
        self.kept = after
        return None


def _note_records(kept: Kept, change: ChangeSet) -> None:
    for delete in change.deletes:
        kept.versions.pop((delete.kind, delete.id), None)
        if delete.kind == "Product":
            kept.rules.pop(delete.id, None)
    for put in change.puts:
        kept.versions[type(put.record).__name__, put.record.id] = put.record.version
        if isinstance(put.record, Order):
            kept.ordered.update(line.product_id for line in put.record.lines)


def _check_records(kept: Kept, change: ChangeSet) -> None:
    expected = [
        (type(put.record).__name__, put.record.id, put.record.version - 1) for put in change.puts
    ]
    for kind, id, version in (*expected, *change.checks, *change.deletes):
        actual = kept.versions.get((kind, id), 0)
        if actual != version:
            raise Stale(kind, id, version, actual)


def _move_claims(after: Kept, change: ChangeSet) -> None:
    for release in change.releases:
        after.claims.pop((release.scope, release.value), None)
    for claim in change.claims:
        if (claim.scope, claim.value) in after.claims:
            raise Taken(claim)
        after.claims[claim.scope, claim.value] = claim.owner


def _check_references(kept: Kept, change: ChangeSet) -> None:
    for id in change.unreferenced:
        if id in kept.ordered or any(kept.total(id)):
            raise Referenced(id)


def _move_stock(after: Kept, before: Kept, change: ChangeSet) -> None:
    products = {put.record.id: put.record for put in change.puts if isinstance(put.record, Product)}
    for expected in change.levels:
        actual = before.levels.get((expected.product_id, expected.location_id), (0, 0))[0]
        if actual != expected.on_hand:
            raise LevelMoved(expected, actual)
    for id, product in products.items():
        _, low, _ = before.rules.get(id, (None, False, False))
        after.rules[id] = (product.low_stock_threshold, low, product.allow_backorder)
    for movement in change.movements:
        if movement.product_id not in after.rules:
            raise NotFound(movement.product_id)
        key = (movement.product_id, movement.location_id)
        on_hand, reserved = after.levels.get(key, (0, 0))
        after.levels[key] = (on_hand + movement.on_hand, reserved + movement.reserved)
    if any(reserved < 0 for _, reserved in after.levels.values()):
        raise Impossible
    for level_key, (on_hand, reserved) in after.levels.items():
        if on_hand < reserved and not after.rules[level_key[0]][2]:
            raise Short(())


def _note_low(after: Kept, before: Kept, change: ChangeSet) -> None:
    for put in change.puts:
        if isinstance(put.record, Product):
            id = put.record.id
            threshold, low, backorder = after.rules[id]
            if id not in before.rules or before.rules[id][0] != threshold:
                low = threshold is not None and before.available(id) <= threshold
            after.rules[id] = (threshold, low, backorder)
    for moved in dict.fromkeys(movement.product_id for movement in change.movements):
        threshold, was_low, backorder = after.rules[moved]
        is_low = threshold is not None and after.available(moved) <= threshold
        if is_low and not was_low:
            after.alerts.append((moved, after.available(moved)))
        after.rules[moved] = (threshold, is_low, backorder)
