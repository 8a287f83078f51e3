"""A stock take tells the truth: what was counted is posted once, and never over what moved since."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.errors import Invalid, NotFound, OrderState
from storekeeper.domain.stock import MAIN
from storekeeper.domain.stocktakes import CountLine, StockTake
from storekeeper.services.base import Call, fingerprint
from storekeeper.services.stock_take_posting import StockTakePosting
from storekeeper.services.stock_takes import Correction, Scan, StartRequest, StockTakes
from storekeeper.store.port import MovementQuery
from tests.support.builders import BY_STAFF, STAFF, a_location, a_product, creating, moving
from tests.support.shop import Shop


@dataclass
class Desk:
    """Somebody with a scanner in front of a shop."""

    shop: Shop

    def __post_init__(self) -> None:
        self.takes = StockTakes(self.shop.tools)
        self.posting = StockTakePosting(self.shop.tools, self.takes)

    async def start(self, **fields: Any) -> StockTake:
        return await self.takes.start(BY_STAFF, StartRequest(**fields))

    async def scan(self, take: StockTake, code: str, times: int = 1) -> CountLine:
        return await self.takes.scan(BY_STAFF, take.id, Scan(code=code, units=times))

    async def statuses(self, take: StockTake) -> dict[str, str]:
        page = await self.takes.lines(BY_STAFF, take.id, limit=100)
        return {line.sku: line.status for line in page.items}


@pytest.fixture
async def desk(shop: Shop) -> Desk:
    places = (Put(a_location(MAIN)), Put(a_location("attic")))
    await shop.store.commit(ChangeSet(puts=places))
    return Desk(shop)


async def test_counts_become_movements_and_all_else_stays(desk: Desk) -> None:
    """A counted difference lands in the ledger with its cause; what nobody counted is left alone."""
    mug = await desk.shop.sell("MUG", 5)
    bowl = await desk.shop.sell("BOWL", 7)
    lamp = await desk.shop.sell("LAMP", 2)
    take = await desk.start()
    await desk.scan(take, "mug", 3)
    await desk.scan(take, "LAMP")
    await desk.scan(take, "LAMP")
    assert await desk.statuses(take) == {"BOWL": "uncounted", "LAMP": "equal", "MUG": "different"}

    posted = await desk.posting.post(BY_STAFF, take.id)

    assert (posted.take.state, posted.posted, posted.told) == ("posted", 2, 0)
    assert [await desk.shop.on_hand(one) for one in (mug, bowl, lamp)] == [3, 7, 2]
    ledger = await desk.shop.store.movements(MovementQuery(reference=take.reference))
    (line,) = ledger.items
    assert (line.on_hand, line.reason, line.product_id) == (-2, "counted", mug.id)
    assert await desk.shop.store.verify() == []


async def test_posting_again_posts_nothing_twice(desk: Desk) -> None:
    mug = await desk.shop.sell("MUG", 5)
    take = await desk.start()
    await desk.scan(take, "MUG", 9)
    await asyncio.gather(*(desk.posting.post(BY_STAFF, take.id) for _ in range(3)))
    again = await desk.posting.post(BY_STAFF, take.id)
    assert (again.take.state, again.posted) == ("posted", 1)
    assert await desk.shop.on_hand(mug) == 9


async def test_what_moved_meanwhile_is_told_and_not_overwritten(desk: Desk) -> None:
    """A sale between the count and its posting must not come back as a gain or be lost."""
    mug = await desk.shop.sell("MUG", 5)
    bowl = await desk.shop.sell("BOWL", 5)
    take = await desk.start()
    await desk.scan(take, "MUG", 4)
    await desk.scan(take, "BOWL", 4)
    await desk.shop.store.commit(moving(mug, -1))

    posted = await desk.posting.post(BY_STAFF, take.id)

    assert (posted.take.state, posted.posted, posted.told) == ("open", 1, 1)
    told = await desk.takes.line(BY_STAFF, take.id, "MUG")
    assert (told.outcome, told.seen, told.found) == ("moved", 5, 4)
    assert await desk.shop.on_hand(mug) == 4
    assert await desk.shop.on_hand(bowl) == 4

    await desk.takes.look_again(BY_STAFF, take.id, "MUG", keep_count=True)
    posted = await desk.posting.post(BY_STAFF, take.id)
    assert (posted.take.state, posted.told) == ("posted", 0)
    assert await desk.shop.on_hand(mug) == 4


async def test_units_that_orders_wait_for_cannot_be_counted_away(desk: Desk) -> None:
    mug = await desk.shop.sell("MUG", 5)
    await desk.shop.store.commit(moving(mug, 0, reserved=3))
    take = await desk.start()
    await desk.scan(take, "MUG", 2)
    posted = await desk.posting.post(BY_STAFF, take.id)
    assert (posted.take.state, posted.told) == ("open", 1)
    assert (await desk.takes.line(BY_STAFF, take.id, "MUG")).outcome == "reserved"
    assert (await desk.shop.level(mug)).on_hand == 5


async def test_scanners_that_work_at_the_same_time_lose_no_unit(desk: Desk) -> None:
    await desk.shop.sell("MUG", 5)
    take = await desk.start()
    await asyncio.gather(*(desk.scan(take, "MUG") for _ in range(8)))
    assert (await desk.takes.line(BY_STAFF, take.id, "MUG")).counted == 8


async def test_a_scan_that_is_sent_again_counts_once(desk: Desk) -> None:
    await desk.shop.sell("MUG", 5)
    take = await desk.start()
    call = Call(principal=STAFF, key="k1", fingerprint=fingerprint("scan", "MUG"))
    lines = [await desk.takes.scan(call, take.id, Scan(code="MUG")) for _ in range(2)]
    assert [line.counted for line in lines] == [1, 1]


async def test_a_barcode_and_an_unexpected_product_are_counted_too(desk: Desk) -> None:
    await desk.shop.sell("MUG", 5, attributes={"EAN": "4006381333931"})
    take = await desk.start()
    assert (await desk.scan(take, "4006381333931")).sku == "MUG"
    hat = await desk.shop.sell("HAT")
    assert (await desk.scan(take, "hat", 2)).seen == 0
    assert (await desk.scan(take, "HAT")).counted == 3
    with pytest.raises(NotFound):
        await desk.scan(take, "NONE")
    await desk.shop.sell("VOUCHER", track_stock=False)
    with pytest.raises(Invalid):
        await desk.scan(take, "VOUCHER")
    await desk.posting.post(BY_STAFF, take.id)
    assert await desk.shop.on_hand(hat) == 3


async def test_a_take_holds_one_location_or_one_category_of_it(desk: Desk) -> None:
    await desk.shop.sell("MUG", 5, category="China")
    await desk.shop.sell("LAMP", 5, category="Light")
    chair = a_product("CHAIR", category="China")
    await desk.shop.store.commit(creating(chair) + moving(chair, 1, location="attic"))
    assert list(await desk.statuses(await desk.start())) == ["LAMP", "MUG"]
    assert list(await desk.statuses(await desk.start(category="china"))) == ["MUG"]
    assert list(await desk.statuses(await desk.start(location_id="attic"))) == ["CHAIR"]
    with pytest.raises(Invalid):
        await desk.start(location_id="attic", category="Light")


async def test_a_correction_never_overwrites_what_somebody_else_counted(desk: Desk) -> None:
    await desk.shop.sell("MUG", 5)
    await desk.shop.sell("BOWL", 5)
    take = await desk.start()
    await desk.scan(take, "MUG")
    typed = {"MUG": Correction(was=None, counted=7), "BOWL": Correction(was=None, counted=2)}
    others = await desk.takes.correct(BY_STAFF, take.id, typed)
    assert [line.counted for line in others.values()] == [1]
    assert (await desk.takes.line(BY_STAFF, take.id, "MUG")).counted == 1
    assert (await desk.takes.line(BY_STAFF, take.id, "BOWL")).counted == 2


async def test_the_rest_is_counted_as_none_only_when_asked(desk: Desk) -> None:
    mug = await desk.shop.sell("MUG", 5)
    await desk.shop.sell("BOWL", 5)
    take = await desk.start()
    with pytest.raises(Invalid):
        await desk.posting.post(BY_STAFF, take.id)
    await desk.scan(take, "BOWL", 5)
    assert await desk.takes.count_rest_as_none(BY_STAFF, take.id) == 1
    await desk.posting.post(BY_STAFF, take.id)
    assert await desk.shop.on_hand(mug) == 0


async def test_an_ended_take_is_not_counted_any_more(desk: Desk) -> None:
    await desk.shop.sell("MUG", 5)
    take = await desk.start()
    await desk.takes.abandon(BY_STAFF, take.id)
    with pytest.raises(OrderState):
        await desk.scan(take, "MUG")
    with pytest.raises(OrderState):
        await desk.posting.post(BY_STAFF, take.id)


async def test_a_start_that_is_sent_again_makes_one_take(desk: Desk) -> None:
    """Whoever comes second finds the lines that are there, and adds none twice."""
    await desk.shop.sell("MUG", 5)
    await desk.shop.sell("BOWL", 5)
    call = Call(principal=STAFF, key="k1", fingerprint=fingerprint("start", 1))
    takes = await asyncio.gather(*(desk.takes.start(call, StartRequest()) for _ in range(3)))
    assert len({take.id for take in takes}) == 1
    assert await desk.statuses(takes[0]) == {"BOWL": "uncounted", "MUG": "uncounted"}
    assert (await desk.takes.take(BY_STAFF, takes[0].id)).state == "open"
