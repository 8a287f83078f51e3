"""A session that ends while somebody types: they log in, send what they typed, and have lost nothing."""

from __future__ import annotations

from typing import Any

from tests.api.shopfront import PASSWORD, Front
from tests.web.browser import Visitor

TYPED = 'A mug & "saucer" <of> clay'


async def lose_session(front: Front, name: str) -> None:
    """As by "log out everywhere" on another device."""
    token = await front.http.post(
        "/auth/login", json={"email": f"{name}@example.com", "password": PASSWORD}
    )
    headers = {"Authorization": f"Bearer {token.json()['access_token']}"}
    ended = await front.http.post("/auth/logout", json={"everywhere": True}, headers=headers)
    assert ended.status_code == 204, ended.text


async def send_in_parts(visitor: Visitor, action: str, **typed: str) -> None:
    parts = {name: (None, value) for name, value in (visitor.fields(action) | typed).items()}
    visitor.page = await visitor.http.post(action, files=parts, follow_redirects=True)


async def log_in_again(visitor: Visitor, name: str) -> None:
    assert visitor.page.status_code == 401
    assert "What you typed is kept" in visitor.text
    # Not even a wrong password costs what was typed.
    await visitor.send("/shop/login", email=f"{name}@example.com", password="wrong-one-7")
    assert visitor.page.status_code == 422
    assert "What you typed is kept" in visitor.text
    await visitor.send("/shop/login", email=f"{name}@example.com", password=PASSWORD)
    assert "What you typed is still here" in visitor.text
    assert "Log out" in visitor.text


async def test_staff_lose_nothing_of_a_product_that_they_were_changing(
    front: Front, visitor: Visitor
):
    product = front.seed.products["MUG"]
    await visitor.log_in("root")
    await visitor.go(f"/admin/products/{product}")
    await lose_session(front, "root")
    await send_in_parts(visitor, f"/admin/products/{product}", name=TYPED, track_stock="1")
    found = (await front.http.get(f"/products/{product}")).json()
    assert found["name"] != TYPED
    await log_in_again(visitor, "root")
    await send_in_parts(visitor, f"/admin/products/{product}")
    assert visitor.page.status_code == 200
    found = (await front.http.get(f"/products/{product}")).json()
    assert found["name"] == TYPED


async def test_a_customer_loses_neither_cart_nor_address_in_the_checkout(
    front: Front, visitor: Visitor
):
    await visitor.log_in("ada")
    await visitor.go("/shop/products/MUG")
    await visitor.send("/shop/cart/add", quantity="2")
    await visitor.go("/shop/checkout")
    await lose_session(front, "ada")
    address: dict[str, Any] = {
        "name": "Ada",
        "line1": "1 Main St",
        "city": "Leeds",
        "country": "GB",
    }
    await visitor.send("/shop/checkout", note=TYPED, **address)
    await log_in_again(visitor, "ada")
    await visitor.send("/shop/checkout")
    assert visitor.page.url.path.startswith("/shop/orders/")
    orders = await front.http.get("/orders", headers=front.who("root"))
    [order] = orders.json()["items"]
    assert (order["note"], order["units"]) == (TYPED, 2)
    assert order["customer_id"] == front.seed.people["ada"].id


async def test_a_form_of_elsewhere_and_a_password_are_not_kept(front: Front, visitor: Visitor):
    await visitor.log_in("ada")
    await visitor.go("/shop/account")
    form = visitor.fields("/shop/account/password")
    await lose_session(front, "ada")
    secret = {"current": "current-secret-1", "new_password": "new-secret-22"}
    lost = await visitor.http.post("/shop/account/password", data=form | secret)
    assert not [value for value in secret.values() if value in lost.text]
    forged = await visitor.http.post("/shop/account", data={"name": "Mallory"})
    assert forged.status_code == 303
    assert forged.headers["location"].startswith("/shop/login")
