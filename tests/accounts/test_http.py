"""The API of accounts: what is sent and answered, and who may do what."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from storekeeper.domain import events
from storekeeper.services.base import BY_SYSTEM
from tests.accounts.office import ADDRESS, GOOD, OTHER, Office

LOGIN = {"email": "ada@example.com", "password": GOOD}


@pytest.fixture
async def api(office: Office) -> AsyncIterator[httpx.AsyncClient]:
    async with office.client() as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def as_(office: Office, name: str) -> dict[str, str]:
    return bearer((await office.log_in(name)).access_token)


async def test_the_way_of_a_customer_from_registering_to_deleting(office, api):
    registered = await api.post("/users", json={**LOGIN, "name": "Ada"})
    assert registered.status_code == 201
    assert registered.headers["location"] == f"/users/{registered.json()['id']}"
    assert "password" not in registered.text
    logged_in = await api.post("/auth/login", json=LOGIN)
    assert logged_in.status_code == 200
    assert logged_in.headers["cache-control"] == "no-store"
    tokens = logged_in.json()
    assert set(tokens) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 900)
    tokens = (
        await api.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    ).json()
    mine = bearer(tokens["access_token"])
    me = await api.get("/users/me", headers=mine)
    assert (await api.get(registered.headers["location"], headers=mine)).json() == me.json()
    assert me.json()["email"] == "ada@example.com"
    edited = await api.patch(
        "/users/me", json={"name": "Countess"}, headers={**mine, "If-Match": me.headers["etag"]}
    )
    assert (edited.status_code, edited.json()["name"]) == (200, "Countess")
    stale = await api.patch(
        "/users/me", json={"name": "X"}, headers={**mine, "If-Match": me.headers["etag"]}
    )
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    gone = await api.request("DELETE", "/users/me", json={"password": GOOD}, headers=mine)
    assert gone.status_code == 204
    assert (await api.get("/users/me", headers=mine)).status_code == 401


async def test_unknown_address_and_wrong_password_answer_alike(office, api):
    await office.person()
    wrong = await api.post("/auth/login", json={**LOGIN, "password": OTHER})
    unknown = await api.post("/auth/login", json={**LOGIN, "email": "nobody@example.com"})
    assert wrong.status_code == unknown.status_code == 401
    for answer in (wrong, unknown):
        assert answer.headers["content-type"] == "application/problem+json"
    told = [{**a.json(), "request_id": None} for a in (wrong, unknown)]
    assert told[0] == told[1]


async def test_after_failures_the_answer_says_how_long_to_wait(office, api):
    await office.person()
    for _ in range(5):
        await api.post("/auth/login", json={**LOGIN, "password": OTHER})
    answer = await api.post("/auth/login", json=LOGIN)
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["code"] == "too_many_requests"


async def test_log_out_here_and_everywhere(office, api):
    await office.person()
    here, there = await as_(office, "ada"), await as_(office, "ada")
    assert (await api.post("/auth/logout", headers=here)).status_code == 204
    assert (await api.get("/users/me", headers=here)).status_code == 401
    assert (await api.get("/users/me", headers=there)).status_code == 200
    ended = await api.post("/auth/logout", json={"everywhere": True}, headers=there)
    assert ended.status_code == 204
    assert (await api.get("/users/me", headers=there)).status_code == 401


async def test_a_forgotten_password_is_set_by_link_and_asking_tells_nothing(office, api):
    await office.person()
    known = await api.post("/auth/forgot", json={"email": "ada@example.com"})
    unknown = await api.post("/auth/forgot", json={"email": "nobody@example.com"})
    assert known.status_code == unknown.status_code == 202
    assert known.content == unknown.content
    (told,) = await office.told(events.PASSWORD_RESET_REQUESTED)
    link = {
        "token": office.credentials.reset_secret(told.data["link"]),
        "new_password": OTHER,
    }
    assert (await api.post("/auth/reset", json=link)).status_code == 204
    again = await api.post("/auth/reset", json=link)
    assert (again.status_code, again.json()["code"]) == (422, "link_invalid")
    assert (await api.post("/auth/login", json={**LOGIN, "password": OTHER})).status_code == 200


async def test_changing_the_password_and_the_sessions_it_leaves(office, api):
    await office.person()
    mine, other = await as_(office, "ada"), await as_(office, "ada")
    listed = (await api.get("/users/me/sessions", headers=mine)).json()["items"]
    assert [session["current"] for session in listed] == [True, False]
    assert "token" not in repr(listed)
    wrong = await api.post(
        "/users/me/password",
        json={"current_password": OTHER, "new_password": OTHER},
        headers=mine,
    )
    assert (wrong.status_code, wrong.json()["field"]) == (403, "current_password")
    weak = await api.post(
        "/users/me/password",
        json={"current_password": GOOD, "new_password": "password123"},
        headers=mine,
    )
    assert (weak.status_code, weak.json()["code"]) == (422, "weak_password")
    changed = await api.post(
        "/users/me/password",
        json={"current_password": GOOD, "new_password": OTHER},
        headers=mine,
    )
    assert changed.status_code == 204
    assert (await api.get("/users/me", headers=mine)).status_code == 200
    assert (await api.get("/users/me", headers=other)).status_code == 401


async def test_ending_one_session(office, api):
    await office.person()
    mine = await as_(office, "ada")
    phone = await office.log_in()
    path = f"/users/me/sessions/{phone.session_id}"
    assert (await api.delete(path, headers=mine)).status_code == 204
    assert (await api.get("/users/me", headers=bearer(phone.access_token))).status_code == 401
    assert (await api.delete(path, headers=mine)).status_code == 404


async def test_a_retried_registration_is_one_account_and_says_so(office, api):
    body = {**LOGIN, "name": "Ada"}
    headers = {"Idempotency-Key": "one"}
    first = await api.post("/users", json=body, headers=headers)
    again = await api.post("/users", json=body, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"
    other = await api.post("/users", json={**body, "name": "Eve"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    # Somebody else may happen to use the same key.
    eve = {**body, "email": "eve@example.com"}
    assert (await api.post("/users", json=eve, headers=headers)).status_code == 201


async def test_the_hash_of_a_request_is_not_made_from_the_password(office, api):
    """It is kept for ever; a fast hash of a password would be worth stealing."""
    body = {**LOGIN, "name": "Ada"}
    headers = {"Idempotency-Key": "one"}
    await api.post("/users", json=body, headers=headers)
    again = await api.post("/users", json={**body, "password": OTHER}, headers=headers)
    assert again.status_code == 201


async def test_an_admin_lists_reads_promotes_and_deletes(office, api):
    ada = await office.person()
    await office.person("root", "admin")
    root = await as_(office, "root")
    page = (await api.get("/users", params={"limit": 1}, headers=root)).json()
    assert (len(page["items"]), bool(page["next"])) == (1, True)
    found = await api.get("/users", params={"email": "ADA@example.com"}, headers=root)
    assert [user["id"] for user in found.json()["items"]] == [ada.id]
    admins = await api.get("/users", params={"role": "admin"}, headers=root)
    assert [user["name"] for user in admins.json()["items"]] == ["Root"]
    promoted = await api.patch(f"/users/{ada.id}", json={"role": "staff"}, headers=root)
    assert promoted.json()["role"] == "staff"
    assert (await api.get(f"/users/{ada.id}", headers=root)).json()["role"] == "staff"
    for _ in range(2):
        assert (await api.delete(f"/users/{ada.id}", headers=root)).status_code == 204
    assert (await api.get(f"/users/{ada.id}", headers=root)).status_code == 404


async def test_the_last_admin_and_open_orders_are_named_as_reasons(office, api):
    root = await office.person("root", "admin")
    ada = await office.person("ada")
    await office.shop.sell(stock=5)
    order = await office.order(ada)
    headers = await as_(office, "root")
    last = await api.patch(f"/users/{root.id}", json={"role": "staff"}, headers=headers)
    assert (last.status_code, last.json()["code"]) == (409, "last_admin")
    open_ = await api.delete(f"/users/{ada.id}", headers=headers)
    assert (open_.status_code, open_.json()["code"]) == (409, "open_orders")
    assert open_.json()["number"] == order.number


async def test_after_a_deletion_the_order_names_nobody(office, api):
    ada = await office.person()
    await office.person("root", "admin")
    await office.shop.sell(stock=5)
    order = await office.order(ada)
    await office.order_changes.ship(BY_SYSTEM, order.id, lines=None)
    await api.request(
        "DELETE", "/users/me", json={"password": GOOD}, headers=await as_(office, "ada")
    )
    shown = await api.get(f"/orders/{order.id}", headers=await as_(office, "root"))
    assert (shown.json()["shipping_address"], shown.json()["email"]) == (None, "")
    assert ADDRESS.line1 not in shown.text


async def test_an_api_key_is_shown_once_and_works_until_it_is_revoked(office, api):
    await office.person("root", "admin")
    root = await as_(office, "root")
    made = await api.post("/api-keys", json={"name": "erp", "scopes": ["users:read"]}, headers=root)
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    key = made.json()["key"]
    assert key.startswith("sk_")
    listed = (await api.get("/api-keys", headers=root)).json()["items"]
    assert [(k["name"], k["key"]) for k in listed] == [("erp", None)]
    assert (await api.get("/users", headers=bearer(key))).status_code == 200
    assert (await api.get("/users/me", headers=bearer(key))).json()["name"] == "Root"
    more = await api.post(
        "/api-keys", json={"name": "x", "scopes": ["users:read"]}, headers=bearer(key)
    )
    assert more.status_code == 403
    assert (await api.delete(f"/api-keys/{listed[0]['id']}", headers=root)).status_code == 204
    assert (await api.get("/users", headers=bearer(key))).status_code == 401


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/users", {**LOGIN, "name": "A", "role": "admin"}, None),
        ("/users", {**LOGIN, "name": ""}, "name"),
        ("/users", {**LOGIN, "name": "   "}, "name"),
        ("/users", {**LOGIN, "name": 5}, "name"),
        ("/users", {**LOGIN, "email": "nowhere", "name": "A"}, "email"),
        ("/users", {**LOGIN, "password": "x" * 1_001, "name": "A"}, "password"),
        ("/auth/login", {"email": "ada@example.com"}, None),
        ("/auth/refresh", {"refresh_token": ""}, "refresh_token"),
        ("/auth/reset", {"token": "x", "new_password": None}, "new_password"),
    ],
)
async def test_a_body_that_does_not_fit_is_refused_by_its_field(office, api, path, body, field):
    """Above all nobody registers as an admin."""
    answer = await api.post(path, json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] in ("invalid", "weak_password")
    if field:
        assert answer.json()["field"] == field


async def test_the_openapi_document_describes_every_route(office, api):
    document = office.api().state.documentation.document
    for path in ("/users", "/users/me", "/auth/login", "/api-keys", "/users/{user_id}"):
        for operation in document["paths"][path].values():
            assert operation["summary"]
            assert "429" in operation["responses"]
            assert operation["security"]
    profile = document["components"]["schemas"]["ProfileRequest"]
    assert "required" not in profile or not profile["required"]
