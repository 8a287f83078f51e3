"""Nobody reads or changes what isn't theirs, wherever it is that they have logged in."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from litestar.routes import HTTPRoute

from storekeeper.http.security import PUBLIC
from tests.api.shopfront import Front
from tests.authorization.people import Kind, another_session
from tests.authorization.routes import ACCOUNTS, ALL, CALLERS, TOGETHER, Route
from tests.identity.pool import Pool

# Only people of a pool have an identity there; tests/identity tells of it.
ELSEWHERE = {"PUT /users/me/identity"}


@pytest.fixture
async def headers(front: Front) -> dict[str, dict[str, str]]:
    """What each of the callers sends."""
    made = await front.http.post(
        "/api-keys", json={"name": "erp", "scopes": ["users:read"]}, headers=front.who("root")
    )
    key = {"Authorization": f"Bearer {made.json()['key']}"}
    return {name: key if name == "key" else front.who(name) for name in CALLERS}


@pytest.fixture
async def names(front: Front, kind: Kind, pool: Pool) -> dict[str, str]:
    """The ids that stand in paths."""
    ada, bob = front.seed.people["ada"], front.seed.people["bob"]
    sam_key = await front.http.post(
        "/api-keys", json={"name": "k", "scopes": ["stock:read"]}, headers=front.who("sam")
    )
    return {
        "ada": ada.id,
        "bob": bob.id,
        "session": await another_session(kind, front, pool, ada, "ada"),
        "sam_key": sam_key.json()["id"],
        "order": (await front.placed("ada"))["id"],
        "mug": front.seed.products["MUG"],
    }


async def answers_of(
    front: Front, route: Route, headers: dict[str, dict[str, str]], names: dict[str, str]
) -> list[httpx.Response]:
    """What one caller after the other is answered."""
    is_file = isinstance(route.body, bytes)
    more: dict[str, Any] = {"content": route.body} if is_file else {"json": route.body}
    kind = {"Content-Type": "text/csv"} if is_file else {}
    return [
        await front.http.request(
            route.method, route.path.format(**names), headers=headers[caller] | kind, **more
        )
        for caller in CALLERS
    ]


def statuses(answers: list[httpx.Response]) -> str:
    return " ".join(str(answer.status_code) for answer in answers)


@pytest.mark.parametrize("route", ACCOUNTS, ids=lambda route: f"{route.method} {route.path}")
async def test_who_may_do_what_with_accounts(front, headers, names, route):
    answers = await answers_of(front, route, headers, names)
    assert statuses(answers) == route.expected
    assert answers[0].headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("subject", TOGETHER)
async def test_who_may_do_what_with(front, headers, names, subject):
    told = {}
    for route in TOGETHER[subject]:
        answers = await answers_of(front, route, headers, names)
        told[f"{route.method} {route.path}"] = statuses(answers)
    assert told == {f"{route.method} {route.path}": route.expected for route in TOGETHER[subject]}


@pytest.mark.parametrize("kind", ["cognito"], indirect=True)
async def test_every_route_that_is_not_for_everybody_is_tried(front):
    """A new one has to say here who may use it; pages are tried in tests/web."""
    named = {f"{route.method} {re.sub('{.*?}|none|main', '*', route.path)}" for route in ALL}
    closed = set()
    for route in front.app.routes:
        assert isinstance(route, HTTPRoute)
        for method, (handler, _) in route.route_handler_map.items():
            if handler.opt.get("is_page"):
                continue
            if method not in ("HEAD", "OPTIONS") and handler.opt.get("access") != PUBLIC:
                closed.add(f"{method} {re.sub('{.*?}', '*', route.path)}")
    assert closed - ELSEWHERE <= named


async def test_another_customers_order_does_not_exist(front):
    order = await front.placed("ada")
    bob = front.who("bob")
    at = f"/orders/{order['id']}"
    answers = [
        await front.http.get(at, headers=bob),
        await front.http.post(f"{at}/confirm", headers=bob),
        await front.http.post(f"{at}/cancel", headers=bob),
    ]
    missing = await front.http.get("/orders/none", headers=bob)
    for answer in answers:
        assert answer.status_code == 404
        assert answer.json()["title"] == missing.json()["title"]


async def test_a_customer_lists_only_their_own(front):
    await front.placed("ada")
    await front.placed("bob")
    for params in ({}, {"customer_id": front.seed.people["ada"].id}):
        page = await front.http.get("/orders", params=params, headers=front.who("ada"))
        owners = {order["customer_id"] for order in page.json()["items"]}
        assert owners == {front.seed.people["ada"].id}


async def test_asking_for_another_customers_orders_is_refused_and_not_passed_over(front):
    """An empty or unfiltered list would look like an answer."""
    for customer_id in (front.seed.people["bob"].id, "nobody", ""):
        answer = await front.http.get(
            "/orders", params={"customer_id": customer_id}, headers=front.who("ada")
        )
        assert (answer.status_code, answer.json()["field"]) == (403, "customer_id")


async def test_customers_neither_order_for_others_nor_set_prices(front):
    for_bob = await front.place("ada", customer_id=front.seed.people["bob"].id)
    assert (for_bob.status_code, for_bob.json()["field"]) == (403, "customer_id")
    price = {"amount": 1, "currency": "GBP"}
    cheap = await front.http.post(
        "/orders",
        json={"lines": [{"sku": "MUG", "quantity": 1, "unit_price": price}]},
        headers=front.who("ada"),
    )
    assert (cheap.status_code, cheap.json()["field"]) == (403, "lines[0].unit_price")


async def test_what_is_hidden_from_customers_is_not_in_lists_either(front):
    mug = f"/products/{front.seed.products['MUG']}"
    archived = await front.http.patch(mug, json={"status": "archived"}, headers=front.who("root"))
    assert archived.status_code == 200
    for name in ("guest", "ada"):
        assert (await front.http.get(mug, headers=front.who(name))).status_code == 404
        everything = await front.http.get(
            "/products", params={"status": "all"}, headers=front.who(name)
        )
        assert everything.status_code == 403
    assert (await front.http.get(mug, headers=front.who("sam"))).status_code == 200


async def test_a_key_may_no_more_than_whoever_made_it_may_now(front, headers):
    """Somebody who lost a role must not go on by a key from before."""
    root = front.seed.people["root"]
    made = await front.http.post(
        "/api-keys", json={"name": "k", "scopes": ["stock:read"]}, headers=front.who("sam")
    )
    key = {"Authorization": f"Bearer {made.json()['key']}"}
    assert (await front.http.get("/stock/low", headers=key)).status_code == 200
    demoted = await front.http.patch(
        f"/users/{front.seed.people['sam'].id}", json={"role": "customer"}, headers=root.headers
    )
    assert demoted.status_code == 200
    for lost in (key, front.who("sam")):
        assert (await front.http.get("/stock/low", headers=lost)).status_code in (401, 403)
