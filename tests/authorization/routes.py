"""Every route that isn't for everybody, and what each kind of caller is answered there.

In this order: a guest; Ada, a customer, whose things they are; Bob, another customer; staff; an
admin; an API key of the admin's with the one scope `users:read`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

CALLERS = ("guest", "ada", "bob", "sam", "root", "key")


class Route(NamedTuple):
    """`body`: JSON, or the bytes of a file. `expected`: the statuses, in the order of `CALLERS`."""

    method: str
    path: str
    body: Any
    expected: str


CSV = b"sku\n"
WRONG = {"password": "wrong"}
NEW = {"current_password": "wrong", "new_password": "a wholly different one"}
READ = {"name": "n", "scopes": ["stock:read"]}
WRITE = {"name": "n", "scopes": ["users:write"]}
ACCOUNTS = (
    Route("GET", "/users", None, "401 403 403 403 200 200"),
    Route("GET", "/users/{ada}", None, "401 200 403 403 200 200"),
    Route("PATCH", "/users/{ada}", {"role": "customer"}, "401 403 403 403 200 403"),
    Route("DELETE", "/users/{bob}", None, "401 403 403 403 204 403"),
    Route("DELETE", "/users/{ada}/sessions", None, "401 403 403 403 204 403"),
    Route("GET", "/users/me", None, "401 200 200 200 200 200"),
    Route("PATCH", "/users/me", {"name": "N"}, "401 200 200 200 200 403"),
    Route("DELETE", "/users/me", WRONG, "401 403 403 403 403 403"),
    Route("POST", "/users/me/password", NEW, "401 403 403 403 403 403"),
    Route("GET", "/users/me/sessions", None, "401 200 200 200 200 403"),
    Route("DELETE", "/users/me/sessions/{session}", None, "401 204 404 404 404 403"),
    Route("GET", "/api-keys", None, "401 200 200 200 200 403"),
    Route("POST", "/api-keys", READ, "401 403 403 201 201 403"),
    Route("POST", "/api-keys", WRITE, "401 403 403 403 201 403"),
    Route("DELETE", "/api-keys/{sam_key}", None, "401 404 404 204 404 403"),
    Route("POST", "/auth/logout", {}, "401 204 204 204 204 403"),
)
ORDERS = (
    Route("GET", "/orders", None, "401 200 200 200 200 403"),
    Route("GET", "/orders/{order}", None, "404 200 404 200 200 404"),
    Route("POST", "/orders/{order}/confirm", None, "404 200 404 200 200 403"),
    Route("POST", "/orders/{order}/shipments", {}, "401 403 403 200 409 403"),
    Route("POST", "/orders/{order}/deliveries", {}, "401 403 403 200 200 403"),
    Route("POST", "/orders/{order}/returns", {}, "401 403 403 200 409 403"),
    Route("POST", "/orders/{order}/cancel", None, "404 409 404 409 409 403"),
    Route("GET", "/orders/{order}/notes", None, "401 403 403 200 200 403"),
    Route("POST", "/orders/{order}/notes", {"text": "Rang her"}, "401 403 403 201 201 403"),
    Route("DELETE", "/orders/{order}/notes/none", None, "401 403 403 404 404 403"),
)
CATALOGUE = (
    Route("POST", "/products", {}, "401 403 403 403 422 403"),
    Route("PUT", "/products/none", {}, "401 403 403 403 422 403"),
    Route("PATCH", "/products/none", {}, "401 403 403 403 404 403"),
    Route("DELETE", "/products/none", None, "401 403 403 403 404 403"),
    Route("GET", "/products/export", None, "401 403 403 200 200 403"),
    Route("POST", "/products/import", CSV, "401 403 403 403 202 403"),
    Route("GET", "/jobs", None, "401 403 403 200 200 403"),
    Route("GET", "/jobs/none", None, "401 403 403 404 404 403"),
    Route("GET", "/jobs/none/errors", None, "401 403 403 404 404 403"),
)
STOCK = (
    Route("GET", "/stock/{mug}", None, "401 403 403 200 200 403"),
    Route("GET", "/stock/low", None, "401 403 403 200 200 403"),
    Route("GET", "/stock/export", None, "401 403 403 200 200 403"),
    Route("GET", "/stock/movements", None, "401 403 403 200 200 403"),
    Route("GET", "/stock/movements/export", None, "401 403 403 200 200 403"),
    Route("POST", "/stock/receive", {}, "401 403 403 422 422 403"),
    Route("POST", "/stock/adjust", {}, "401 403 403 422 422 403"),
    Route("POST", "/stock/count", {}, "401 403 403 422 422 403"),
    Route("POST", "/stock/transfer", {}, "401 403 403 422 422 403"),
    Route("POST", "/stock/import", CSV, "401 403 403 202 202 403"),
    Route("GET", "/locations", None, "401 403 403 200 200 403"),
    Route("POST", "/locations", {}, "401 403 403 422 422 403"),
    Route("GET", "/locations/main", None, "401 403 403 200 200 403"),
    Route("PATCH", "/locations/main", {}, "401 403 403 200 200 403"),
)
REPORTS = (
    Route("GET", "/reports/summary", None, "401 403 403 200 200 403"),
    Route("GET", "/reports/sales", None, "401 403 403 200 200 403"),
    Route("GET", "/reports/sales/export", None, "401 403 403 200 200 403"),
    Route("GET", "/reports/stock-value", None, "401 403 403 200 200 403"),
    Route("GET", "/reports/stock-value/export", None, "401 403 403 200 200 403"),
)
WEBHOOKS = (
    Route("GET", "/webhooks", None, "401 403 403 403 200 403"),
    Route("POST", "/webhooks", {}, "401 403 403 403 422 403"),
    Route("GET", "/webhooks/none", None, "401 403 403 403 404 403"),
    Route("PATCH", "/webhooks/none", {}, "401 403 403 403 404 403"),
    Route("DELETE", "/webhooks/none", None, "401 403 403 403 404 403"),
    Route("POST", "/webhooks/none/rotate-secret", None, "401 403 403 403 404 403"),
    Route("POST", "/webhooks/none/drop-old-secrets", None, "401 403 403 403 404 403"),
    Route("POST", "/webhooks/none/test", None, "401 403 403 403 404 403"),
    Route("GET", "/webhooks/none/deliveries", None, "401 403 403 403 404 403"),
    Route("GET", "/deliveries", None, "401 403 403 403 200 403"),
    Route("POST", "/deliveries/none/replay", None, "401 403 403 403 404 403"),
    Route("POST", "/deliveries/replay-dead", None, "401 403 403 403 200 403"),
)
OFFICE = (
    Route("GET", "/audit", None, "401 403 403 403 200 403"),
    Route("GET", "/audit/export", None, "401 403 403 403 200 403"),
    Route("GET", "/settings", None, "401 403 403 403 200 403"),
    Route("PUT", "/settings", {}, "401 403 403 403 200 403"),
)
# Each of these is tried in one shop, in this order: an order is confirmed, shipped and so on.
TOGETHER = {
    "orders": ORDERS,
    "catalogue": CATALOGUE,
    "stock": STOCK,
    "reports": REPORTS,
    "webhooks": WEBHOOKS,
    "office": OFFICE,
}
ALL = (*ACCOUNTS, *ORDERS, *CATALOGUE, *STOCK, *REPORTS, *WEBHOOKS, *OFFICE)
