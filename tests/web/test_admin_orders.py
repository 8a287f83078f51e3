"""Staff run the day's orders from the pages: what they see is so, and what they do is done once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from storekeeper.domain.accounts import ROLE_SCOPES, Principal
from storekeeper.domain.orders import Order
from storekeeper.domain.types import AccountId
from storekeeper.domain.views import MOST_VIEWS, OrderView
from storekeeper.services.base import BY_SYSTEM, Call
from storekeeper.services.inventory import ReceiveRequest
from storekeeper.services.locations import LocationInput
from tests.api.shopfront import Seed, in_one_task, seed_shop
from tests.support.pdf import texts_of
from tests.web.desk import Desk, desk_at, text_of

ADDRESS = {
    "name": "Ada Lovelace",
    "line1": "12 St James's Square",
    "city": "Łódź",
    "country": "PL",
    "postal_code": "90-001",
}


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Seed:
    return seed_shop(tmp_path_factory.mktemp("seed"))


@pytest.fixture
async def desk(tmp_path: Path, seed: Seed) -> AsyncIterator[Desk]:
    async with in_one_task(desk_at(tmp_path, seed)) as desk:  # type: ignore[arg-type]
        yield desk  # type: ignore[misc]


async def ordered(desk: Desk, *lines: tuple[str, int], confirm: bool = True) -> Order:
    made = await desk.front.placed(
        "ada", *lines or (("MUG", 3), ("LAMP", 2)), confirm=confirm, shipping_address=ADDRESS
    )
    return await kept(desk, made["id"])


async def kept(desk: Desk, order_id: str) -> Order:
    order = await desk.front.shop.store.get(Order, order_id)
    assert order is not None
    return order


def address_of(order: Order) -> str:
    return f"/admin/orders/{order.id}"


async def test_the_table_shows_what_its_address_asks_for(desk: Desk):
    """A bookmark of a filter finds the same orders tomorrow."""
    mug = await ordered(desk, ("MUG", 1))
    lamp = await ordered(desk, ("LAMP", 1), confirm=False)

    async def shown(query: str) -> set[str]:
        text = await desk.look(f"/admin/orders?{query}")
        return {order.number for order in (mug, lamp) if order.number in text}

    both = {mug.number, lamp.number}
    assert await shown("") == both
    assert await shown("state=confirmed") == {mug.number}
    assert await shown("sku=lamp") == {lamp.number}
    assert await shown(f"number={mug.number.lower().replace('-', '')}") == {mug.number}
    assert await shown("customer=ADA%40example.com") == both
    assert await shown("customer=bob%40example.com") == set()
    assert await shown("customer=nobody%40example.com") == set()
    assert await shown("since=2030-01-01&until=2030-01-01") == both
    assert await shown("until=2029-12-31") == set()


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("state=lost", "There is no such state"),
        ("since=yesterday", "Type a day such as 2026-01-31"),
        ("until=2026-02-30", "Type a day such as 2026-01-31"),
        ("cursor=nonsense", "cursor"),
    ],
)
async def test_a_filter_that_makes_no_sense_is_told(desk: Desk, query: str, told: str):
    assert told in await desk.look(f"/admin/orders?{query}", status=422)


async def test_the_board_has_a_column_for_each_state(desk: Desk):
    confirmed = await ordered(desk)
    pending = await ordered(desk, ("MUG", 1), confirm=False)
    text = await desk.look("/admin/orders/board")
    assert text.index(pending.number) < text.index("Confirmed") < text.index(confirmed.number)


async def test_an_order_is_confirmed_shipped_in_parts_delivered_and_taken_back(desk: Desk):
    """The whole life of an order, through forms alone; stock follows to the unit."""
    order = await ordered(desk, confirm=False)
    at = address_of(order)
    await desk.send(at, "/confirm")
    assert await desk.front.available("MUG") == 97

    await desk.send(at, "/ship", ship__1="2", ship__2="0", carrier="Post", tracking_number="RR 1")
    order = await kept(desk, order.id)
    assert order.state == "partially_shipped"
    assert [line.fulfilled for line in order.lines] == [2, 0]
    await desk.send(at, "/ship")
    assert (await kept(desk, order.id)).state == "shipped"
    assert "RR 1" in await desk.look(at)

    await desk.send(at, "/deliver")
    await desk.send(at, "/deliver")
    assert (await kept(desk, order.id)).state == "delivered"

    await desk.send(at, "/return", return__1="1", return_reason="too blue")
    await desk.send(at, "/return", return__2="2", restock="no")
    order = await kept(desk, order.id)
    assert [line.returned for line in order.lines] == [1, 2]
    assert await desk.front.available("MUG") == 98
    assert await desk.front.available("LAMP") == 8
    text = await desk.look(at)
    assert "too blue" in text
    assert "Sam" in text


async def test_a_double_click_ships_once(desk: Desk):
    order = await ordered(desk)
    page = await desk.page(address_of(order))
    for _ in range(2):
        await desk.send("", "/ship", page=page, ship__1="1", ship__2="0")
    order = await kept(desk, order.id)
    assert [line.fulfilled for line in order.lines] == [1, 0]


async def test_what_somebody_else_did_meanwhile_is_told_and_what_was_typed_stays(desk: Desk):
    order = await ordered(desk)
    page = await desk.page(address_of(order))
    await desk.send(address_of(order), "/ship", ship__1="1", ship__2="0")

    answer = await desk.send("", "/ship", page=page, status=422, ship__2="1", carrier="Pigeon")

    assert "Somebody changed this order meanwhile" in answer.text
    assert 'value="Pigeon"' in answer.text
    assert [line.fulfilled for line in (await kept(desk, order.id)).lines] == [1, 0]
    await desk.send("", "/ship", page=answer.text, ship__1="2", ship__2="1")
    assert [line.fulfilled for line in (await kept(desk, order.id)).lines] == [3, 1]


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({"ship__1": "4", "ship__2": "0"}, "Line 1 has 3 units left to ship, not 4."),
        ({"ship__1": "two"}, "Type a whole number."),
        ({"ship__1": "-1"}, "Type a whole number."),
        ({"ship__1": "0", "ship__2": ""}, "Type how many units of at least one line."),
        ({"ship_location": "moon"}, "There is no location moon."),
        ({"carrier": "x" * 101}, "At most 100 characters"),
        ({"version": "x"}, "Please look at the order"),
    ],
)
async def test_a_shipment_that_cannot_be_is_told_beside_its_field(
    desk: Desk, typed: dict[str, Any], told: str
):
    order = await ordered(desk)
    answer = await desk.send(address_of(order), "/ship", status=422, **typed)
    assert told in text_of(answer.text)
    assert (await kept(desk, order.id)).shipments == ()


async def test_units_are_shipped_from_another_location_only_where_they_are(desk: Desk):
    order = await ordered(desk, ("MUG", 3))
    await desk.front.shop.locations.create(BY_SYSTEM, LocationInput(id="attic", name="The attic"))
    answer = await desk.send(address_of(order), "/ship", status=422, ship_location="attic")
    assert "not enough stock at attic" in text_of(answer.text)
    received = ReceiveRequest(sku="MUG", quantity=3, location_id="attic")  # type: ignore[arg-type]
    await desk.front.shop.inventory.receive(BY_SYSTEM, received)
    await desk.send(address_of(order), "/ship", ship_location="attic")
    assert (await kept(desk, order.id)).shipments[0].location_id == "attic"


async def test_a_cancelled_order_gives_its_stock_back_and_says_why(desk: Desk):
    order = await ordered(desk)
    page = await desk.page(address_of(order))
    await desk.send("", "/cancel", page=page, cancel_reason="no longer wanted")
    assert await desk.front.available("MUG") == 100
    assert "no longer wanted" in await desk.look(address_of(order))
    answer = await desk.send("", "/ship", page=page, status=422)
    assert (await kept(desk, order.id)).state == "cancelled"
    assert "Somebody changed this order meanwhile" in answer.text


async def test_the_picking_list_sums_what_waits(desk: Desk):
    first, _ = await ordered(desk), await ordered(desk, ("MUG", 4))
    await ordered(desk, ("CHAIR", 1), confirm=False)
    await desk.send(address_of(first), "/ship", ship__1="1", ship__2="2")
    text = await desk.look("/admin/orders/picking")
    assert "MUG The mug 2 6" in text
    assert "LAMP" not in text
    assert "CHAIR" not in text
    assert "Nothing waits" in await desk.look("/admin/orders/picking?location=attic")


async def test_papers_are_pdfs_that_name_the_order(desk: Desk):
    order = await ordered(desk)
    await desk.send(address_of(order), "/ship", ship__1="1", ship__2="0")
    shipment = (await kept(desk, order.id)).shipments[0].id
    slip = f"{address_of(order)}/packing-slip.pdf"
    names = {
        "/admin/orders/picking.pdf": "picking-2030-01-01.pdf",
        slip: f"packing-slip-{order.number}.pdf",
        f"{slip}?shipment={shipment}": f"packing-slip-{order.number}.pdf",
    }
    for address, name in names.items():
        answer = await desk.http.get(address)
        assert answer.headers["content-type"] == "application/pdf"
        assert answer.content.startswith(b"%PDF-")
        assert name in answer.headers["content-disposition"]
    assert (await desk.http.get(f"{slip}?shipment=none")).status_code == 404


async def test_filters_are_kept_under_a_name_of_ones_own(desk: Desk):
    """Tomorrow's shift finds its list with one click, and nobody else's."""
    filtered = "/admin/orders?state=confirmed&sku=MUG"
    await desk.send(filtered, "/views", name="To pack")
    await desk.send("/admin/orders?state=pending&sku=MUG", "/views", name="to PACK")
    page = await desk.page("/admin/orders")
    assert 'href="/admin/orders?state=pending&amp;sku=MUG">to PACK</a>' in page
    assert "To pack" not in page
    assert "Please fill this in." in (await desk.send(filtered, "/views", status=422)).text
    desk.http.cookies.set("access", desk.front.seed.people["root"].access_token)
    assert "to PACK" not in await desk.page("/admin/orders")
    desk.http.cookies.set("access", desk.front.seed.people["sam"].access_token)
    await desk.send("/admin/orders", "/remove")
    assert "to PACK" not in await desk.page("/admin/orders")


async def test_saved_filters_are_bounded_and_go_with_the_account(desk: Desk):
    views = desk.front.shop.order_views
    sam = desk.front.seed.people["sam"].id
    staff = Principal(account_id=AccountId(sam), role="staff", scopes=ROLE_SCOPES["staff"])
    for number in range(MOST_VIEWS):
        await views.save(Call(principal=staff), OrderView(name=f"List {number}"))
    answer = await desk.send("/admin/orders?sku=MUG", "/views", status=422, name="One more")
    assert "20 filters can be saved" in answer.text
    await desk.front.shop.account_removal.remove(BY_SYSTEM, sam)
    assert await views.of(staff) == ()


async def test_customers_are_kept_out(tmp_path: Path, seed: Seed):
    async with desk_at(tmp_path, seed, "ada") as desk:
        made = await desk.front.placed("ada", ("MUG", 1))
        for address in ("", "/board", "/picking", "/picking.pdf", f"/{made['id']}"):
            assert (await desk.http.get(f"/admin/orders{address}")).status_code == 403


async def test_staff_get_the_invoice_of_what_was_sold(desk: Desk):
    order = await ordered(desk, confirm=False)
    link = f"/shop/orders/{order.id}/invoice.pdf"
    assert link not in await desk.page(address_of(order))
    await desk.front.shop.order_changes.confirm(BY_SYSTEM, order.id)
    assert f'href="{link}"' in await desk.page(address_of(order))
    answer = await desk.http.get(link)
    assert answer.headers["content-type"] == "application/pdf"
    assert f"Order: {order.number}" in texts_of(answer.content)
