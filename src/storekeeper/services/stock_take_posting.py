"""Posting a stock take: counts become movements where the stock is still what was counted against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from storekeeper.domain import stocktakes
from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import ChangeSet, Check, LevelIs, LevelMoved, Put, Short, Stale
from storekeeper.domain.errors import Conflict, Invalid, OrderState
from storekeeper.domain.stock import Level, Location, Movement
from storekeeper.domain.stocktakes import CountLine, LineStatus, Outcome, StockTake, TakeState
from storekeeper.domain.types import ProductId, Struct
from storekeeper.services.base import ATTEMPTS, Call, Tools, require
from storekeeper.services.inventory import why_no_stock
from storekeeper.services.stock_takes import StockTakes

_BATCH = 100
_TO_POST: tuple[LineStatus, ...] = ("different", "equal")


class Posted(Struct, frozen=True, kw_only=True):
    """The take after posting, and how many lines were posted and how many have to be decided."""

    take: StockTake
    posted: int
    told: int


class StockTakePosting:
    """A line and its movement are written together, so that doing it again posts nothing twice."""

    def __init__(self, tools: Tools, takes: StockTakes) -> None:
        self._tools = tools
        self._store = tools.store
        self._takes = takes

    async def post(self, call: Call, take_id: str) -> Posted:
        """Posts every counted line that still holds; ends the take when none is left to decide.

        Goes on where a try before was cut off; posting a posted take changes nothing. Raises `OrderState` for an abandoned one, and
        `Invalid` where nothing was counted.
        """
        require(call, "stock:write")
        take = await self._takes.take(call, take_id)
        if take.state in ("open", "posting"):
            tally = await self._takes.tally(call, take_id)
            if tally.all == tally.uncounted:
                raise Invalid("nothing was counted yet")
            take = await self._takes.move_on(call, take_id, "open", "posting")
        if take.state == "posting":
            for status in _TO_POST:
                # What was tried is in another status afterwards.
                while await self._post_some(call, take, status):
                    pass
        elif take.state != "posted":
            raise OrderState("only an open stock take can be posted", state=take.state)
        tally = await self._takes.tally(call, take_id)
        after: TakeState = "open" if tally.told else "posted"
        take = await self._takes.move_on(call, take_id, "posting", after)
        return Posted(take=take, posted=tally.posted, told=tally.told)

    async def _post_some(self, call: Call, take: StockTake, status: LineStatus) -> bool:
        """Whether there were lines in this status."""
        for _ in range(ATTEMPTS):
            page = await self._takes.lines(call, take.id, status=status, limit=_BATCH)
            if not page.items:
                return False
            change = await self._change(call, take, page.items)
            try:
                await self._store.commit(change)
            except (Stale, LevelMoved, Short):
                # Somebody sold in between, or posts as well; the lines are looked at anew.
                take = await self._takes.take(call, take.id)
                if take.state != "posting":
                    return False
                continue
            return True
        raise Conflict("others keep changing these products; try again shortly")

    async def _change(self, call: Call, take: StockTake, lines: Sequence[CountLine]) -> ChangeSet:
        ids = [line.product_id for line in lines]
        products = await self._store.get_many(Product, ids)
        location = await self._store.get(Location, take.location_id)
        levels = {
            level.product_id: level
            for level in await self._store.levels(ids)
            if level.location_id == take.location_id
        }
        checks = [Check("StockTake", take.id, take.version)]
        if location is not None:
            checks.append(Check("Location", location.id, location.version))
        guards: list[LevelIs] = []
        movements: list[Movement] = []
        puts: list[Put] = []
        for line in lines:
            level = levels.get(line.product_id) or Level(
                product_id=line.product_id, location_id=take.location_id, on_hand=0, reserved=0
            )
            outcome = self._outcome(line, products, level, location)
            puts.append(Put(stocktakes.settled(line, outcome, level.on_hand)))
            if outcome != "posted":
                continue
            guards.append(LevelIs(line.product_id, take.location_id, line.seen))
            if line.difference:
                product = products[line.product_id]
                checks.append(Check("Product", product.id, product.version))
                movements.append(self._movement(call, take, line))
        return ChangeSet(
            puts=tuple(puts),
            checks=tuple(checks),
            levels=tuple(guards),
            movements=tuple(movements),
        )

    def _outcome(
        self,
        line: CountLine,
        products: Mapping[str, Product],
        level: Level,
        location: Location | None,
    ) -> Outcome:
        product = products.get(line.product_id)
        change = line.difference
        if product is None or location is None or why_no_stock(product, level, change):
            return "refused"
        if level.on_hand != line.seen:
            return "moved"
        if change > 0 and not location.active:
            return "refused"
        if change < 0 and level.on_hand + change < level.reserved and not product.allow_backorder:
            return "reserved"
        return "posted"

    def _movement(self, call: Call, take: StockTake, line: CountLine) -> Movement:
        return Movement(
            id=self._tools.new_id(),
            product_id=ProductId(line.product_id),
            location_id=take.location_id,
            on_hand=line.difference,
            reserved=0,
            reason="counted",
            at=self._tools.clock(),
            by=call.principal.name,
            reference=take.reference,
            note=f"{line.counted} counted, {line.seen} expected",
        )
