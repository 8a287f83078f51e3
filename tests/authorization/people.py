"""The same people as accounts of the shop's own and as people of its user pool."""

from __future__ import annotations

from typing import Literal

import msgspec

from tests.api.shopfront import PASSWORD, PEOPLE, Front, Person
from tests.identity.pool import Pool

Kind = Literal["local", "cognito"]
KINDS: tuple[Kind, ...] = ("local", "cognito")
# What the pool's groups make of their members is a setting; these are those of `GROUPS`.
GROUP_OF = {"customer": (), "staff": ("clerks",), "admin": ("admins",)}


async def people_of(kind: Kind, front: Front, pool: Pool) -> dict[str, Person]:
    """Everybody of `PEOPLE`, logged in."""
    if kind == "local":
        return front.seed.people
    return {
        name: await _met(front, name, pool.token(name, *GROUP_OF[role]))
        for name, role in PEOPLE.items()
    }


async def another_session(kind: Kind, front: Front, pool: Pool, person: Person, name: str) -> str:
    """Somebody logs in once more; the id of that session."""
    if kind == "local":
        login = {"email": person.email, "password": PASSWORD}
        token = (await front.http.post("/auth/login", json=login)).json()["access_token"]
    else:
        token = pool.token(name, *GROUP_OF[PEOPLE[name]], origin_jti="another log-in")
    listed = await front.http.get(
        "/users/me/sessions", headers={"Authorization": f"Bearer {token}"}
    )
    (current,) = (one["id"] for one in listed.json()["items"] if one["current"])
    return str(current)


async def _met(front: Front, name: str, token: str) -> Person:
    person = Person("", f"{name}@example.com", token, "")
    me = await front.http.get("/users/me", headers=person.headers)
    assert me.status_code == 200, me.text
    return msgspec.structs.replace(person, id=me.json()["id"])
