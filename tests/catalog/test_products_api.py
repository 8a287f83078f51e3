"""The catalogue over HTTP: what anybody may read, and what only admins may change."""

from __future__ import annotations

import httpx
import pytest

from storekeeper.services.inventory import ReceiveRequest
from tests.catalog.desk import BY_ADMIN, Desk

MUG = {"sku": "MUG", "name": "Mug", "price": {"amount": 999, "currency": "GBP"}}


async def made(client: httpx.AsyncClient, **fields: object) -> dict[str, object]:
    answer = await client.post("/products", json={**MUG, **fields})
    assert answer.status_code == 201, answer.text
    body: dict[str, object] = answer.json()
    return body


async def test_a_product_s_life(desk: Desk, admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/products", json=MUG)
    assert answer.status_code == 201
    where = answer.headers["Location"]
    assert answer.json()["stock"]["on_hand"] == 0
    read = await admin.get(where)
    assert read.json() == answer.json()
    changed = await admin.patch(
        where,
        json={"category": "Kitchen"},
        headers={
            "If-Match": read.headers["ETag"],
            "Content-Type": "application/merge-patch+json",
        },
    )
    assert (changed.status_code, changed.json()["category"]) == (200, "Kitchen")
    replaced = await admin.put(where, json={**MUG, "name": "Cup"})
    assert (replaced.json()["name"], replaced.json()["category"]) == ("Cup", None)
    stale = await admin.put(where, json=MUG, headers={"If-Match": '"1"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    assert (await admin.delete(where)).status_code == 204
    assert (await admin.get(where)).status_code == 404


async def test_guests_see_what_they_can_order_and_not_what_is_on_hand(
    desk: Desk, admin: httpx.AsyncClient
) -> None:
    await desk.create("MUG", stock=5, low_stock_threshold=9)
    await desk.create("VOUCHER", track_stock=False)
    await desk.order("MUG", 2)
    async with desk.client("") as guest:
        items = (await guest.get("/products")).json()["items"]
    assert [item["stock"] for item in items] == [
        {"available": 3, "in_stock": True},
        {"available": None, "in_stock": True},
    ]
    assert "low_stock_threshold" not in items[0]
    staff_item = (await admin.get("/products")).json()["items"][0]
    assert staff_item["stock"] == {
        "available": 3,
        "in_stock": True,
        "on_hand": 5,
        "reserved": 2,
        "is_low": True,
    }
    assert staff_item["low_stock_threshold"] == 9


async def test_archived_products_are_hidden_from_guests(
    desk: Desk, admin: httpx.AsyncClient
) -> None:
    mug = await desk.create("MUG", status="archived")
    async with desk.client("") as guest:
        assert (await guest.get(f"/products/{mug.id}")).status_code == 404
        assert (await guest.get("/products")).json()["items"] == []
        assert (await guest.get("/products?sku=MUG")).json()["items"] == []
        assert (await guest.get("/products?status=all")).status_code == 403
    assert len((await admin.get("/products?status=archived")).json()["items"]) == 1
    assert len((await admin.get("/products", params={"sku": "mug"})).json()["items"]) == 1


async def test_a_parent_is_in_stock_where_a_variant_is(
    desk: Desk, admin: httpx.AsyncClient
) -> None:
    """Its own page, the list and the filter say the same, and a copy doesn't outlive it."""
    shirt = await desk.create("SHIRT", is_parent=True)
    await desk.create("SHIRT-L", parent_id=shirt.id, options={"size": "L"})
    async with desk.client("") as guest:
        before = await guest.get(f"/products/{shirt.id}")
        assert before.json()["stock"] == {"available": None, "in_stock": False}
        await desk.count("SHIRT-L", 2)
        asked = {"If-None-Match": before.headers["ETag"]}
        after = await guest.get(f"/products/{shirt.id}", headers=asked)
        assert (after.status_code, after.json()["stock"]["in_stock"]) == (200, True)
        for filters in ({}, {"in_stock": "true"}):
            items = (await guest.get("/products", params=filters)).json()["items"]
            assert {item["sku"]: item["stock"]["in_stock"] for item in items} == {
                "SHIRT": True,
                "SHIRT-L": True,
            }


async def test_a_cached_copy_is_good_until_the_product_or_its_stock_changes(desk: Desk) -> None:
    mug = await desk.create("MUG", stock=5)
    async with desk.client("") as guest:
        first = await guest.get(f"/products/{mug.id}")
        asked = {"If-None-Match": f'"other", W/{first.headers["ETag"]}'}
        again = await guest.get(f"/products/{mug.id}", headers=asked)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == first.headers["ETag"]
        await desk.count("MUG", 4)
        after = await guest.get(f"/products/{mug.id}", headers=asked)
        assert (after.status_code, after.json()["stock"]["available"]) == (200, 4)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"price": {"amount": "999", "currency": "GBP"}}, "price.amount"),
        ({"price": {"amount": 999, "currency": "XXX"}}, "price.currency"),
        ({"price": {"amount": -1, "currency": "GBP"}}, "price.amount"),
        ({"price": {"amount": 10**30, "currency": "GBP"}}, "price.amount"),
        ({"price": {"amount": 9.5, "currency": "GBP"}}, "price.amount"),
        ({"sku": " MUG"}, "sku"),
        ({"sku": "MUG\n"}, "sku"),
        ({"name": ""}, "name"),
        ({"tags": ["a", "a"]}, "tags"),
        ({"low_stock_threshold": -1}, "low_stock_threshold"),
        ({"image_url": "javascript:alert(1)"}, "image_url"),
        ({"is_parent": True, "parent_id": "x", "options": {"size": "L"}}, "parent_id"),
    ],
)
async def test_a_value_that_can_not_be_is_refused_by_its_name(
    admin: httpx.AsyncClient, fields: dict[str, object], field: str
) -> None:
    answer = await admin.post("/products", json={**MUG, **fields})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert answer.json()["field"] == field


async def test_fields_that_do_not_exist_are_refused_everywhere(
    desk: Desk, admin: httpx.AsyncClient
) -> None:
    mug = await made(admin)
    for answer in (
        await admin.post("/products", json={**MUG, "colour": "red"}),
        await admin.put(f"/products/{mug['id']}", json={**MUG, "id": mug["id"]}),
        await admin.patch(f"/products/{mug['id']}", json={"colour": "red"}),
        await admin.post(
            "/products", json={**MUG, "price": {"amount": 1, "currency": "GBP", "x": 1}}
        ),
    ):
        assert answer.status_code == 422, answer.text


async def test_a_merge_patch_over_http(admin: httpx.AsyncClient) -> None:
    mug = await made(admin, attributes={"colour": "red", "size": "L"}, description="Nice")
    answer = await admin.patch(
        f"/products/{mug['id']}",
        json={"attributes": {"colour": None}, "description": None, "price": {"amount": 5}},
    )
    body = answer.json()
    assert body["attributes"] == {"size": "L"}
    assert body["description"] == ""
    assert body["price"] == {"amount": 5, "currency": "GBP"}
    for bad in ({"sku": None}, {"name": None}, {"price": None}, [1], "x"):
        refused = await admin.patch(f"/products/{mug['id']}", json=bad)
        assert refused.status_code == 422, refused.text
    other = await admin.patch(
        f"/products/{mug['id']}", content=b"{}", headers={"Content-Type": "text/plain"}
    )
    assert other.status_code == 415


async def test_a_retry_answers_the_same_product(admin: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "k1"}
    first = await admin.post("/products", json=MUG, headers=key)
    again = await admin.post("/products", json=MUG, headers=key)
    assert first.json()["id"] == again.json()["id"]
    other = await admin.post("/products", json={**MUG, "name": "Cup"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_taken_sku_is_told_by_its_field(admin: httpx.AsyncClient) -> None:
    mug = await made(admin)
    answer = await admin.post("/products", json={**MUG, "sku": "mug"})
    assert (answer.status_code, answer.json()["field"]) == (409, "sku")
    assert answer.json()["product_id"] == mug["id"]


async def test_search_filters_and_pages_over_http(desk: Desk) -> None:
    for number in range(5):
        await desk.create(f"MUG{number}", name="Red mug", price=100 * number, category="Cups")
    await desk.create("BOWL", name="Bowl")
    async with desk.client("") as guest:
        first = await guest.get("/products", params={"q": "mug", "sort": "-price", "limit": 2})
        assert [item["sku"] for item in first.json()["items"]] == ["MUG4", "MUG3"]
        link = first.headers["Link"]
        second = await guest.get(link[1 : link.index(">")])
        assert [item["sku"] for item in second.json()["items"]] == ["MUG2", "MUG1"]
        priced = await guest.get("/products?min_price=100&max_price=200&category=cups")
        assert len(priced.json()["items"]) == 2
        assert (await guest.get("/products?q=%3F%21")).status_code == 422
        assert (await guest.get("/products?cursor=nonsense")).status_code == 422
        assert (await guest.get("/products?limit=1000")).status_code == 422
        for bound in ("min_price", "max_price"):
            answer = await guest.get("/products", params={bound: "99999999999999999999"})
            assert (answer.status_code, answer.json()["field"]) == (422, bound)
        assert (await guest.get("/categories")).json() == {"items": ["Cups"], "next": None}


async def test_backorder_that_ends_too_early_is_told_by_its_own_name(
    desk: Desk, admin: httpx.AsyncClient
) -> None:
    """To hear that somebody else changed it sends a shopkeeper to try again for ever."""
    mug = await desk.create("MUG", allow_backorder=True)
    await desk.order("MUG", 3)
    answer = await admin.patch(f"/products/{mug.id}", json={"allow_backorder": False})
    told = answer.json()
    assert (answer.status_code, told["code"], told["field"]) == (
        409,
        "units_owed",
        "allow_backorder",
    )
    assert told["title"] == "Units are still owed to customers"
    await desk.inventory.receive(BY_ADMIN, ReceiveRequest(sku="MUG", quantity=3))
    answer = await admin.patch(f"/products/{mug.id}", json={"allow_backorder": False})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sku", "MUG\u200b"),
        ("sku", "\u202eGUM"),
        ("sku", "M\u2066UG"),
        ("sku", "\ufeffMUG"),
        ("name", "   "),
        ("name", "\u200b\u00a0"),
        ("category", " "),
    ],
)
async def test_what_nobody_can_see_is_no_name(
    desk: Desk, admin: httpx.AsyncClient, field: str, value: str
) -> None:
    """Two SKUs that look the same are ordered for one another."""
    answer = await admin.post("/products", json={**MUG, field: value})
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    await made(admin, name="\u200fa\u00e9 \u5b57")
