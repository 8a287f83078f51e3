"""What the rows of a stock file mean: one row says how many units are on hand at a location."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from storekeeper.domain import events
from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import ChangeSet, Check, LevelIs, Refusal, Short
from storekeeper.domain.errors import Invalid
from storekeeper.domain.events import Event
from storekeeper.domain.stock import MAIN, Level, Location, Movement
from storekeeper.domain.types import LocationId, Note, ProductId, Struct, fold_sku
from storekeeper.domain.work import RowError
from storekeeper.services.base import Tools
from storekeeper.services.csv_format import STOCK_COLUMNS, on_hand_of
from storekeeper.services.csv_plan import Plan
from storekeeper.services.csv_reader import Cells
from storekeeper.services.inventory import why_no_stock
from storekeeper.services.validation import field_and_reason


class StockRow(Struct, frozen=True, kw_only=True):
    """A row that was read."""

    line: int
    key: str
    location_id: LocationId
    on_hand: int
    note: str


class StockRows:
    """One reading of a stock file. Without a location it is the main one."""

    known = STOCK_COLUMNS
    required = ("sku", "on_hand")
    stand_alone = True

    def __init__(self, tools: Tools, import_id: str, by: str, *, checking: bool) -> None:
        self._tools = tools
        self._import_id = import_id
        self._by = by
        self._checking = checking
        self._first_lines: dict[tuple[str, str], int] = {}

    def use(self, columns: Sequence[str]) -> None:
        self._at = {name: index for index, name in enumerate(columns)}

    def parse(self, row: Cells) -> StockRow:
        """The row's values; raises `Invalid` naming the column."""
        cells, at = row.cells, self._at
        key = fold_sku(cells[at["sku"]])
        if not key:
            raise Invalid("is missing", field="sku")
        location = cells[at["location"]].strip() if "location" in at else ""
        location_id = LocationId(location or MAIN)
        first = self._first_lines.setdefault((key, location_id), row.line)
        if first != row.line:
            raise Invalid(f"stands on line {first} already, with this location", field="sku")
        note = cells[at["note"]] if "note" in at else ""
        try:
            msgspec.convert(note, Note)
        except msgspec.ValidationError as error:
            raise Invalid(field_and_reason(error, Note)[1], field="note") from None
        return StockRow(
            line=row.line,
            key=key,
            location_id=location_id,
            on_hand=on_hand_of(cells[at["on_hand"]], "on_hand"),
            note=note,
        )

    async def plan(self, rows: Sequence[StockRow]) -> Plan:
        """What the rows come to, as the shop is now."""
        store = self._tools.store
        products = await store.products_by_sku(list({row.key for row in rows}))
        levels = {
            (level.product_id, level.location_id): level
            for level in await store.levels([product.id for product in products.values()])
        }
        locations = await store.get_many(Location, list({row.location_id for row in rows}))
        plan = Plan()
        checks: dict[Check, None] = {}
        guards: list[LevelIs] = []
        movements: list[Movement] = []
        for row in rows:
            product = products.get(row.key)
            location = locations.get(row.location_id)
            level = levels.get((product.id, row.location_id)) if product else None
            error = _refusal(row, product, location, level)
            if error is not None or product is None or location is None:
                plan.refuse(row.line, *(error or ("", "")))
                continue
            on_hand = level.on_hand if level else 0
            if on_hand == row.on_hand:
                plan.unchanged += 1
                continue
            plan.updated += 1
            plan.lines[f"{product.id}:{location.id}"] = row.line
            if not self._checking:
                checks[Check("Product", product.id, product.version)] = None
                checks[Check("Location", location.id, location.version)] = None
                guards.append(LevelIs(product.id, location.id, on_hand))
                movements.append(self._movement(row, product.id, row.on_hand - on_hand))
        if movements:
            plan.change = ChangeSet(
                checks=tuple(checks),
                levels=tuple(guards),
                movements=tuple(movements),
                events=(self._event(plan),),
            )
        return plan

    def blame(self, rows: Sequence[StockRow], refusal: Refusal, plan: Plan) -> list[RowError]:
        """The rows because of which a commit was refused; none where reading again settles it."""
        if not isinstance(refusal, Short):
            return []
        found = [
            (plan.lines.get(f"{shortage.product_id}:{shortage.location_id}"), shortage)
            for shortage in refusal.lines
        ]
        reason = "orders reserve more units than this"
        return [
            RowError(line=line, field="on_hand", reason=reason)
            for line, _ in found
            if line is not None
        ]

    def _movement(self, row: StockRow, product_id: ProductId, quantity: int) -> Movement:
        return Movement(
            id=self._tools.new_id(),
            product_id=product_id,
            location_id=row.location_id,
            on_hand=quantity,
            reserved=0,
            reason="imported",
            at=self._tools.clock(),
            by=self._by,
            reference=f"import:{self._import_id}",
            note=row.note,
        )

    def _event(self, plan: Plan) -> Event:
        return Event(
            id=self._tools.new_id(),
            kind=events.STOCK_IMPORTED,
            subject=f"import:{self._import_id}",
            at=self._tools.clock(),
            data={"import_id": self._import_id, "by": self._by, "updated": plan.updated},
        )


def _refusal(
    row: StockRow, product: Product | None, location: Location | None, level: Level | None
) -> tuple[str, str] | None:
    if product is None:
        return "sku", "there is no product with this SKU"
    change = row.on_hand - (level.on_hand if level else 0)
    if refusal := why_no_stock(product, level, change):
        return "sku", refusal
    if location is None:
        return "location", f"there is no location {row.location_id}"
    on_hand = level.on_hand if level else 0
    if not location.active and row.on_hand > on_hand:
        return "location", f"{location.name} takes no stock any more"
    if row.on_hand < 0 and not product.allow_backorder:
        return "on_hand", "is below zero, which only a product with allow_backorder may be"
    reserved = level.reserved if level else 0
    if row.on_hand < reserved and not product.allow_backorder and row.on_hand != on_hand:
        return "on_hand", f"orders reserve {reserved} units, which is more"
    return None
