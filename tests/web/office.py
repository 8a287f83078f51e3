"""The back office in a browser without one: somebody logged in, forms with their hidden fields."""

from __future__ import annotations

import html
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx

from tests.api.contract import Contract
from tests.api.shopfront import Front, Seed, front_at

BASE = "http://shop.example"
_VOID = ("checkbox", "radio")


class _Fields(HTMLParser):
    """What a browser would send of each form of a page, by where it goes; fields that stand
    elsewhere on the page count to the form that they name."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, dict[str, str]] = {}
        self.names: dict[str, str] = {}
        self._apart: list[tuple[str, str, str]] = []
        self._action = ""
        self._text: tuple[str, str] | None = None
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name = given.get("name", "")
        if tag == "form":
            self._action = given.get("action", "")
            self.names[given.get("id", "")] = self._action
            self.found.setdefault(self._action, {})
        elif tag == "input" and "form" in given:
            if given.get("type") not in _VOID:
                self._apart.append((given["form"], name, given.get("value", "")))
        elif tag == "input" and self._action and name:
            if given.get("type") == "file":
                return
            if given.get("type") not in _VOID or "checked" in given:
                self.found[self._action][name] = given.get("value", "")
        elif tag == "textarea":
            self._text = (name, "")
        elif tag == "select":
            self._select = name
        elif tag == "option" and "selected" in given and self._action:
            self.found[self._action][self._select] = given.get("value", "")

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text = (self._text[0], self._text[1] + data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._text is not None:
            name, text = self._text
            self.found[self._action][name] = text.removeprefix("\n")
            self._text = None
        elif tag == "form":
            self._action = ""

    def close(self) -> None:
        super().close()
        for form, name, value in self._apart:
            self.found[self.names[form]].setdefault(name, value)


class Office:
    """One person's browser. `page` is the last answer."""

    def __init__(self, front: Front, http: httpx.AsyncClient) -> None:
        self.front = front
        self.http = http
        self.page = httpx.Response(200)

    @property
    def text(self) -> str:
        return html.unescape(self.page.text)

    async def go(self, address: str) -> httpx.Response:
        self.page = await self.http.get(address, follow_redirects=True)
        return self.page

    def fields(self, action: str) -> dict[str, str]:
        """What the page's form that goes there holds."""
        parser = _Fields()
        parser.feed(self.page.text)
        parser.close()
        return dict(parser.found[action])

    async def send(
        self,
        action: str,
        fields: Mapping[str, Any] | None = None,
        *,
        file: tuple[str, tuple[str, bytes, str]] | None = None,
        whole: bool = False,
        **typed: Any,
    ) -> httpx.Response:
        """Fills in the form of this page that goes to `action` and sends it; with a file, or
        `whole`, as a form in parts. What is None isn't sent."""
        data = {**self.fields(action), **(fields or {}), **typed}
        data = {name: value for name, value in data.items() if value is not None}
        if file is None and not whole:
            self.page = await self.http.post(action, data=data, follow_redirects=True)
        else:
            files = [file or ("image", ("", b"", "application/octet-stream"))]
            self.page = await self.http.post(action, data=data, files=files, follow_redirects=True)
        return self.page

    def product(self, sku: str) -> str:
        return f"/admin/products/{self.front.seed.products[sku]}"


@asynccontextmanager
async def another_office(front: Front, name: str) -> AsyncIterator[Office]:
    """Somebody else at another desk of the same shop."""
    transport = httpx.ASGITransport(app=front.app, client=("192.0.2.9", 5_000))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as http:
        if name:
            # As after a log-in, which other tests are about and which is slow on purpose.
            http.cookies.set("access", front.seed.people[name].access_token)
        yield Office(front, http)


@asynccontextmanager
async def front_for_pages(
    folder: Path, seed: Seed, contracts: dict[str, Contract], **settings: Any
) -> AsyncIterator[Front]:
    """A shop in `folder`; the API's document, which takes a second, is made once."""
    async with front_at(folder, seed, contracts.get(""), **settings) as front:
        contracts[""] = front.contract
        yield front
