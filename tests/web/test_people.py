"""Admins look after accounts from the pages, and everybody in the back office after their keys."""

from __future__ import annotations

import html
import re
from pathlib import Path

from storekeeper.domain.accounts import Account, ApiKey
from tests.api.shopfront import Seed
from tests.web.desk import Desk, desk_at, text_of

PEOPLE = "/admin/people"
KEYS = "/admin/system/keys"


def person(desk: Desk, name: str) -> str:
    return f"{PEOPLE}/{desk.front.seed.people[name].id}"


async def kept(desk: Desk, name: str) -> Account:
    account = await desk.front.shop.store.get(Account, desk.front.seed.people[name].id)
    assert account is not None
    return account


async def test_accounts_are_found_by_role_and_address(desk: Desk):
    everybody = await desk.look(PEOPLE)
    for name in ("ada", "bob", "sam", "root"):
        assert f"{name}@example.com" in everybody
    staff = await desk.look(f"{PEOPLE}?role=staff")
    assert "sam@example.com" in staff
    assert "ada@example.com" not in staff
    ada = await desk.look(f"{PEOPLE}?email=ADA%40example.com")
    assert "ada@example.com" in ada
    assert "bob@example.com" not in ada
    assert "No account fits" in await desk.look(f"{PEOPLE}?email=nobody%40example.com")
    assert "no such role" in await desk.look(f"{PEOPLE}?role=king", status=422)
    assert "cursor" in await desk.look(f"{PEOPLE}?cursor=nonsense", status=422)


async def test_staff_dont_see_who_has_an_account(staff: Desk):
    await staff.page(PEOPLE, status=403)
    await staff.page(person(staff, "ada"), status=403)
    assert PEOPLE not in await staff.page("/admin/orders")


async def test_an_account_is_made_once_and_mistakes_are_told_beside_the_field(desk: Desk):
    made = await desk.send(PEOPLE, "/people", new_email="new@example.com", name="Newt")
    assert "new@example.com" in await desk.look(made.headers["location"])
    again = await desk.send(
        PEOPLE, "/people", status=422, new_email="NEW@example.com", name="<Newt>"
    )
    assert 'id="new_email-wrong"' in again.text
    assert 'value="&lt;Newt&gt;"' in again.text
    wrong = await desk.send(PEOPLE, "/people", status=422, new_email="nonsense", name="Newt")
    assert 'id="new_email-wrong"' in wrong.text
    await desk.send(
        PEOPLE, "/people", {"role": "king"}, status=422, new_email="k@example.com", name="K"
    )


async def test_a_role_holds_with_the_next_request(desk: Desk, seed: Seed):
    await desk.send(person(desk, "ada"), "/role", role="staff")
    assert (await kept(desk, "ada")).role == "staff"
    answer = await desk.front.http.get("/orders", headers=seed.people["ada"].headers)
    assert answer.status_code == 200


async def test_a_page_that_is_old_changes_no_role(desk: Desk):
    old = await desk.page(person(desk, "ada"))
    await desk.send(person(desk, "ada"), "/role", role="staff")
    await desk.send(person(desk, "ada"), "/role", page=old, status=422, role="admin")
    assert (await kept(desk, "ada")).role == "staff"


async def test_the_last_admin_stays_one(desk: Desk):
    """Nobody could let an admin in again."""
    refused = await desk.send(person(desk, "root"), "/role", status=422, role="staff")
    assert "admin" in text_of(refused.text)
    assert (await kept(desk, "root")).role == "admin"


async def test_ending_sessions_logs_somebody_out(desk: Desk, seed: Seed):
    await desk.send(person(desk, "ada"), "/sessions")
    answer = await desk.front.http.get("/users/me", headers=seed.people["ada"].headers)
    assert answer.status_code == 401


async def test_an_account_is_deleted_after_a_question(desk: Desk):
    address = f"{person(desk, 'bob')}/delete"
    assert "bob@example.com" in await desk.look(address)
    assert (await kept(desk, "bob")).status == "active"
    await desk.send(address, "/delete")
    assert (await kept(desk, "bob")).email == ""
    await desk.page(person(desk, "bob"), status=404)


async def test_who_has_an_open_order_isnt_deleted(desk: Desk):
    order = await desk.front.placed("ada")
    refused = await desk.send(f"{person(desk, 'ada')}/delete", "/delete", status=422)
    assert order["number"] in text_of(refused.text)
    assert (await kept(desk, "ada")).status == "active"


async def test_ones_own_account_needs_the_password(desk: Desk):
    """A browser that was left open deletes no admin."""
    page = await desk.page(f"{person(desk, 'ada')}/delete")
    ada, root = (desk.front.seed.people[name].id for name in ("ada", "root"))
    answer = await desk.send("", "/delete", page=page.replace(ada, root))
    assert answer.headers["location"] == "/shop/account"
    assert (await kept(desk, "root")).status == "active"


async def test_a_key_is_shown_once_works_and_is_revoked(staff: Desk):
    page = await staff.page(KEYS)
    made = await staff.send(
        KEYS, "/keys", {"scopes": ["orders:read"]}, page=page, status=200, name="till"
    )
    assert made.headers["cache-control"] == "no-store"
    secret = key_in(made.text)
    headers = {"Authorization": f"Bearer {secret}"}
    assert (await staff.front.http.get("/orders", headers=headers)).status_code == 200
    assert (await staff.front.http.get("/reports/summary", headers=headers)).status_code == 403

    again = await staff.send(
        KEYS, "/keys", {"scopes": ["orders:read"]}, page=page, status=200, name="till"
    )
    assert secret not in again.text
    assert secret not in await staff.page(KEYS)
    listed = await staff.front.shop.store.list_all(ApiKey, limit=10)
    assert len(listed.items) == 1

    shown = await staff.page(KEYS)
    await staff.send("", "/revoke", page=shown)
    await staff.send("", "/revoke", page=shown)
    assert "no such key" in await staff.look(KEYS)
    assert (await staff.front.http.get("/orders", headers=headers)).status_code == 401


async def test_a_key_goes_no_further_than_its_owner(staff: Desk):
    assert "users:write" not in await staff.page(KEYS)
    refused = await staff.send(KEYS, "/keys", {"scopes": ["users:write"]}, status=422, name="more")
    assert 'id="scopes-wrong"' in refused.text


async def test_a_key_that_cant_be_is_told_beside_the_field(staff: Desk):
    nothing = await staff.send(KEYS, "/keys", status=422, name="", expires_at="soon")
    for field in ("name", "scopes", "expires_at"):
        assert f'id="{field}-wrong"' in nothing.text
    past = await staff.send(
        KEYS,
        "/keys",
        {"scopes": ["orders:read"]},
        status=422,
        name="late",
        expires_at="2001-01-01",
    )
    assert 'id="expires_at-wrong"' in past.text
    assert 'value="late"' in past.text
    assert re.search(r'value="orders:read" checked', past.text)


async def test_customers_have_no_keys_page(tmp_path: Path, seed: Seed):
    async with desk_at(tmp_path, seed, "ada") as desk:
        await desk.page(KEYS, status=403)


def key_in(page: str) -> str:
    found = re.search(r'<code class="long">([^<]+)</code>', page)
    assert found is not None
    return html.unescape(found[1])
