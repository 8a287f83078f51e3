"""Stock over HTTP: staff keep it, and every answer says what there is now."""

from __future__ import annotations

import httpx
import pytest

from tests.catalog.desk import Desk

MOVE = {"sku": "MUG", "quantity": 1, "from_location_id": "main", "to_location_id": "closed"}


async def test_stock_s_life(desk: Desk) -> None:
    mug = await desk.create("MUG", low_stock_threshold=3)
    async with desk.client("staff") as staff:
        place = await staff.post("/locations", json={"id": "shop-2", "name": "Shop"})
        assert (place.status_code, place.headers["Location"]) == (201, "/locations/shop-2")
        received = await staff.post("/stock/receive", json={"sku": "mug", "quantity": 10})
        assert received.status_code == 200
        assert received.json()["levels"] == [
            {"location_id": "main", "on_hand": 10, "reserved": 0, "available": 10}
        ]
        moved = await staff.post(
            "/stock/transfer",
            json={
                "product_id": mug.id,
                "quantity": 4,
                "from_location_id": "main",
                "to_location_id": "shop-2",
            },
        )
        assert [level["on_hand"] for level in moved.json()["levels"]] == [6, 4]
        counted = await staff.post(
            "/stock/count", json={"sku": "MUG", "on_hand": 1, "location_id": "shop-2"}
        )
        assert counted.json()["on_hand"] == 7
        adjusted = await staff.post(
            "/stock/adjust",
            json={"sku": "MUG", "quantity": -5, "reason": "damaged", "note": "wet box"},
        )
        assert (adjusted.json()["on_hand"], adjusted.json()["is_low"]) == (2, True)
        assert (await staff.get(f"/stock/{mug.id}")).json() == adjusted.json()
        low = (await staff.get("/stock/low")).json()["items"]
        assert [(item["sku"], item["available"]) for item in low] == [("MUG", 2)]
        lines = (await staff.get("/stock/movements", params={"reason": "damaged"})).json()
        assert lines["items"][0]["note"] == "wet box"
        assert lines["items"][0]["by"] == "staff:sam"
        everything = (await staff.get("/stock/movements", params={"limit": 2})).json()
        assert everything["next"] is not None


async def test_a_shortage_says_what_there_is(desk: Desk, admin: httpx.AsyncClient) -> None:
    mug = await desk.create("MUG", stock=2)
    answer = await admin.post(
        "/stock/adjust", json={"sku": "MUG", "quantity": -3, "reason": "lost"}
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "insufficient_stock")
    assert answer.json()["lines"] == [
        {"product_id": mug.id, "location_id": "main", "requested": 3, "available": 2}
    ]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("receive", {"sku": "MUG", "quantity": 0}, "quantity"),
        ("receive", {"sku": "MUG", "quantity": "1"}, "quantity"),
        ("receive", {"sku": "MUG", "quantity": 1, "location_id": "nowhere"}, "location_id"),
        ("receive", {"quantity": 1}, "product_id"),
        ("receive", {"sku": "MUG", "product_id": "x", "quantity": 1}, "product_id"),
        ("adjust", {"sku": "MUG", "quantity": 1, "reason": "because"}, "reason"),
        ("adjust", {"sku": "MUG", "quantity": 0, "reason": "lost"}, "quantity"),
        ("count", {"sku": "MUG", "on_hand": -1}, "on_hand"),
        ("receive", {"sku": "MUG", "quantity": 1, "reference": "a\nb"}, "reference"),
        ("transfer", {**MOVE, "from_location_id": "nowhere"}, "from_location_id"),
        ("transfer", {**MOVE, "to_location_id": "nowhere"}, "to_location_id"),
        ("transfer", {**MOVE, "to_location_id": "closed"}, "to_location_id"),
        ("transfer", {**MOVE, "to_location_id": "main"}, "to_location_id"),
        ("transfer", {**MOVE, "quantity": -1}, "quantity"),
        ("count", {"sku": "MUG", "on_hand": 1, "location_id": "nowhere"}, "location_id"),
        ("count", {"sku": "GROUP", "on_hand": 1}, "sku"),
    ],
)
async def test_a_change_that_can_not_be_is_refused_by_its_field(
    desk: Desk, admin: httpx.AsyncClient, path: str, body: dict[str, object], field: str
) -> None:
    """The field is one that was sent, so that whoever sent it knows what to mend."""
    await desk.create("MUG", stock=1)
    await desk.create("GROUP", is_parent=True)
    await admin.post("/locations", json={"id": "closed", "name": "Closed"})
    await admin.patch("/locations/closed", json={"active": False})
    answer = await admin.post(f"/stock/{path}", json=body)
    assert (answer.status_code, answer.json().get("field")) == (422, field), answer.text


async def test_the_ledger_is_found_by_sku_as_by_product(desk: Desk) -> None:
    mug = await desk.create("MUG", stock=4)
    await desk.create("CUP", stock=2)
    async with desk.client("staff") as staff:
        for params in (
            {"sku": "mug"},
            {"product_id": mug.id},
            {"sku": "MUG", "product_id": mug.id},
        ):
            page = (await staff.get("/stock/movements", params=params)).json()
            assert [line["product_id"] for line in page["items"]] == [mug.id], params
        for params in ({"sku": "none"}, {"sku": "CUP", "product_id": mug.id}):
            page = (await staff.get("/stock/movements", params=params)).json()
            assert page["items"] == [], params


async def test_a_retry_moves_units_once(desk: Desk, admin: httpx.AsyncClient) -> None:
    await desk.create("MUG")
    body = {"sku": "MUG", "quantity": 5}
    key = {"Idempotency-Key": "delivery 7"}
    for _ in range(3):
        answer = await admin.post("/stock/receive", json=body, headers=key)
        assert answer.json()["on_hand"] == 5
    other = await admin.post("/stock/receive", json={**body, "quantity": 6}, headers=key)
    assert other.json()["code"] == "idempotency_key_reused"


async def test_locations_are_edited_with_their_version(
    desk: Desk, admin: httpx.AsyncClient
) -> None:
    read = await admin.get("/locations/main")
    change = await admin.patch(
        "/locations/main", json={"name": "Depot"}, headers={"If-Match": read.headers["ETag"]}
    )
    assert (change.status_code, change.json()["name"]) == (200, "Depot")
    stale = await admin.patch(
        "/locations/main", json={"name": "Shed"}, headers={"If-Match": read.headers["ETag"]}
    )
    assert stale.status_code == 412
    last = await admin.patch("/locations/main", json={"active": False})
    assert (last.status_code, last.json()["code"]) == (409, "in_use")
    assert (await admin.get("/locations/nowhere")).status_code == 404
    for bad in ("", "With Space", "-x", "x" * 65, "../etc"):
        refused = await admin.post("/locations", json={"id": bad, "name": "x"})
        assert refused.status_code == 422


async def test_the_api_describes_itself(desk: Desk, admin: httpx.AsyncClient) -> None:
    document = (await admin.get("/openapi.json")).json()
    upload = document["paths"]["/products/import"]["post"]["requestBody"]["content"]
    assert list(upload) == ["text/csv"]
    patch = document["paths"]["/products/{product_id}"]["patch"]["requestBody"]["content"]
    assert set(patch) == {"application/json", "application/merge-patch+json"}
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation["summary"], path
            assert operation["description"], path


@pytest.mark.parametrize(
    ("name", "at"),
    [("at_from", "0001-01-01T00:00:00+14:00"), ("at_before", "9999-12-31T23:59:59-14:00")],
)
async def test_a_time_beyond_the_calendar_is_refused_with_its_name(
    desk: Desk, name: str, at: str
) -> None:
    async with desk.client("staff") as staff:
        refused = await staff.get("/stock/movements", params={name: at})
    assert (refused.status_code, refused.json()["field"]) == (422, name)
