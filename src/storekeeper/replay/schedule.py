"""Which happenings may be played at the same time without changing what comes of them; pure.

A happening may join a batch when the stock that was there before the batch suffices for all that
the batch takes. Then on hand stays at 0 or more in whatever order the batch is played.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from storekeeper.domain.types import Struct
from storekeeper.replay.happenings import (
    Adjustment,
    Bookkeeping,
    Happening,
    Line,
    Return,
    Sale,
    stock_changes,
)
from storekeeper.replay.matching import Claim, Match, ReturnMatcher


class Act(Struct, frozen=True, kw_only=True):
    """One happening; for a return also where its units come from, line by line."""

    happening: Happening
    matches: tuple[tuple[Line, Match], ...] = ()

    @property
    def takes_back(self) -> set[str]:
        """The invoices whose orders it returns."""
        return {taken.invoice_no for _, match in self.matches for taken in match.taken}


class Schedule:
    """Gathers acts into batches of at most `size`, and remembers the sales that returns speak of.

    `opening` is the stock before the first happening, `claims` what returns ask for. `tally` sums
    up all acts so far, also those that were skipped.
    """

    def __init__(
        self, opening: Mapping[str, int], claims: frozenset[Claim], *, size: int = 64
    ) -> None:
        self._levels = dict(opening)
        self._claims = claims
        self._size = size
        self._matcher = ReturnMatcher(claims)
        self.sold: dict[str, Sale] = {}
        self.tally: Counter[str] = Counter()

    def batches(self, happenings: Iterable[Happening], *, skip: int = 0) -> Iterator[list[Act]]:
        """Batches of what comes after the first `skip`, which were played before."""
        batch: list[Act] = []
        taken: dict[str, int] = {}
        invoices: set[str] = set()
        for number, happening in enumerate(happenings):
            act = self._act(happening)
            _count(act, self.tally)
            changes = _summed(happening)
            if number >= skip:
                if batch and not self._may_join(act, changes, batch, taken, invoices):
                    yield batch
                    self._settle(batch)
                    batch, taken, invoices = [], {}, set()
                batch.append(act)
                invoices.add(happening.invoice_no)
                for sku, units in changes.items():
                    taken[sku] = taken.get(sku, 0) + max(0, -units)
            else:
                self._apply(changes)
        if batch:
            yield batch

    def _act(self, happening: Happening) -> Act:
        if isinstance(happening, Sale):
            self._matcher.record(happening)
            if any((happening.customer_id, line.sku) in self._claims for line in happening.lines):
                self.sold[happening.invoice_no] = happening
        elif isinstance(happening, Return):
            return Act(happening=happening, matches=tuple(self._matcher.settle(happening)))
        return Act(happening=happening)

    def _may_join(
        self,
        act: Act,
        changes: Mapping[str, int],
        batch: list[Act],
        taken: Mapping[str, int],
        invoices: set[str],
    ) -> bool:
        if len(batch) >= self._size or act.takes_back & invoices:
            return False
        return all(
            self._levels.get(sku, 0) >= taken.get(sku, 0) - units
            for sku, units in changes.items()
            if units < 0
        )

    def _settle(self, batch: list[Act]) -> None:
        for act in batch:
            self._apply(_summed(act.happening))

    def _apply(self, changes: Mapping[str, int]) -> None:
        for sku, units in changes.items():
            self._levels[sku] = self._levels.get(sku, 0) + units


def _summed(happening: Happening) -> dict[str, int]:
    changes: dict[str, int] = {}
    for sku, units in stock_changes(happening):
        changes[sku] = changes.get(sku, 0) + units
    return changes


def _count(act: Act, sums: Counter[str]) -> None:
    happening = act.happening
    match happening:
        case Sale():
            sums["sale_orders"] += 1
            sums["sale_lines"] += len(happening.lines)
            sums["units_sold"] += sum(line.quantity for line in happening.lines)
            sums["revenue_pence"] += happening.amount_pence
        case Return():
            sums["returns"] += 1
            sums["return_lines"] += len(happening.lines)
            sums["units_returned"] += sum(line.quantity for line in happening.lines)
            sums["returned_pence"] += happening.amount_pence
            sums["credited_pence"] += sum(line.amount_pence for line in happening.credits)
            sums["units_without_order"] += sum(match.leftover for _, match in act.matches)
        case Adjustment():
            sums["adjustments"] += 1
            sums["units_found"] += max(happening.quantity, 0)
            sums["units_written_off"] += max(-happening.quantity, 0)
            sums["booked_pence"] += happening.amount_pence
        case Bookkeeping():
            sums["booked_pence"] += sum(line.amount_pence for line in happening.lines)
