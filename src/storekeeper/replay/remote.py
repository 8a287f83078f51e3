"""Plays through a running shop's API, as an integration would: at the present time, by HTTP.

The API keeps no place for how far a replay has come, so a resumed one asks for everything again;
every request has its Idempotency-Key, and the shop answers with what it has.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any

import httpx
import msgspec

from storekeeper.domain import errors
from storekeeper.domain.catalog import ProductDetails
from storekeeper.domain.errors import ShopError
from storekeeper.domain.types import AccountId, fold_sku
from storekeeper.replay import requests
from storekeeper.replay.comparison import ShopFigures
from storekeeper.replay.driver import together
from storekeeper.replay.happenings import Adjustment, Return, Sale
from storekeeper.replay.script import CURRENCY, Person, Script, Stage

AT_ONCE = 32
PAGE = 200
TRIES = 8
TIMEOUT_S = 60.0
FIRST_REST_S = 0.2
LONGEST_REST_S = 60.0
_SOLD = frozenset(
    "confirmed partially_shipped shipped delivered partially_returned returned".split()
)
_PROBLEMS = {kind.code: kind for kind in errors.catalogue()}


class HttpClient:
    """`api_key` is an admin's, with all scopes. Waits where the shop asks for it (429, 503)."""

    at_once = AT_ONCE

    def __init__(self, url: str, api_key: str) -> None:
        self._url = url
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=TIMEOUT_S,
            limits=httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE),
        )
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._accounts: dict[str, AccountId] = {}
        self._orders: dict[str, str] = {}

    async def __aenter__(self) -> HttpClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def begin(self, script: Script) -> int:
        # Later a lost connection is worth waiting for; a shop that was never there isn't.
        try:
            await self._http.get("/healthz")
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        return -1

    async def reached(self, count: int) -> None:
        return

    async def add_products(self, products: Sequence[ProductDetails]) -> None:
        await together(
            self._made("/products", one, requests.product_key(one.sku)) for one in products
        )

    async def add_stock(self, units: Mapping[str, int]) -> None:
        await together(
            self._made("/stock/receive", requests.receipt(sku, count), requests.opening_key(sku))
            for sku, count in units.items()
        )

    async def add_people(self, people: Mapping[str, Person]) -> None:
        await together(self._register(id, person) for id, person in people.items())

    async def sell(self, sale: Sale, stage: Stage) -> None:
        order_id = await self._place(sale, stage)
        if stage == "shipped":
            await self._post(f"/orders/{order_id}/shipments", {}, requests.shipping_key(sale))

    async def order_id(self, sale: Sale) -> str:
        return self._orders.get(sale.reference) or await self._place(sale, "shipped")

    async def take_back(
        self, returned: Return, sale: Sale, order_id: str, units: Mapping[int, int]
    ) -> None:
        body = {"lines": requests.returned_lines(units), "reason": requests.reason(returned)}
        await self._post(f"/orders/{order_id}/returns", body, requests.return_key(returned, sale))

    async def adjust(self, by: Return | Adjustment, sku: str, units: int, note: str) -> None:
        body = requests.adjustment(by, sku, units, note)
        await self._post("/stock/adjust", body, requests.adjustment_key(by, sku))

    async def figures(self, script: Script) -> ShopFigures:
        """Added up from all orders and products, as the API lists them."""
        orders = units = revenue = returned_units = 0
        async for order in self._all("/orders"):
            if order["state"] not in _SOLD:
                continue
            orders += 1
            for line in order["lines"]:
                kept = line["quantity"] - line["cancelled"]
                units += kept
                returned_units += line["returned"]
                if line["unit_price"]["currency"] == CURRENCY:
                    revenue += line["unit_price"]["amount"] * kept
        skus = {fold_sku(one.sku): one.sku for one in script.products if one.track_stock}
        on_hand: dict[str, int] = {}
        async for product in self._all("/products"):
            sku = skus.get(fold_sku(product["sku"]))
            if sku is not None:
                on_hand[sku] = product["stock"]["on_hand"]
        return ShopFigures(
            orders=orders,
            units=units,
            revenue=revenue,
            returned_units=returned_units,
            on_hand=on_hand,
        )

    async def _place(self, sale: Sale, stage: Stage) -> str:
        customer = sale.customer_id
        account_id = self._accounts[customer] if customer is not None else None
        body = requests.order(sale, account_id, stage)
        order = await self._post("/orders", body, requests.order_key(sale))
        self._orders[sale.reference] = order["id"]
        return str(order["id"])

    async def _register(self, customer_id: str, person: Person) -> None:
        # Nobody is going to log in with it; a forgotten password is set anew by link.
        body = {
            "email": person.email,
            "name": person.name,
            "password": secrets.token_urlsafe(24),
        }
        account = await self._post("/users", body, requests.person_key(customer_id))
        self._accounts[customer_id] = AccountId(account["id"])

    async def _all(self, path: str) -> AsyncIterator[Any]:
        cursor: str | None = None
        while True:
            query = {"limit": str(PAGE)} | ({"cursor": cursor} if cursor else {})
            page = await self._send("GET", path, params=query)
            for item in page["items"]:
                yield item
            cursor = page["next"]
            if cursor is None:
                return

    async def _made(self, path: str, body: Any, key: str) -> None:
        await self._post(path, body, key)

    async def _post(self, path: str, body: Any, key: str) -> Any:
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        return await self._send("POST", path, content=msgspec.json.encode(body), headers=headers)

    async def _send(self, method: str, path: str, **more: Any) -> Any:
        """The answer's body. A lost connection is tried again: its key makes that harmless."""
        rest = FIRST_REST_S
        failures = 0
        while True:
            try:
                async with self._slots:
                    response = await self._http.request(method, path, **more)
            except httpx.TransportError as error:
                failures += 1
                if failures == TRIES:
                    raise self._unreachable(error) from error
            else:
                if response.is_success:
                    return msgspec.json.decode(response.content)
                failures += response.status_code == 503
                if response.status_code not in (429, 503) or failures == TRIES:
                    raise _refusal(path, response)
                rest = max(rest, _asked_for(response))
            await asyncio.sleep(min(rest, LONGEST_REST_S))
            rest = min(rest * 2, LONGEST_REST_S)

    def _unreachable(self, error: httpx.TransportError) -> errors.StoreUnavailable:
        reason = str(error) or type(error).__name__
        return errors.StoreUnavailable(f"no shop answers at {self._url}: {reason}")


def _asked_for(response: httpx.Response) -> float:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdigit() else 0.0


def _refusal(path: str, response: httpx.Response) -> ShopError:
    """The shop's own error, as if its service had been called here."""
    try:
        problem = msgspec.json.decode(response.content, type=dict[str, Any])
    except msgspec.DecodeError:
        problem = {}
    kind = _PROBLEMS.get(problem.get("code", ""), ShopError)
    detail = problem.get("detail") or f"the shop answered {response.status_code}"
    return kind(f"{path}: {detail}")
