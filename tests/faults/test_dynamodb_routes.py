"""No request may scan a table, or every page would cost the whole shop: each route is visited."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from litestar.routes import HTTPRoute

from tests.api.shopfront import PASSWORD, Front, Seed, front_at, seed_shop
from tests.faults.chores import calls_of
from tests.support import local_engines
from tests.support.faulty_dynamodb import FaultyDynamo
from tests.web.browser import Visitor, forms_of, visitor_at

CHEAP = {"PutItem", "Query", "GetItem", "DeleteItem", "DescribeTable"}
# Where a webhook goes: nobody listens, and nobody is asked where it is.
NOWHERE = "http://127.0.0.1:9/"
# After these the visitor is somebody else, or nobody.
LAST = re.compile(
    r"POST /auth/logout|(POST|PATCH|DELETE) /users/me.*|POST /shop/(login|logout|account/.*)"
)
CSV = {
    "/products/import": "sku,name,price,currency\nPEN,A pen,1.00,GBP\n",
    "/stock/import": "sku,location,on_hand\nMUG,main,100\n",
}


class Visit(NamedTuple):
    method: str
    path: str
    handler: Any

    @property
    def is_last(self) -> bool:
        return bool(LAST.fullmatch(f"{self.method} {self.path}"))

    @property
    def order(self) -> tuple[bool, bool, bool, bool]:
        """Reads first; then what changes something, what takes it away, and what ends the visit."""
        is_read = self.method == "GET"
        return (
            self.is_last,
            self.path == "/shop/logout",
            self.method == "DELETE",
            not is_read,
        )


def visits(front: Front) -> Iterator[Visit]:
    for route in front.app.routes:
        if isinstance(route, HTTPRoute):
            for method, (handler, _) in route.route_handler_map.items():
                if method != "OPTIONS":
                    yield Visit(str(method), re.sub(r":\w+}", "}", route.path), handler)


class Tour:
    """An admin's, by the API and by pages. `ids` holds a record's id for each name in paths."""

    def __init__(self, front: Front, visitor: Visitor) -> None:
        self.front = front
        self.visitor = visitor
        self.answered: dict[tuple[str, str], int] = {}
        self.forms: dict[str, dict[str, str]] = {}
        self.csrf = ""
        root, bob = (front.seed.people[name] for name in ("root", "bob"))
        # What no example can know.
        self._own = {
            "/auth/login": {"email": root.email, "password": PASSWORD},
            "/auth/refresh": {"refresh_token": bob.refresh_token},
            "/users/me": {"password": PASSWORD},
            "/users/me/password": {"current_password": PASSWORD, "new_password": PASSWORD},
        }
        self.ids: dict[str, str] = {"sku": "MUG", "name": "none", "action": "receive"}

    async def prepare(self) -> None:
        """One of everything that can be looked at."""
        seed = self.front.seed
        await self.visitor.log_in("root")
        await self.visitor.go("/shop/products/MUG")
        self.csrf = self.visitor.fields("/shop/cart/add")["csrf"]
        order = await self.front.placed("ada")
        key = await self._made("/api-keys", name="till", scopes=["orders:read"])
        hook = await self._made("/webhooks", url=NOWHERE)
        await self._made("/locations", id="annex", name="The annex")
        job = await self._made("/products/import", CSV["/products/import"])
        await self.visitor.go("/admin/stock/takes")
        take = await self.visitor.send("/admin/stock/takes", follow=False, location_id="main")
        sessions = await self.front.http.get("/users/me/sessions", headers=self.front.who("ada"))
        self.ids |= {
            "product_id": seed.products["LAMP"],
            "order_id": order["id"],
            "user_id": seed.people["bob"].id,
            "account_id": seed.people["bob"].id,
            "session_id": sessions.json()["items"][0]["id"],
            "api_key_id": key["id"],
            "endpoint_id": hook["id"],
            "location_id": "annex",
            "job_id": job["id"],
            "take_id": take.headers["location"].rpartition("/")[2],
            "delivery_id": "none",
        }

    async def visit(self, one: Visit) -> None:
        if "{order_id}" in one.path and one.method != "GET":
            order = self.ids["order_id"] = (await self.front.placed("ada"))["id"]
            if "{note_id}" in one.path:
                note = await self._made(f"/orders/{order}/notes", text="Ring twice.")
                self.ids["note_id"] = note["id"]
        path = one.path.format_map(self.ids)
        is_page = bool(one.handler.opt.get("is_page"))
        answer = await (self._page if is_page else self._call)(one, path)
        status = self.answered[one.method, one.path] = answer.status_code
        assert status not in (401, 403, 405), (one, answer.text[:500])
        assert status < 500, (one, answer.text[:500])
        assert one.is_last or "/login" not in answer.headers.get("location", ""), one
        if is_page and one.method == "GET" and answer.headers["content-type"].startswith("text/h"):
            self.forms |= forms_of(answer.text)

    async def _page(self, one: Visit, path: str) -> httpx.Response:
        if one.method == "GET":
            return await self.visitor.http.get(path)
        typed = self.forms.get(path, {}) | {"csrf": self.csrf}
        if "takes_file" in one.handler.opt:
            return await self.visitor.http.post(
                path, files={name: (None, value) for name, value in typed.items()}
            )
        return await self.visitor.http.post(path, data=typed)

    async def _call(self, one: Visit, path: str) -> httpx.Response:
        headers = await self._another_visit() if one.is_last else self.front.who("root")
        if one.path in CSV:
            headers |= {"Content-Type": "text/csv"}
            return await self.front.http.post(path, content=CSV[one.path], headers=headers)
        body = self._example(one)
        return await self.front.http.request(one.method, path, json=body, headers=headers)

    async def _another_visit(self) -> dict[str, str]:
        """For what ends a visit: nobody else's."""
        body = {"email": self.front.seed.people["ada"].email, "password": PASSWORD}
        session = await self.front.http.post("/auth/login", json=body)
        return {"Authorization": f"Bearer {session.json()['access_token']}"}

    def _example(self, one: Visit) -> Any:
        """The document's, as a client would begin with; None where nothing is to be sent."""
        paths = self.front.contract.document["paths"]
        asked = paths.get(one.path, {}).get(one.method.lower(), {}).get("requestBody")
        if asked is None:
            return None
        sent = asked["content"]["application/json"]["example"]
        ours = {"url": NOWHERE, **self._own.get(one.path, {})}
        return sent | {name: ours[name] for name in ours.keys() & sent.keys()}

    async def _made(self, path: str, content: str = "", **fields: Any) -> Any:
        headers = self.front.who("root")
        if content:
            headers |= {"Content-Type": "text/csv"}
            made = await self.front.http.post(path, content=content, headers=headers)
        else:
            made = await self.front.http.post(path, json=fields, headers=headers)
        assert made.is_success, made.text
        return made.json()


@pytest.fixture
async def seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Seed:
    local_engines.use_local_credentials(monkeypatch)
    folder = tmp_path / "seed"
    folder.mkdir()
    return await asyncio.to_thread(seed_shop, folder, "dynamodb")


async def test_no_route_scans_a_table(seed: Seed, tmp_path: Path) -> None:
    node = tmp_path / "node"
    node.mkdir()
    with FaultyDynamo() as proxy:
        opened = front_at(node, seed, aws_endpoint_url=proxy.url, webhook_private_addresses=True)
        async with opened as front, visitor_at(front) as visitor:
            tour = Tour(front, visitor)
            await tour.prepare()
            all_visits = sorted(visits(front), key=lambda one: one.order)
            for one in all_visits:
                await tour.visit(one)
            assert set(tour.answered) == {(one.method, one.path) for one in all_visits}
        assert proxy.calls["PutItem"] > 50
        assert set(proxy.calls) <= CHEAP, proxy.calls


def test_nothing_but_verify_can_scan() -> None:
    """By the source: `verify` compares all there is, and tries first whether it may."""
    assert "Scan" not in calls_of(beside=("checking", "rights"))
