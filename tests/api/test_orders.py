"""Orders through the API: what a customer, a guest and the staff can do with them, and can't."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.api.shopfront import Front, Seed, front_at

ADDRESS = {"name": "Ada", "line1": "12 Square", "city": "London", "country": "GB"}


@pytest.fixture
def seed(seed_of_each_store: Seed) -> Seed:
    return seed_of_each_store


async def test_placing_reserves_and_confirming_takes_the_stock(front: Front):
    order = await front.placed("ada", ("MUG", 3), shipping_address=ADDRESS, note="ring twice")
    assert (order["state"], order["total"]["amount"]) == ("pending", 2_997)
    assert await front.available("MUG") == 97

    answer = await front.http.post(f"/orders/{order['id']}/confirm", headers=front.who("ada"))
    assert answer.json()["state"] == "confirmed"
    assert answer.headers["etag"] == '"2"'
    assert await front.available("MUG") == 97
    kinds = [entry["kind"] for entry in answer.json()["timeline"]]
    assert kinds == ["placed", "confirmed"]


async def test_confirm_true_places_and_confirms_at_once(front: Front):
    order = await front.placed("ada", ("MUG", 3), confirm=True)
    assert order["state"] == "confirmed"
    assert order["version"] == 1


async def test_the_answer_says_where_the_order_is(front: Front):
    answer = await front.place("ada")
    assert answer.headers["location"] == f"/orders/{answer.json()['id']}"
    read = await front.http.get(answer.headers["location"], headers=front.who("ada"))
    assert read.json() == answer.json()
    assert read.headers["etag"] == answer.headers["etag"]


async def test_cancelling_puts_the_stock_back_and_keeps_the_reason(front: Front):
    order = await front.placed("ada", ("LAMP", 4), confirm=True)
    answer = await front.http.post(
        f"/orders/{order['id']}/cancel", json={"reason": "too many"}, headers=front.who("ada")
    )
    assert answer.json()["state"] == "cancelled"
    assert answer.json()["timeline"][-1]["detail"] == "too many"
    assert await front.available("LAMP") == 10


async def test_staff_ship_in_parts_deliver_and_take_back(front: Front):
    order = await front.placed("ada", ("MUG", 3), ("LAMP", 2), confirm=True)
    at, staff = f"/orders/{order['id']}", front.who("sam")

    part = await front.http.post(
        f"{at}/shipments",
        json={"lines": [{"line_id": 1, "quantity": 2}], "carrier": "Post", "tracking_number": "X1"},
        headers=staff,
    )
    assert part.json()["state"] == "partially_shipped"
    rest = await front.http.post(f"{at}/shipments", json={}, headers=staff)
    assert rest.json()["state"] == "shipped"
    assert [line["fulfilled"] for line in rest.json()["lines"]] == [3, 2]

    delivered = await front.http.post(f"{at}/deliveries", json={}, headers=staff)
    assert delivered.json()["state"] == "delivered"
    back = await front.http.post(
        f"{at}/returns", json={"lines": [{"line_id": 2, "quantity": 1}]}, headers=staff
    )
    assert back.json()["state"] == "partially_returned"
    assert await front.available("LAMP") == 9
    scrapped = await front.http.post(f"{at}/returns", json={"restock": False}, headers=staff)
    assert scrapped.json()["state"] == "returned"
    assert await front.available("LAMP") == 9


async def an_order_from_two_places(front: Front) -> str:
    """2 mugs and 10 lamps at `main`, 3 more lamps of the same order in the attic."""
    staff = front.who("root")
    await front.http.post("/locations", json={"id": "attic", "name": "Attic"}, headers=staff)
    received = {"sku": "LAMP", "quantity": 3, "location_id": "attic"}
    await front.http.post("/stock/receive", json=received, headers=staff)
    order = await front.placed("ada", ("MUG", 2), ("LAMP", 13), confirm=True)
    return f"/orders/{order['id']}"


async def test_all_that_is_left_is_shipped_from_where_it_is(front: Front):
    """Staff who send everything need not know which units were promised from which place."""
    at = await an_order_from_two_places(front)
    sent = await front.http.post(
        f"{at}/shipments", json={"carrier": "Post"}, headers=front.who("sam")
    )
    assert (sent.status_code, sent.json()["state"]) == (200, "shipped")
    assert [
        (one["location_id"], [line["quantity"] for line in one["lines"]], one["carrier"])
        for one in sent.json()["shipments"]
    ] == [("main", [2, 10], "Post"), ("attic", [3], "Post")]
    assert sent.json()["version"] == 2
    assert await front.shop.store.verify() == []


async def test_a_place_ships_what_is_allocated_to_it(front: Front):
    at, staff = await an_order_from_two_places(front), front.who("sam")
    for place, state in (("attic", "partially_shipped"), ("main", "shipped")):
        sent = await front.http.post(f"{at}/shipments", json={"location_id": place}, headers=staff)
        assert (sent.status_code, sent.json()["state"]) == (200, state)
    again = await front.http.post(f"{at}/shipments", json={"location_id": "main"}, headers=staff)
    assert again.status_code == 409


async def test_a_place_with_nothing_for_the_order_ships_nothing(front: Front):
    at, staff = await an_order_from_two_places(front), front.who("sam")
    await front.http.post(f"{at}/shipments", json={"location_id": "attic"}, headers=staff)
    refused = await front.http.post(f"{at}/shipments", json={"location_id": "attic"}, headers=staff)
    assert (refused.status_code, refused.json()["code"]) == (422, "too_many")
    assert refused.json()["field"] == "location_id"


async def test_more_than_was_shipped_never_comes_back(front: Front):
    order = await front.placed("ada", ("MUG", 2), confirm=True)
    at, staff = f"/orders/{order['id']}", front.who("sam")
    await front.http.post(
        f"{at}/shipments", json={"lines": [{"line_id": 1, "quantity": 1}]}, headers=staff
    )
    answer = await front.http.post(
        f"{at}/returns", json={"lines": [{"line_id": 1, "quantity": 2}]}, headers=staff
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "too_many")


async def test_customers_neither_ship_nor_take_back(front: Front):
    order = await front.placed("ada", confirm=True)
    for verb in ("shipments", "deliveries", "returns"):
        answer = await front.http.post(
            f"/orders/{order['id']}/{verb}", json={}, headers=front.who("ada")
        )
        assert (answer.status_code, answer.json()["scope"]) == (403, "orders:write")


async def test_a_shortage_names_each_short_line_and_takes_nothing(front: Front):
    answer = await front.place("ada", ("LAMP", 11), ("MUG", 1), ("CHAIR", 2))
    assert answer.status_code == 409
    problem = answer.json()
    assert problem["code"] == "insufficient_stock"
    assert [(line["sku"], line["requested"], line["available"]) for line in problem["lines"]] == [
        ("LAMP", 11, 10),
        ("CHAIR", 2, 1),
    ]
    assert await front.available("MUG") == 100


async def test_one_sku_on_several_lines_is_one_claim_on_stock(front: Front):
    answer = await front.place("ada", ("LAMP", 6), ("LAMP", 5))
    problem = answer.json()
    assert problem["code"] == "insufficient_stock"
    (short,) = problem["lines"]
    assert (short["sku"], short["line_numbers"]) == ("LAMP", [1, 2])
    assert (short["requested"], short["available"]) == (11, 10)
    assert await front.available("LAMP") == 10


async def test_the_last_unit_is_sold_once(front: Front):
    answers = await asyncio.gather(*(front.place("ada", ("CHAIR", 1)) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19


async def test_a_total_that_changed_is_shown_before_it_is_charged(front: Front):
    shown = {"amount": 900, "currency": "GBP"}
    answer = await front.place("ada", ("MUG", 1), expected_total=shown)
    assert (answer.status_code, answer.json()["code"]) == (409, "total_changed")
    now = answer.json()["total"]
    assert now == {"amount": 999, "currency": "GBP"}
    assert (await front.placed("ada", ("MUG", 1), expected_total=now))["total"] == now


class TestRetries:
    async def test_a_retry_finds_the_same_order(self, front: Front):
        first = await front.place("ada", ("MUG", 2), key="try-1")
        again = await front.place("ada", ("MUG", 2), key="try-1")
        assert "idempotent-replayed" not in first.headers
        assert again.headers["idempotent-replayed"] == "true"
        assert again.status_code == 201
        assert again.json() == first.json()
        assert await front.available("MUG") == 98

    async def test_retries_at_the_same_time_place_one_order(self, front: Front):
        answers = await asyncio.gather(
            *(front.place("ada", ("MUG", 2), key="try-1") for _ in range(20))
        )
        assert {answer.json()["id"] for answer in answers} == {answers[0].json()["id"]}
        assert await front.available("MUG") == 98

    async def test_a_key_with_another_body_is_refused(self, front: Front):
        await front.place("ada", ("MUG", 2), key="try-1")
        answer = await front.place("ada", ("MUG", 3), key="try-1")
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
        assert answer.json()["field"] == "Idempotency-Key"

    async def test_two_customers_may_use_the_same_key(self, front: Front):
        ada, bob = await front.placed("ada", key="1"), await front.placed("bob", key="1")
        assert ada["id"] != bob["id"]

    async def test_the_key_is_known_after_a_restart(self, tmp_path: Path, seed: Seed):
        async with front_at(tmp_path, seed) as front:
            first = await front.placed("ada", ("MUG", 2), key="try-1")
        async with front_at(tmp_path, seed, node=3) as front:
            again = await front.place("ada", ("MUG", 2), key="try-1")
            assert again.json() == first
            assert again.headers["idempotent-replayed"] == "true"
            assert await front.available("MUG") == 98

    async def test_a_change_is_made_once_however_often_it_is_sent(self, front: Front):
        order = await front.placed("ada", ("MUG", 2), confirm=True)
        headers = front.who("sam") | {"Idempotency-Key": "ship-1"}
        body = {"lines": [{"line_id": 1, "quantity": 1}]}
        for _ in range(3):
            answer = await front.http.post(
                f"/orders/{order['id']}/shipments", json=body, headers=headers
            )
            assert answer.json()["lines"][0]["fulfilled"] == 1


class TestVersions:
    async def test_a_change_based_on_an_old_version_is_refused(self, front: Front):
        order = await front.placed("ada")
        at, me = f"/orders/{order['id']}", front.who("ada")
        await front.http.post(f"{at}/confirm", headers=me)
        late = await front.http.post(f"{at}/cancel", headers=me | {"If-Match": '"1"'})
        assert (late.status_code, late.json()["current"]) == (412, 2)
        good = await front.http.post(f"{at}/cancel", headers=me | {"If-Match": '"2"'})
        assert good.json()["state"] == "cancelled"

    @pytest.mark.parametrize("tag", ["2", '"2"', "*"])
    async def test_ways_to_name_the_current_version(self, front: Front, tag: str):
        order = await front.placed("ada")
        at, me = f"/orders/{order['id']}", front.who("ada")
        await front.http.post(f"{at}/confirm", headers=me)
        answer = await front.http.post(f"{at}/cancel", headers=me | {"If-Match": tag})
        assert answer.status_code == 200

    async def test_a_weak_tag_matches_nothing(self, front: Front):
        """RFC 9110, section 13.1.1: it doesn't promise that nothing changed."""
        order = await front.placed("ada")
        at, me = f"/orders/{order['id']}", front.who("ada")
        answer = await front.http.post(f"{at}/cancel", headers=me | {"If-Match": 'W/"1"'})
        assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
        assert (await front.http.get(at, headers=me)).json()["state"] == "pending"


class TestGuests:
    async def test_a_guest_follows_the_order_by_its_link(self, front: Front):
        order = await front.placed("guest", ("MUG", 1), email="gus@example.com")
        at, link = f"/orders/{order['id']}", {"token": order["token"]}
        read = await front.http.get(at, params=link)
        assert read.json()["state"] == "pending"
        assert read.json()["token"] is None
        confirmed = await front.http.post(f"{at}/confirm", params=link)
        assert confirmed.json()["state"] == "confirmed"

    async def test_without_the_token_there_is_no_such_order(self, front: Front):
        order = await front.placed("guest", email="gus@example.com")
        other = await front.placed("guest", email="eve@example.com")
        for token in (None, "0" * 64, "\u00e9", other["token"]):
            answer = await front.http.get(
                f"/orders/{order['id']}", params={"token": token} if token else None
            )
            assert answer.status_code == 404

    async def test_a_guest_has_to_say_where_to_write(self, front: Front):
        answer = await front.place("guest")
        assert (answer.status_code, answer.json()["field"]) == (422, "email")

    async def test_a_guests_retry_gets_the_link_again(self, front: Front):
        first = await front.placed("guest", key="1", email="gus@example.com")
        again = await front.placed("guest", key="1", email="gus@example.com")
        assert again["token"] == first["token"]

    async def test_a_guests_key_is_good_for_one_body_whoever_sends_it(self, front: Front):
        """A slip in the address that is mended under the same key would be a second order; and
        who guesses a key learns nothing of the order that was made with it."""
        first = await front.placed("guest", key="1", email="gus@example.com")
        other = await front.place("guest", key="1", email="eve@example.com")
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        for secret in (first["id"], first["number"], first["token"], "gus@example.com"):
            assert secret not in other.text
        listed = (await front.http.get("/orders", headers=front.who("sam"))).json()["items"]
        assert [order["id"] for order in listed] == [first["id"]]


class TestLists:
    async def test_staff_filter_by_state_customer_sku_number_and_time(self, front: Front):
        mine = await front.placed("ada", ("MUG", 1), confirm=True)
        front.clock.advance(hours=1)
        bobs = await front.placed("bob", ("LAMP", 1))
        number = bobs["number"].replace("-", "").lower()
        for params, expected in (
            ({"state": "confirmed"}, mine),
            ({"customer_id": front.seed.people["bob"].id}, bobs),
            ({"sku": "lamp"}, bobs),
            ({"number": number}, bobs),
            ({"placed_from": "2030-01-01T09:30:00Z"}, bobs),
            ({"placed_before": "2030-01-01T10:30:00+01:00"}, mine),
        ):
            page = await front.http.get("/orders", params=params, headers=front.who("sam"))
            assert [order["id"] for order in page.json()["items"]] == [expected["id"]], params

    async def test_following_the_link_shows_every_order_once(self, front: Front):
        placed = [(await front.placed("ada"))["id"] for _ in range(7)]
        seen, at = [], "/orders?limit=3&state=pending"
        while at:
            page = await front.http.get(at, headers=front.who("sam"))
            seen += [order["id"] for order in page.json()["items"]]
            if page.json()["next"]:
                await front.placed("bob")  # what comes in meanwhile moves nothing
            at = page.links["next"]["url"] if "next" in page.links else ""
        assert seen == placed[::-1]


async def test_stock_comes_back_when_the_reservation_ends(front: Front):
    order = await front.placed("ada", ("LAMP", 10))
    front.clock.advance(minutes=16)
    await front.shop.background.sweep()
    assert await front.available("LAMP") == 10
    late = await front.http.post(f"/orders/{order['id']}/confirm", headers=front.who("ada"))
    assert late.status_code == 409
    assert late.json()["code"] in ("order_expired", "order_state")
