"""A stock take: the units that the shop believes a location holds, and those that were counted.

Every product is a line of its own, so that people who count at the same time are in nobody's way.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from storekeeper.domain.catalog import Product
from storekeeper.domain.errors import LimitReached
from storekeeper.domain.types import MAX_ON_HAND, LocationId, ProductId, Struct, fold_sku

# `posting`: nobody counts any more, so that no count is missed; it is open again while lines wait
# for a decision.
TakeState = Literal["preparing", "open", "posting", "posted", "abandoned"]
# `moved`: units came or went since `seen`. `reserved`: orders are promised more than was counted.
# `refused`: the product can't hold stock any more. The three wait for somebody to decide.
Outcome = Literal["", "posted", "moved", "reserved", "refused"]
LineStatus = Literal["uncounted", "equal", "different", "told", "posted"]
STATUSES: tuple[LineStatus, ...] = ("told", "different", "uncounted", "equal", "posted")
MOST_LINES = 5_000
MOST_OPEN = 20
# After so long a take is removed with its lines; what was posted stands in the ledger.
TAKE_KEPT = timedelta(days=60)
# Where shops keep the code that is printed on a product, in the order in which it is looked for.
CODE_ATTRIBUTES = ("barcode", "ean", "gtin", "upc", "isbn")


class StockTake(Struct, frozen=True, kw_only=True):
    """A count of one location, or of one category there. `preparing` until all lines are kept."""

    id: str
    version: int
    location_id: LocationId
    state: TakeState
    started_at: datetime
    by: str
    expires_at: datetime
    category: str | None = None
    ended_at: datetime | None = None

    @property
    def reference(self) -> str:
        """How the ledger names it."""
        return f"stocktake:{self.id}"


class CountLine(Struct, frozen=True, kw_only=True):
    """One product of a take. `seen` are the units on hand that the count is held against,
    `counted` None until somebody did. `found`: the units on hand when posting was refused."""

    id: str
    version: int
    take_id: str
    product_id: ProductId
    sku: str
    name: str
    seen: int
    expires_at: datetime
    counted: int | None = None
    code: str = ""
    outcome: Outcome = ""
    found: int = 0

    @property
    def difference(self) -> int:
        return 0 if self.counted is None else self.counted - self.seen

    @property
    def status(self) -> LineStatus:
        if self.outcome:
            return "posted" if self.outcome == "posted" else "told"
        if self.counted is None:
            return "uncounted"
        return "different" if self.difference else "equal"


def line_id(take_id: str, sku: str) -> str:
    """Lines of a take are in the order of their SKUs."""
    return f"{take_id}|{fold_sku(sku)}"


def new_line(take: StockTake, product: Product, on_hand: int) -> CountLine:
    return CountLine(
        id=line_id(take.id, product.sku),
        version=1,
        take_id=take.id,
        product_id=product.id,
        sku=product.sku,
        name=product.name,
        seen=on_hand,
        expires_at=take.expires_at,
        code=_code_of(product.attributes.items()),
    )


def counted(line: CountLine, units: int | None) -> CountLine:
    """With so many units counted, None for not yet. Raises `LimitReached`."""
    if units is not None and units > MAX_ON_HAND:
        raise LimitReached(f"at most {MAX_ON_HAND} units can be counted", field="counted")
    return _next(line, counted=units, outcome="")


def one_more(line: CountLine, units: int = 1) -> CountLine:
    """With more units than were counted before. Raises `LimitReached`."""
    return counted(line, (line.counted or 0) + units)


def seen_anew(line: CountLine, on_hand: int, *, keep_count: bool) -> CountLine:
    """Held against the units on hand now, counted again unless the count is to be kept."""
    return _next(line, seen=on_hand, counted=line.counted if keep_count else None, outcome="")


def settled(line: CountLine, outcome: Outcome, found: int) -> CountLine:
    """After posting was tried."""
    return _next(line, outcome=outcome, found=found)


def _next(line: CountLine, **fields: object) -> CountLine:
    return msgspec.structs.replace(line, version=line.version + 1, **fields)


def _code_of(attributes: Iterable[tuple[str, str]]) -> str:
    """The code that is printed on the product; empty where none is known."""
    folded = {name.strip().casefold(): value.strip() for name, value in attributes}
    return next((folded[name] for name in CODE_ATTRIBUTES if folded.get(name)), "")
