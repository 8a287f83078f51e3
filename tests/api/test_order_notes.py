"""What staff write down about an order stays among them, and is kept once."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.api.shopfront import PASSWORD, Front, Seed


@pytest.fixture
def seed(seed_of_each_store: Seed) -> Seed:
    return seed_of_each_store


async def write(
    front: Front, order: Any, text: str, *, who: str = "sam", key: str = ""
) -> httpx.Response:
    headers = front.who(who) | ({"Idempotency-Key": key} if key else {})
    return await front.http.post(
        f"/orders/{order['id']}/notes", json={"text": text}, headers=headers
    )


async def notes(front: Front, order: Any) -> list[str]:
    answer = await front.http.get(f"/orders/{order['id']}/notes", headers=front.who("sam"))
    assert answer.status_code == 200
    return [one["text"] for one in answer.json()["items"]]


async def test_a_note_is_kept_once_however_often_it_is_sent(front: Front):
    order = await front.placed("ada")
    first = await write(front, order, "Rang her.", key="k-1")
    again = await write(front, order, "Rang her.", key="k-1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert (await write(front, order, "Other words.", key="k-1")).json()[
        "code"
    ] == "idempotency_key_reused"
    await write(front, order, "She rang back.")
    assert await notes(front, order) == ["Rang her.", "She rang back."]


async def test_customers_neither_read_nor_write_them(front: Front):
    order = await front.placed("ada")
    await write(front, order, "Careful with this one.")
    for who in ("ada", "bob", "nobody"):
        path = f"/orders/{order['id']}/notes"
        assert (await front.http.get(path, headers=front.who(who))).status_code in (401, 403)
        assert (await write(front, order, "Me!", who=who)).status_code in (401, 403)
    own = await front.http.get(f"/orders/{order['id']}", headers=front.who("ada"))
    assert "Careful" not in own.text
    assert await notes(front, order) == ["Careful with this one."]


@pytest.mark.parametrize(
    ("author", "other", "status"), [("root", "sam", 403), ("sam", "root", 204)]
)
async def test_a_note_is_taken_away_by_its_author_or_an_admin(
    front: Front, author: str, other: str, status: int
):
    order = await front.placed("ada")
    note = (await write(front, order, "Mine.", who=author)).json()
    path = f"/orders/{order['id']}/notes/{note['id']}"
    tried = await front.http.delete(path, headers=front.who(other))
    assert tried.status_code == status
    own = await front.http.delete(path, headers=front.who(author))
    assert own.status_code == (204 if status == 403 else 404)
    assert await notes(front, order) == []


@pytest.mark.parametrize("text", ["", " \n ", "a\x00b", "x" * 2_001])
async def test_what_is_no_note_is_refused(front: Front, text: str):
    order = await front.placed("ada")
    answer = await write(front, order, text)
    assert (answer.status_code, answer.json()["field"]) == (422, "text")
    assert await notes(front, order) == []


async def test_notes_go_with_the_customer_they_are_about(front: Front):
    order = await front.placed("ada")
    await write(front, order, "Lives behind the church.")
    cancelled = await front.http.post(
        f"/orders/{order['id']}/cancel", json={}, headers=front.who("ada")
    )
    assert cancelled.status_code == 200
    gone = await front.http.request(
        "DELETE", "/users/me", json={"password": PASSWORD}, headers=front.who("ada")
    )
    assert gone.is_success, gone.text
    assert await notes(front, order) == []
