"""Somebody at the back office's pages: reads them and sends their forms, as a browser would."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx

from tests.api.contract import Contract
from tests.api.shopfront import Front, Seed, front_at

# The API's document is the same for every shop; it is made once.
_contract: dict[str, Contract] = {}


@dataclass
class Form:
    """A form of a page with what its fields hold."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(given.get("action", ""), given.get("method", "get")))
        elif tag == "select":
            self._select = given.get("name", "")
        elif not self.forms:
            return
        elif tag == "option" and self._select:
            is_chosen = "selected" in given or self._select not in self.forms[-1].fields
            if is_chosen:
                self.forms[-1].fields[self._select] = given.get("value", "")
        elif tag == "input" and given.get("name"):
            is_left_out = given.get("type") in ("checkbox", "radio") and "checked" not in given
            if not is_left_out:
                self.forms[-1].fields[given["name"]] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = ""


def forms_of(page: str) -> list[Form]:
    reader = _Forms()
    reader.feed(page)
    return reader.forms


def text_of(page: str) -> str:
    """What is to be read on a page, in one line."""
    main = page.partition('<main id="content"')[2]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", main)).split())


@dataclass
class Desk:
    """A logged-in person of the seeded shop, and the shop behind the pages."""

    front: Front
    http: httpx.AsyncClient

    async def page(self, address: str, status: int = 200) -> str:
        answer = await self.http.get(address)
        assert answer.status_code == status, answer.text
        return answer.text

    async def look(self, address: str, status: int = 200) -> str:
        return text_of(await self.page(address, status))

    async def send(
        self,
        address: str,
        action: str,
        fields: Mapping[str, Any] | None = None,
        *,
        status: int = 303,
        page: str | None = None,
        **typed: Any,
    ) -> httpx.Response:
        """Fills in the form of the page at `address` whose action ends with `action`, and sends it
        as the page (or an older one, `page`) holds it, but for `fields` and what is `typed`."""
        shown = page if page is not None else await self.page(address)
        form = next(
            form
            for form in forms_of(shown)
            if form.method == "post" and form.action.endswith(action)
        )
        filled = form.fields | {name.replace("__", "-"): value for name, value in typed.items()}
        answer = await self.http.post(form.action, data={**filled, **(fields or {})})
        assert answer.status_code == status, answer.text
        return answer


@asynccontextmanager
async def desk_at(folder: Path, seed: Seed, name: str = "sam") -> AsyncIterator[Desk]:
    async with front_at(folder, seed, _contract.get("known")) as front:
        _contract["known"] = front.contract
        transport = httpx.ASGITransport(app=front.app, client=("192.0.2.7", 5_000))  # type: ignore[arg-type]
        cookies = {"access": seed.people[name].access_token} if name in seed.people else {}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://shop.example", cookies=cookies
        ) as http:
            yield Desk(front, http)
