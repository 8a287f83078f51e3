"""Units are never lost, made up or counted twice, and the ledger says what became of each."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storekeeper.domain.errors import (
    Conflict,
    Forbidden,
    InsufficientStock,
    Invalid,
    NotFound,
)
from storekeeper.domain.stock import MAIN
from storekeeper.domain.types import LocationId, OrderId
from storekeeper.services.base import BY_SYSTEM, Call
from storekeeper.services.catalog import ProductPatch
from storekeeper.services.inventory import (
    AdjustRequest,
    CountRequest,
    ProductStock,
    ReceiveRequest,
    TransferRequest,
)
from storekeeper.services.locations import LocationInput
from storekeeper.store.port import MovementQuery
from tests.catalog.desk import ADMIN, BY_ADMIN, CUSTOMER, STAFF, Desk, desk_at

SHOP = LocationId("shop-2")


async def receive(desk: Desk, quantity: int, sku: str = "MUG", **fields) -> ProductStock:
    return await desk.inventory.receive(
        BY_ADMIN, ReceiveRequest(sku=sku, quantity=quantity, **fields)
    )


async def second_place(desk: Desk, id: str = "shop-2") -> None:
    await desk.locations.create(BY_ADMIN, LocationInput(id=id, name="Shop"))


async def test_received_units_are_on_hand_and_in_the_ledger(desk: Desk) -> None:
    mug = await desk.create("MUG")
    stock = await receive(desk, 12, reference="DN-77", note="two boxes")
    assert (stock.total.on_hand, stock.total.available) == (12, 12)
    (line,) = (await desk.inventory.movements(MovementQuery(product_id=mug.id))).items
    assert (line.on_hand, line.reserved, line.reason) == (12, 0, "received")
    assert (line.by, line.reference, line.note) == ("admin:ada", "DN-77", "two boxes")
    assert line.at == desk.clock()


async def test_a_count_of_what_somebody_saw_is_refused_once_it_has_changed(desk: Desk) -> None:
    """Ten were shown, four were sold meanwhile: "ten" would bring the four back."""
    mug = await desk.create("MUG", stock=10)
    await desk.count("MUG", 6)
    request = CountRequest(product_id=mug.id, on_hand=10)
    with pytest.raises(Conflict, match="6 units on hand now"):
        await desk.inventory.count(BY_ADMIN, request, seen=10)
    stock = await desk.inventory.count(BY_ADMIN, request, seen=6)
    assert stock.total.on_hand == 10


async def test_an_adjustment_says_why_and_by_how_much(desk: Desk) -> None:
    mug = await desk.create("MUG", stock=10)
    request = AdjustRequest(product_id=mug.id, quantity=-3, reason="damaged")
    stock = await desk.inventory.adjust(BY_ADMIN, request)
    assert stock.total.on_hand == 7
    found = await desk.inventory.movements(MovementQuery(reason="damaged"))
    assert [line.on_hand for line in found.items] == [-3]
    with pytest.raises(Invalid):
        await desk.inventory.adjust(
            BY_ADMIN, AdjustRequest(sku="MUG", quantity=0, reason="correction")
        )


async def test_reserved_units_can_not_be_taken_away(desk: Desk) -> None:
    await desk.create("MUG", stock=5)
    await desk.order("MUG", 4)
    with pytest.raises(InsufficientStock) as refusal:
        await desk.inventory.adjust(
            BY_ADMIN, AdjustRequest(sku="MUG", quantity=-2, reason="stolen")
        )
    assert refusal.value.members["lines"][0]["available"] == 1
    with pytest.raises(InsufficientStock):
        await desk.count("MUG", 3)
    await desk.count("MUG", 4)


async def test_a_count_writes_the_difference_and_only_a_difference(desk: Desk) -> None:
    mug = await desk.create("MUG")
    await desk.count("MUG", 8)
    await desk.count("MUG", 8)
    await desk.count("MUG", 5)
    lines = (await desk.inventory.movements(MovementQuery(product_id=mug.id))).items
    assert [(line.on_hand, line.reason) for line in lines] == [(-3, "counted"), (8, "counted")]


async def test_counts_at_the_same_time_as_receipts_end_in_a_sound_ledger(desk: Desk) -> None:
    mug = await desk.create("MUG", stock=5)
    await asyncio.gather(
        *(receive(desk, 1) for _ in range(10)), *(desk.count("MUG", 20) for _ in range(5))
    )
    lines = (await desk.inventory.movements(MovementQuery(product_id=mug.id, limit=100))).items
    stock = await desk.inventory.stock(mug.id)
    assert sum(line.on_hand for line in lines) == stock.total.on_hand >= 20
    assert await desk.store.verify() == []


async def test_a_transfer_is_two_lines_of_the_ledger_and_leaves_the_total(desk: Desk) -> None:
    mug = await desk.create("MUG", stock=10)
    await second_place(desk)
    request = TransferRequest(sku="MUG", quantity=4, from_location_id=MAIN, to_location_id=SHOP)
    stock = await desk.inventory.transfer(BY_ADMIN, request)
    assert {level.location_id: level.on_hand for level in stock.levels} == {"main": 6, "shop-2": 4}
    assert stock.total.on_hand == 10
    lines = (await desk.inventory.movements(MovementQuery(product_id=mug.id))).items[:2]
    assert {line.reason: line.on_hand for line in lines} == {
        "transferred_out": -4,
        "transferred_in": 4,
    }


async def test_more_than_there_is_can_not_be_moved_and_nothing_moves(desk: Desk) -> None:
    mug = await desk.create("MUG", stock=3)
    await second_place(desk)
    for target, quantity, refusal in (
        ("shop-2", 4, InsufficientStock),
        ("nowhere", 1, Invalid),
        ("main", 1, Invalid),
    ):
        request = TransferRequest(
            sku="MUG", quantity=quantity, from_location_id=MAIN, to_location_id=LocationId(target)
        )
        with pytest.raises(refusal):
            await desk.inventory.transfer(BY_ADMIN, request)
    stock = await desk.inventory.stock(mug.id)
    assert [(level.location_id, level.on_hand) for level in stock.levels] == [("main", 3)]


@given(
    opening=st.integers(0, 30),
    moves=st.lists(st.tuples(st.sampled_from(["ab", "ba"]), st.integers(1, 20)), max_size=12),
)
def test_transfers_conserve_units_whatever_is_tried(opening, moves) -> None:
    async def life() -> None:
        with tempfile.TemporaryDirectory() as place:
            async with desk_at(Path(place)) as desk:
                mug = await desk.create("MUG", stock=opening)
                await second_place(desk, "b")
                names = {"a": "main", "b": "b"}
                wanted = {"main": opening, "b": 0}
                for way, quantity in moves:
                    source, target = names[way[0]], names[way[1]]
                    request = TransferRequest(
                        sku="MUG",
                        quantity=quantity,
                        from_location_id=LocationId(source),
                        to_location_id=LocationId(target),
                    )
                    try:
                        await desk.inventory.transfer(BY_ADMIN, request)
                        wanted[source] -= quantity
                        wanted[target] += quantity
                    except InsufficientStock:
                        assert quantity > wanted[source]
                stock = await desk.inventory.stock(mug.id)
                held = {"main": 0, "b": 0}
                held.update({level.location_id: level.on_hand for level in stock.levels})
                assert held == wanted
                assert stock.total.on_hand == opening
                assert await desk.store.verify() == []

    asyncio.run(life())


async def test_a_retry_with_the_same_key_receives_once(desk: Desk) -> None:
    await desk.create("MUG")
    call = Call(principal=ADMIN, key="delivery", fingerprint="a")
    request = ReceiveRequest(sku="MUG", quantity=5)
    answers = await asyncio.gather(*(desk.inventory.receive(call, request) for _ in range(4)))
    assert [stock.total.on_hand for stock in answers] == [5, 5, 5, 5]


async def test_what_has_no_stock_takes_none(desk: Desk) -> None:
    await desk.create("VOUCHER", track_stock=False)
    await desk.create("SHIRT", is_parent=True)
    for sku in ("VOUCHER", "SHIRT"):
        with pytest.raises(Invalid) as refusal:
            await receive(desk, 1, sku)
        assert refusal.value.field == "sku"
    with pytest.raises(NotFound):
        await receive(desk, 1, "UNKNOWN")
    with pytest.raises(Invalid):
        await desk.inventory.count(BY_ADMIN, CountRequest(on_hand=1))


async def test_customers_have_no_hand_in_stock(desk: Desk) -> None:
    await desk.create("MUG")
    with pytest.raises(Forbidden):
        await desk.inventory.receive(
            Call(principal=CUSTOMER), ReceiveRequest(sku="MUG", quantity=1)
        )
    await desk.inventory.receive(Call(principal=STAFF), ReceiveRequest(sku="MUG", quantity=1))


async def test_the_ledger_can_be_narrowed_and_paged(desk: Desk) -> None:
    mug = await desk.create("MUG")
    await desk.create("CUP", stock=1)
    await second_place(desk)
    start = desk.clock()
    for number in range(5):
        desk.clock.advance(hours=1)
        await receive(desk, 1 + number, reference=f"DN-{number}")
    await receive(desk, 9, location_id=SHOP)
    query = MovementQuery(product_id=mug.id, location_id=MAIN, limit=2)
    seen: list[int] = []
    while True:
        page = await desk.inventory.movements(query)
        seen += [line.on_hand for line in page.items]
        if page.next is None:
            break
        query = MovementQuery(product_id=mug.id, location_id=MAIN, limit=2, cursor=page.next)
    assert seen == [5, 4, 3, 2, 1]
    by_reference = await desk.inventory.movements(MovementQuery(reference="DN-3"))
    assert [line.on_hand for line in by_reference.items] == [4]
    early = await desk.inventory.movements(
        MovementQuery(product_id=mug.id, at_from=start, at_before=desk.clock())
    )
    assert [line.on_hand for line in early.items] == [4, 3, 2, 1]


async def test_low_stock_is_told_once_per_crossing_and_armed_again_on_the_way_up(
    desk: Desk,
) -> None:
    mug = await desk.create("MUG", low_stock_threshold=5)
    assert [item.product.id for item in (await desk.inventory.low(limit=10)).items] == [mug.id]

    async def alerts() -> int:
        return (await desk.events()).count("stock.low")

    assert await alerts() == 0, "being low from the start is no crossing"
    await receive(desk, 10)
    assert not (await desk.inventory.low(limit=10)).items
    await desk.order("MUG", 4)
    assert await alerts() == 0
    await desk.order("MUG", 1)
    assert await alerts() == 1
    await desk.order("MUG", 2)
    await desk.count("MUG", 8)
    assert await alerts() == 1
    assert len((await desk.inventory.low(limit=10)).items) == 1
    await receive(desk, 20)
    assert not (await desk.inventory.low(limit=10)).items
    await desk.inventory.adjust(BY_ADMIN, AdjustRequest(sku="MUG", quantity=-20, reason="lost"))
    assert await alerts() == 2


async def test_units_of_a_product_that_keeps_no_stock_any_more_can_be_taken_away(
    desk: Desk,
) -> None:
    """An order cancelled after track_stock was switched off leaves some behind."""
    product = await desk.create("MUG", stock=2)
    order_id = OrderId(await desk.order("MUG", 2))
    await desk.order_changes.confirm(BY_SYSTEM, order_id)
    await desk.catalog.patch(BY_ADMIN, product.id, ProductPatch(track_stock=False))
    await desk.order_changes.cancel(BY_SYSTEM, order_id)
    for refused in (
        desk.inventory.receive(BY_ADMIN, ReceiveRequest(sku="MUG", quantity=1)),
        desk.inventory.count(BY_ADMIN, CountRequest(sku="MUG", on_hand=3)),
    ):
        with pytest.raises(Invalid, match="track_stock"):
            await refused
    taken = AdjustRequest(sku="MUG", quantity=-1, reason="lost")
    assert (await desk.inventory.adjust(BY_ADMIN, taken)).total.on_hand == 1
    nothing = CountRequest(sku="MUG", on_hand=0)
    assert (await desk.inventory.count(BY_ADMIN, nothing)).total.on_hand == 0
    with pytest.raises(Invalid, match="track_stock"):
        await desk.inventory.adjust(BY_ADMIN, taken)
    assert await desk.store.verify() == []
