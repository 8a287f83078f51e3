"""What a browser does with pages, without one: cookies, forms with their hidden fields, redirects."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from typing import Any

import httpx

from tests.api.shopfront import PASSWORD, Front

BASE = "http://shop.example"


class _Forms(HTMLParser):
    """The forms of a page: where each goes, and what its fields hold."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append((given.get("action", ""), {}))
        elif self.found and tag == "input" and given.get("type") != "checkbox":
            self.found[-1][1][given.get("name", "")] = given.get("value", "")
        elif self.found and tag == "textarea":
            self.found[-1][1].setdefault(given.get("name", ""), "")
        elif self.found and tag == "select":
            self._select = given.get("name", "")
            self.found[-1][1].setdefault(self._select, "")
        elif self.found and tag == "option" and "selected" in given:
            self.found[-1][1][self._select] = given.get("value", "")


def forms_of(page: str) -> dict[str, dict[str, str]]:
    """What the fields of a page's forms hold, by where each goes; the first of several."""
    forms = _Forms()
    forms.feed(page)
    return dict(reversed(forms.found))


class Visitor:
    """One browser at the shop. `page` is the last answer."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.page = httpx.Response(200)

    @property
    def text(self) -> str:
        return html.unescape(re.sub(r"<[^>]*>", " ", self.page.text))

    def take(self, cookies: Mapping[str, str]) -> None:
        """Puts cookies into the jar, in the place of those that the shop has set."""
        for name, value in cookies.items():
            self.http.cookies.set(name, value, domain="shop.example")

    async def go(self, address: str, **more: Any) -> httpx.Response:
        self.page = await self.http.get(address, follow_redirects=True, **more)
        return self.page

    def fields(self, action: str) -> dict[str, str]:
        """What the page's form that goes there holds; fails where there is none."""
        forms = _Forms()
        forms.feed(self.page.text)
        for where, fields in forms.found:
            if where == action:
                return fields
        raise AssertionError(f"no form goes to {action}: {[where for where, _ in forms.found]}")

    async def send(self, action: str, *, follow: bool = True, **typed: str) -> httpx.Response:
        """Fills in the form of this page that goes to `action`, and sends it."""
        data = self.fields(action) | typed
        self.page = await self.http.post(action, data=data, follow_redirects=follow)
        return self.page

    async def log_in(self, name: str, back: str = "") -> httpx.Response:
        await self.go(f"/shop/login?next={back}" if back else "/shop/login")
        return await self.send("/shop/login", email=f"{name}@example.com", password=PASSWORD)


@asynccontextmanager
async def visitor_at(front: Front, **headers: str) -> AsyncIterator[Visitor]:
    transport = httpx.ASGITransport(app=front.app, client=("192.0.2.9", 5_000))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url=BASE, headers=headers) as http:
        yield Visitor(http)
