"""What a shop has to hold so that every page of it has something to show."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import httpx

PATIENCE_S = 30.0
# Units of a product that all of this needs.
ENOUGH = 30
# Reserved for examples: no such host will ever be.
HOOK = "https://erp.example/storekeeper"
ADDRESS = {
    "name": "Ada Lovelace",
    "line1": "12 Hanover Square",
    "postal_code": "SW1Y 4JH",
    "city": "London",
    "country": "GB",
    "phone": "+44 20 7946 0000",
}
GOODS = """\
sku,name,price
CANDLE-1,Beeswax Candle,6.50
CANDLE-2,Rapeseed Candle,six pounds
CANDLE-3,Soy Candle,5.50
"""


class Api:
    """One person's calls of the shop's API."""

    def __init__(self, url: str, email: str, password: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=PATIENCE_S)
        answer = self._http.post("/auth/login", json={"email": email, "password": password})
        answer.raise_for_status()
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        if body is not None:
            more["json"] = body
        answer = self._http.request(method, path, **more)
        if answer.is_error:
            raise RuntimeError(f"{method} {path} was answered with {answer.text}")
        return answer.json() if answer.content else None

    def get(self, path: str, **params: Any) -> Any:
        return self.call("GET", path, params=params)

    def post(self, path: str, body: Any = None) -> Any:
        return self.call("POST", path, body)

    def close(self) -> None:
        self._http.close()


def make_props(admin: Api, customer: Api) -> Mapping[str, str]:
    """Puts it all into a demo shop; the ids and SKUs by the names that scenes have for them."""
    goods = [
        product
        for product in admin.get("/products", limit=100, q="vintage")["items"]
        if product["stock"]["available"] >= ENOUGH
    ][:3]
    skus = [product["sku"] for product in goods]
    admin.post("/locations", {"id": "back", "name": "Back room"})
    transfer = {"sku": skus[0], "quantity": 6, "from_location_id": "main", "to_location_id": "back"}
    admin.post("/stock/transfer", transfer)
    endpoint = admin.post("/webhooks", {"url": HOOK, "description": "Bookkeeping"})
    admin.post("/api-keys", {"name": "Bookkeeping", "scopes": ["orders:read", "stock:read"]})
    someone = admin.get("/users", limit=10)["items"]
    return {
        "sku": skus[0],
        "product": goods[0]["id"],
        **_variants(admin),
        **_orders(admin, customer, skus),
        "job": _import(admin),
        "endpoint": endpoint["id"],
        "person": next(one["id"] for one in someone if one["role"] == "customer"),
    }


def _variants(admin: Api) -> dict[str, str]:
    """A scarf in two colours, of which one has run out."""
    price = {"amount": 2_450, "currency": "GBP"}
    common = {"price": price, "category": "Bags & travel", "tags": ["wool", "winter"]}
    parent = admin.post(
        "/products",
        {
            "sku": "SCARF",
            "name": "Lambswool Scarf",
            "is_parent": True,
            "description": "Woven in the Borders.\n\n180 by 30 centimetres, with a fringe.",
            "attributes": {"Material": "lambswool", "Care": "by hand"},
            **common,
        },
    )
    for colour in ("Heather", "Moss"):
        admin.post(
            "/products",
            {
                "sku": f"SCARF-{colour.upper()}",
                "name": f"Lambswool Scarf, {colour}",
                "parent_id": parent["id"],
                "options": {"Colour": colour},
                "low_stock_threshold": 5,
                **common,
            },
        )
    admin.post("/stock/receive", {"sku": "SCARF-MOSS", "quantity": 4, "reference": "DN-1042"})
    return {"parent_sku": "SCARF", "parent": parent["id"], "variant": "SCARF-MOSS"}


def _orders(admin: Api, customer: Api, skus: list[str]) -> dict[str, str]:
    """One that has gone through all that can happen to an order, and one that is just placed."""
    lines = [{"sku": sku, "quantity": 2} for sku in skus]
    body = {"lines": lines, "shipping_address": ADDRESS, "note": "Please ring twice."}
    order = customer.post("/orders", {**body, "confirm": True})
    path = f"/orders/{order['id']}"
    first = order["lines"][0]["id"]
    admin.post(
        f"{path}/shipments",
        {
            "lines": [{"line_id": first, "quantity": 2}],
            "carrier": "Royal Mail",
            "tracking_number": "RM 1234 5678 9GB",
        },
    )
    admin.post(f"{path}/deliveries", {})
    admin.post(
        f"{path}/returns",
        {"lines": [{"line_id": first, "quantity": 1}], "reason": "The wrong size"},
    )
    placed = customer.post("/orders", body)
    return {"order": order["id"], "number": order["number"], "placed": placed["id"]}


def _import(admin: Api) -> str:
    """A file with a bad row, read to its end."""
    job = admin.call(
        "POST",
        "/products/import",
        params={"mode": "skip_bad"},
        content=GOODS,
        headers={"Content-Type": "text/csv"},
    )
    deadline = time.monotonic() + PATIENCE_S
    while admin.get(f"/jobs/{job['id']}")["state"] in ("waiting", "running"):
        if time.monotonic() > deadline:
            raise TimeoutError("the import isn't done in time")
        time.sleep(0.05)
    for sku in ("CANDLE-1", "CANDLE-3"):
        admin.post("/stock/receive", {"sku": sku, "quantity": 60, "reference": "DN-1043"})
    return str(job["id"])
