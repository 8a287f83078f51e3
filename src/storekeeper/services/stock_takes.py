"""Stock takes: starting one, counting by scan or by list, deciding on what moved meanwhile.

Nothing here changes stock; `StockTakePosting` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated

import msgspec

from storekeeper.domain import stocktakes
from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import ChangeSet, Check, Put
from storekeeper.domain.errors import Invalid, LimitReached, NotFound, OrderState
from storekeeper.domain.stock import MAIN, Location
from storekeeper.domain.stocktakes import (
    MOST_LINES,
    MOST_OPEN,
    STATUSES,
    TAKE_KEPT,
    CountLine,
    LineStatus,
    StockTake,
    TakeState,
    line_id,
)
from storekeeper.domain.types import (
    LocationId,
    Quantity,
    ShortText,
    Struct,
    UnitsCounted,
    fold_sku,
)
from storekeeper.services.base import (
    Call,
    Tools,
    commit_once,
    made_before,
    require,
    with_fresh_reads,
)
from storekeeper.services.inventory import why_no_stock
from storekeeper.store.port import Page, ProductQuery

_BATCH = 250


class StartRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be counted: all that a location holds, or one category of it."""

    location_id: LocationId = MAIN
    category: ShortText | None = None


class Scan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A code that was scanned or typed, and how many units it stands for."""

    code: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    units: Quantity = 1


class Correction(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A count that was typed over the one that was shown; None: not counted."""

    was: UnitsCounted | None
    counted: UnitsCounted | None


class Tally(Struct, frozen=True, kw_only=True):
    """How many lines of a take stand where."""

    told: int
    different: int
    uncounted: int
    equal: int
    posted: int

    @property
    def all(self) -> int:
        return self.told + self.different + self.uncounted + self.equal + self.posted

    def of(self, status: LineStatus) -> int:
        count: int = getattr(self, status)
        return count


class StockTakes:
    """Whoever may change stock may count; several people may count in one take."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store

    # -- reading

    async def takes(self, call: Call, *, limit: int, cursor: str | None = None) -> Page[StockTake]:
        """Newest first."""
        require(call, "stock:read")
        return await self._store.list_all(StockTake, limit=limit, cursor=cursor, newest_first=True)

    async def take(self, call: Call, take_id: str) -> StockTake:
        """Raises `NotFound`."""
        require(call, "stock:read")
        found = await self._store.get(StockTake, take_id)
        if found is None:
            raise NotFound(f"there is no stock take {take_id}")
        return found

    async def lines(
        self,
        call: Call,
        take_id: str,
        *,
        status: LineStatus | None = None,
        limit: int,
        cursor: str | None = None,
    ) -> Page[CountLine]:
        """In the order of their SKUs."""
        require(call, "stock:read")
        index, value = ("status", f"{take_id}|{status}") if status else ("take", take_id)
        return await self._store.find(CountLine, index, value, limit=limit, cursor=cursor)

    async def line(self, call: Call, take_id: str, sku: str) -> CountLine:
        """Raises `NotFound`."""
        require(call, "stock:read")
        found = await self._store.get(CountLine, line_id(take_id, sku))
        if found is None:
            raise NotFound(f"{sku} is not in this stock take")
        return found

    async def tally(self, call: Call, take_id: str) -> Tally:
        require(call, "stock:read")
        counts = await asyncio.gather(
            *(
                self._store.count(
                    CountLine, "status", f"{take_id}|{status}", at_most=2 * MOST_LINES
                )
                for status in STATUSES
            )
        )
        return Tally(**dict(zip(STATUSES, counts, strict=True)))

    # -- beginning and ending

    async def start(self, call: Call, request: StartRequest) -> StockTake:
        """Keeps what the location holds now. Raises `Invalid` where that is nothing, or too much
        for one take, and `LimitReached` where too many are open."""
        require(call, "stock:write")
        made = await made_before(self._store, call)
        if made is not None:
            return await self.prepare(call, made)
        await self._require_location(request.location_id)
        query = ProductQuery(
            status=None, location_id=request.location_id, category=request.category, limit=1
        )
        if not (await self._store.products(query)).items:
            raise Invalid("nothing is kept there, so there is nothing to count", field="category")
        for state in ("open", "preparing"):
            if await self._store.count(StockTake, "state", state, at_most=MOST_OPEN) >= MOST_OPEN:
                raise LimitReached(f"{MOST_OPEN} stock takes are open; end one of them first")
        now = self._tools.clock()
        take = StockTake(
            id=self._tools.new_id(),
            version=1,
            location_id=request.location_id,
            category=request.category,
            state="preparing",
            started_at=now,
            by=call.principal.name,
            expires_at=now + TAKE_KEPT,
        )
        owner = await commit_once(self._store, call, take.id, ChangeSet(puts=(Put(take),)))
        return await self.prepare(call, owner)

    async def prepare(self, call: Call, take_id: str) -> StockTake:
        """Writes the lines that are missing; goes on where a try before was cut off."""
        require(call, "stock:write")
        take = await self.take(call, take_id)
        if take.state != "preparing":
            return take
        number = 0
        cursor: str | None = None
        while True:
            page = await self._store.products(
                ProductQuery(
                    status=None,
                    location_id=take.location_id,
                    category=take.category,
                    limit=_BATCH,
                    cursor=cursor,
                )
            )
            number += len(page.items)
            if number > MOST_LINES:
                await self.move_on(call, take_id, "preparing", "abandoned")
                raise LimitReached(
                    f"a stock take holds {MOST_LINES} products; count one category at a time",
                    field="category",
                )
            await self._keep_lines(take, [item.product for item in page.items])
            cursor = page.next
            if cursor is None:
                return await self.move_on(call, take_id, "preparing", "open")

    async def abandon(self, call: Call, take_id: str) -> StockTake:
        """Ends a take without posting (the rest of) it; again changes nothing."""
        require(call, "stock:write")

        async def attempt() -> StockTake:
            take = await self.take(call, take_id)
            if take.state == "abandoned":
                return take
            if take.state in ("posting", "posted"):
                raise OrderState(_NOT_OPEN[take.state], state=take.state)
            return await self._put(take, "abandoned")

        return await with_fresh_reads(attempt)

    async def move_on(
        self, call: Call, take_id: str, before: TakeState, after: TakeState
    ) -> StockTake:
        """From one state to the next; a take in any other is answered as it is."""

        async def attempt() -> StockTake:
            take = await self.take(call, take_id)
            return take if take.state != before else await self._put(take, after)

        return await with_fresh_reads(attempt)

    # -- counting

    async def scan(self, call: Call, take_id: str, scan: Scan) -> CountLine:
        """Counts units of the product with that SKU or barcode, also one that the location isn't
        known to hold. Raises `NotFound`, and `Invalid` for what can't be stocked."""
        require(call, "stock:write")
        made = await made_before(self._store, call)
        if made is not None:
            return await self._line_by_id(made)

        async def attempt() -> str:
            take = await self._open(call, take_id)
            line, is_new = await self._line_of_code(take, scan.code.strip())
            after = stocktakes.one_more(line, scan.units)
            if is_new:
                after = msgspec.structs.replace(after, version=1)
            return await commit_once(self._store, call, line.id, self._counting(take, after))

        return await self._line_by_id(await with_fresh_reads(attempt))

    async def correct(
        self, call: Call, take_id: str, corrections: Mapping[str, Correction]
    ) -> dict[str, CountLine]:
        """Sets counts by SKU, and answers those that somebody else changed since they were shown,
        as they are now: they are left alone. All others are set, together."""
        require(call, "stock:write")
        ids = {line_id(take_id, sku): one for sku, one in corrections.items()}
        if await made_before(self._store, call) is not None:
            return {}

        async def attempt() -> dict[str, CountLine]:
            take = await self._open(call, take_id)
            lines = await self._store.get_many(CountLine, list(ids))
            changed: list[CountLine] = []
            others: dict[str, CountLine] = {}
            for id, line in lines.items():
                wanted = ids[id]
                if line.counted == wanted.counted or line.outcome == "posted":
                    continue
                if line.counted != wanted.was:
                    others[line.sku] = line
                    continue
                changed.append(stocktakes.counted(line, wanted.counted))
            if changed:
                await commit_once(self._store, call, take_id, self._counting(take, *changed))
            return others

        return await with_fresh_reads(attempt)

    async def count_rest_as_none(self, call: Call, take_id: str) -> int:
        """Counts 0 units of everything that nobody counted; answers of how many products."""
        require(call, "stock:write")
        number = 0

        async def attempt() -> int:
            take = await self._open(call, take_id)
            page = await self.lines(call, take_id, status="uncounted", limit=_BATCH)
            if page.items:
                lines = [stocktakes.counted(line, 0) for line in page.items]
                await self._store.commit(self._counting(take, *lines))
            return len(page.items)

        while done := await with_fresh_reads(attempt):
            number += done
        return number

    async def look_again(
        self, call: Call, take_id: str, sku: str, *, keep_count: bool
    ) -> CountLine:
        """Holds a line against the units on hand now; its count is kept, or has to be done anew."""
        require(call, "stock:write")

        async def attempt() -> CountLine:
            take = await self._open(call, take_id)
            line = await self.line(call, take_id, sku)
            if line.outcome in ("", "posted"):
                return line
            on_hand = 0
            for level in await self._store.levels([line.product_id]):
                if level.location_id == take.location_id:
                    on_hand = level.on_hand
            after = stocktakes.seen_anew(line, on_hand, keep_count=keep_count)
            await self._store.commit(self._counting(take, after))
            return after

        return await with_fresh_reads(attempt)

    # -- parts

    async def _open(self, call: Call, take_id: str) -> StockTake:
        take = await self.take(call, take_id)
        if take.state != "open":
            raise OrderState(_NOT_OPEN[take.state], state=take.state)
        return take

    async def _line_by_id(self, id: str) -> CountLine:
        found = await self._store.get(CountLine, id)
        if found is None:
            raise NotFound("this line is not there any more")
        return found

    async def _line_of_code(self, take: StockTake, code: str) -> tuple[CountLine, bool]:
        """The line that a code names, and whether it is a new one."""
        line = await self._store.get(CountLine, line_id(take.id, code))
        if line is not None:
            return line, False
        printed = await self._store.find(CountLine, "code", f"{take.id}|{code}", limit=2)
        if len(printed.items) > 1:
            raise Invalid(f"several products have the code {code}; type the SKU", field="code")
        if printed.items:
            return printed.items[0], False
        product = (await self._store.products_by_sku([fold_sku(code)])).get(fold_sku(code))
        if product is None:
            raise NotFound(f"no product has the SKU or barcode {code}", field="code")
        known = await self._store.find(CountLine, "product", f"{take.id}|{product.id}", limit=1)
        if known.items:
            return known.items[0], False
        return await self._new_line(take, product), True

    async def _new_line(self, take: StockTake, product: Product) -> CountLine:
        refusal = why_no_stock(product)
        if refusal:
            raise Invalid(refusal, field="code")
        if (
            await self._store.count(CountLine, "take", take.id, at_most=2 * MOST_LINES)
            >= 2 * MOST_LINES
        ):
            raise LimitReached("this stock take is full; start another one", field="code")
        on_hand = 0
        for level in await self._store.levels([product.id]):
            if level.location_id == take.location_id:
                on_hand = level.on_hand
        return stocktakes.new_line(take, product, on_hand)

    async def _keep_lines(self, take: StockTake, products: list[Product]) -> None:
        on_hand = {
            level.product_id: level
            for level in await self._store.levels([product.id for product in products])
            if level.location_id == take.location_id
        }
        lines = [
            stocktakes.new_line(take, product, on_hand[product.id].on_hand)
            for product in products
            if product.id in on_hand and not why_no_stock(product, on_hand[product.id])
        ]

        async def attempt() -> None:
            there = await self._store.get_many(CountLine, [line.id for line in lines])
            puts = tuple(Put(line) for line in lines if line.id not in there)
            if puts:
                await self._store.commit(ChangeSet(puts=puts))

        await with_fresh_reads(attempt)

    def _counting(self, take: StockTake, *lines: CountLine) -> ChangeSet:
        """Keeps lines of a take that is still as it was read."""
        return ChangeSet(
            puts=tuple(Put(line) for line in lines),
            checks=(Check("StockTake", take.id, take.version),),
        )

    async def _put(self, take: StockTake, state: TakeState) -> StockTake:
        after = msgspec.structs.replace(
            take,
            version=take.version + 1,
            state=state,
            ended_at=self._tools.clock() if state in ("posted", "abandoned") else None,
        )
        await self._store.commit(ChangeSet(puts=(Put(after),)))
        return after

    async def _require_location(self, location_id: LocationId) -> None:
        if await self._store.get(Location, location_id) is None:
            raise Invalid(f"there is no location {location_id}", field="location_id")


_NOT_OPEN: dict[TakeState, str] = {
    "preparing": "this stock take is still being prepared",
    "posting": "this stock take is just being posted; post it again if that was cut off",
    "posted": "this stock take is posted; start another one",
    "abandoned": "this stock take was abandoned; start another one",
}
