"""Every page, and the states of pages that matter, each with somebody who sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from playwright.sync_api import Page

from storekeeper.http.security import PUBLIC, SIGNED_IN
from tools.screenshots import acts
from tools.screenshots.routes import page_routes

Who = Literal["guest", "customer", "admin"]
# Of routes with something in their address: which of the props it is.
SAMPLES = {
    "/shop/products/{}": "sku",
    "/shop/orders/{}": "order",
    "/admin/products/{}": "product",
    "/admin/products/imports/{}": "job",
    "/admin/orders/{}": "order",
    "/admin/stock/products/{}": "product",
    "/admin/stock/takes/{}": "take",
    "/admin/people/{}": "person",
    "/admin/people/{}/delete": "person",
    "/admin/notifications/{}": "endpoint",
    "/admin/notifications/{}/delete": "endpoint",
}
# Of pages for everybody: who has something to see there.
SEEN_BY: Mapping[str, Who] = {
    "/shop/cart": "customer",
    "/shop/checkout": "customer",
    "/shop/orders/{}": "customer",
}


@dataclass(frozen=True)
class Scene:
    """`address` names props in braces; `act` is what is done there before one looks."""

    name: str
    who: Who
    address: str
    act: Callable[[Page], object] | None = None

    def play(self, page: Page, props: Mapping[str, str]) -> None:
        page.goto(self.address.format(**props))
        if self.act is not None:
            self.act(page)
            # What an act brings is there before its style sheet is, and nobody sees it until then.
            page.wait_for_load_state()


STATES = (
    Scene("shop-products-found", "guest", "/shop/products?q=bag&sort=price"),
    Scene("shop-products-none", "guest", "/shop/products?q=nothinglikethis"),
    Scene("shop-products-wrong", "guest", "/shop/products?min=x"),
    Scene("shop-product-with-variants", "guest", "/shop/products/{parent_sku}"),
    Scene("shop-product-variant", "guest", "/shop/products/{variant}"),
    Scene("shop-cart-empty", "guest", "/shop/cart"),
    Scene("shop-login-wrong", "guest", "/shop/login", acts.send("Log in")),
    Scene("shop-register-wrong", "guest", "/shop/register", acts.send("Make the account")),
    Scene("shop-forgot-sent", "guest", "/shop/forgot", acts.forget_password),
    Scene("shop-session-over", "guest", "/shop/register", acts.lose_session),
    Scene("shop-session-again", "guest", "/shop/register", acts.come_back),
    Scene("shop-missing", "guest", "/shop/nothing"),
    Scene("reset-by-link", "guest", "/reset?token=x"),
    Scene("shop-checkout-wrong", "guest", "/shop/products/{sku}", acts.check_out_blank),
    Scene("shop-order-of-guest", "guest", "/shop/products/{sku}", acts.order_as_guest),
    Scene("shop-order-placed", "customer", "/shop/orders/{placed}"),
    Scene("admin-by-week", "admin", "/admin?by=week"),
    Scene("admin-products-none", "admin", "/admin/products?q=nothinglikethis"),
    Scene("admin-products-low", "admin", "/admin/products?stock=low"),
    Scene("admin-products-bulk", "admin", "/admin/products?q=lunch", acts.lower_prices),
    Scene("admin-products-bulk-wrong", "admin", "/admin/products?q=bag", acts.mistype_prices),
    Scene(
        "admin-products-new-wrong", "admin", "/admin/products/new", acts.send("Make the product")
    ),
    Scene("admin-product-parent", "admin", "/admin/products/{parent}"),
    Scene("admin-product-conflict", "admin", "/admin/products/{parent}", acts.save_after_another),
    Scene("admin-orders-found", "admin", "/admin/orders?number={number}"),
    Scene("admin-orders-none", "admin", "/admin/orders?sku=nothinglikethis"),
    Scene("admin-orders-wrong", "admin", "/admin/orders?since=yesterday"),
    Scene("admin-order-placed", "admin", "/admin/orders/{placed}"),
    Scene("admin-order-wrong", "admin", "/admin/orders/{order}", acts.ship_too_many),
    Scene(
        "admin-stock-product-wrong", "admin", "/admin/stock/products/{product}", acts.receive_none
    ),
    Scene("admin-stock-labels-chosen", "admin", "/admin/stock/labels?add={sku}"),
    Scene("admin-stock-ledger-of-product", "admin", "/admin/stock/ledger?sku={sku}"),
    Scene("admin-stock-take-scanned", "admin", "/admin/stock/takes/{take}", acts.scan),
    Scene("admin-people-none", "admin", "/admin/people?email=nobody"),
    Scene("admin-keys-wrong", "admin", "/admin/system/keys", acts.send("Make the key")),
    Scene("admin-notifications-new-secret", "admin", "/admin/notifications/{endpoint}", acts.renew),
    Scene("admin-notifications-dead", "admin", "/admin/notifications/deliveries?state=dead"),
    Scene("admin-missing", "admin", "/admin/orders/nothing"),
)


def tour() -> Sequence[Scene]:
    """Each route once, then the states. Raises `LookupError` for a route without a sample."""
    routes = page_routes()
    missing = [route for route in routes if "{}" in route and route not in SAMPLES]
    if missing:
        raise LookupError(f"SAMPLES has no address for {', '.join(missing)}")
    return (*(_scene(route, access) for route, access in routes.items()), *STATES)


def _scene(route: str, access: object) -> Scene:
    by_access: Mapping[object, Who] = {PUBLIC: "guest", SIGNED_IN: "customer"}
    who = SEEN_BY.get(route) or by_access.get(access, "admin")
    name = route.replace("{}", "one").strip("/").replace("/", "-")
    prop = SAMPLES.get(route, "")
    return Scene(name, who, route.replace("{}", f"{{{prop}}}"))
