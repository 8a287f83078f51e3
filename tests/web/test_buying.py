"""A customer's way from the shelf to the order, on every store, as a browser sends it."""

from __future__ import annotations

import base64
import re
import zlib
from typing import Any

import msgspec
import pytest

from storekeeper.services.base import BY_SYSTEM
from storekeeper.services.catalog import ProductInput, ProductPatch
from storekeeper.services.inventory import AdjustRequest
from tests.api.shopfront import Front, Seed
from tests.support.builders import pounds
from tests.web.browser import Visitor, visitor_at

ADDRESS: dict[str, Any] = {"name": "Ada", "line1": "1 Main St", "city": "Leeds", "country": "GB"}


@pytest.fixture
def seed(seed_of_each_store: Seed) -> Seed:
    return seed_of_each_store


async def put_in_cart(visitor: Visitor, sku: str, quantity: int = 1) -> None:
    await visitor.go(f"/shop/products/{sku}")
    await visitor.send("/shop/cart/add", quantity=str(quantity))
    assert visitor.page.url.path == "/shop/cart"


async def check_out(visitor: Visitor, **typed: str) -> None:
    await visitor.go("/shop/checkout")
    await visitor.send("/shop/checkout", **(ADDRESS | typed))


async def test_a_guest_buys_and_follows_the_order_by_its_link(front: Front, visitor: Visitor):
    await put_in_cart(visitor, "MUG", 2)
    await put_in_cart(visitor, "LAMP")
    await check_out(visitor, email="guest@example.com")
    assert "Please look at your order" in visitor.text
    assert "£44.97" in visitor.text
    assert await front.available("MUG") == 98, "reserved"
    page = str(visitor.page.url)
    await visitor.send(f"{visitor.page.url.path}/confirm")
    assert "Your order is confirmed" in visitor.text
    async with visitor_at(front) as other:
        assert (await other.go(page)).status_code == 200
        assert (await other.go(page.replace("token=", "token=0"))).status_code == 404
        assert (await other.go(page.split("?", maxsplit=1)[0])).url.path == "/shop/login"
    assert (await visitor.go("/shop/cart")).status_code == 200
    assert "Your cart is empty" in visitor.text
    assert await front.shop.store.verify() == []


async def test_a_double_click_makes_one_order(front: Front, visitor: Visitor):
    await visitor.log_in("ada")
    await put_in_cart(visitor, "MUG", 3)
    await visitor.go("/shop/checkout")
    form = visitor.fields("/shop/checkout") | ADDRESS
    first = await visitor.http.post("/shop/checkout", data=form)
    # The second click was sent with the cart as it was.
    await put_in_cart(visitor, "MUG", 3)
    second = await visitor.http.post("/shop/checkout", data=form)
    assert first.headers["location"] == second.headers["location"]
    assert await front.available("MUG") == 97


async def test_what_runs_out_meanwhile_is_told_and_nothing_that_was_typed_is_lost(
    front: Front, visitor: Visitor
):
    await put_in_cart(visitor, "CHAIR")
    await put_in_cart(visitor, "MUG")
    await visitor.go("/shop/checkout")
    form = visitor.fields("/shop/checkout") | ADDRESS | {"email": "guest@example.com"}
    await front.placed("bob", ("CHAIR", 1), confirm=True)
    visitor.page = await visitor.http.post("/shop/checkout", data=form)
    assert visitor.page.status_code == 422
    assert "has just run out. Nothing was ordered" in visitor.text
    kept = visitor.fields("/shop/checkout")
    assert {name: kept[name] for name in ADDRESS} == ADDRESS
    assert await front.available("MUG") == 100
    await visitor.go("/shop/cart")
    assert "This has run out" in visitor.text
    await visitor.send("/shop/cart", fit="1")
    assert "The chair" not in visitor.text
    assert "The mug" in visitor.text


async def test_who_takes_what_there_is_in_the_checkout_types_no_address_twice(
    front: Front, visitor: Visitor
):
    await put_in_cart(visitor, "CHAIR")
    await put_in_cart(visitor, "MUG", 2)
    await visitor.go("/shop/checkout")
    await front.placed("bob", ("CHAIR", 1), confirm=True)
    await visitor.send("/shop/checkout", email="guest@example.com", **ADDRESS)
    assert visitor.page.status_code == 422
    await visitor.send("/shop/checkout", fit="1")
    assert visitor.page.status_code == 200
    assert "The chair" not in visitor.text
    kept = visitor.fields("/shop/checkout")
    assert {name: kept[name] for name in ADDRESS} == ADDRESS
    await visitor.send("/shop/checkout")
    assert "Please look at your order" in visitor.text


async def test_nobody_pays_a_price_that_was_not_shown(front: Front, visitor: Visitor):
    await put_in_cart(visitor, "MUG")
    await visitor.go("/shop/checkout")
    form = visitor.fields("/shop/checkout") | ADDRESS | {"email": "guest@example.com"}
    patch = msgspec.convert({"price": {"amount": 1_299}}, ProductPatch)
    await front.shop.catalog.patch(BY_SYSTEM, front.seed.products["MUG"], patch)
    visitor.page = await visitor.http.post("/shop/checkout", data=form)
    assert visitor.page.status_code == 422
    assert "A price has changed" in visitor.text
    assert "£12.99" in visitor.text
    await visitor.go("/shop/cart")
    assert "The price was £9.99 when you put it here" in visitor.text
    await visitor.go("/shop/checkout")
    await visitor.send("/shop/checkout", **ADDRESS, email="guest@example.com")
    assert "Please look at your order" in visitor.text


async def test_a_cart_goes_along_into_the_account(front: Front, visitor: Visitor):
    async with visitor_at(front) as phone:
        await phone.log_in("ada")
        await put_in_cart(phone, "LAMP", 2)
    await put_in_cart(visitor, "LAMP", 1)
    await put_in_cart(visitor, "MUG", 4)
    await visitor.log_in("ada", "/shop/cart")
    assert visitor.fields("/shop/cart")["quantity:LAMP"] == "2"
    assert visitor.fields("/shop/cart")["quantity:MUG"] == "4"
    assert not visitor.http.cookies.get("cart")
    async with visitor_at(front) as phone:
        await phone.log_in("ada", "/shop/cart")
        assert phone.fields("/shop/cart")["quantity:MUG"] == "4"


async def test_a_reservation_that_ended_is_told_and_goes_back_into_the_cart(
    front: Front, visitor: Visitor
):
    await visitor.log_in("ada")
    await put_in_cart(visitor, "MUG", 2)
    await check_out(visitor)
    order = visitor.page.url.path
    form = visitor.fields(f"{order}/confirm")
    front.clock.advance(seconds=901)
    visitor.page = await visitor.http.post(f"{order}/confirm", data=form, follow_redirects=True)
    assert "nothing was ordered" in visitor.text
    await visitor.send(f"{order}/again")
    assert visitor.fields("/shop/cart")["quantity:MUG"] == "2"


async def test_an_order_is_cancelled_and_its_units_come_back(front: Front, visitor: Visitor):
    await visitor.log_in("ada")
    await put_in_cart(visitor, "MUG", 2)
    await check_out(visitor)
    order = visitor.page.url.path
    await visitor.send(f"{order}/confirm")
    await visitor.send(f"{order}/cancel")
    assert "The order is cancelled" in visitor.text
    assert await front.available("MUG") == 100
    await visitor.go("/shop/orders")
    assert "Cancelled" in visitor.text


async def test_another_customers_order_is_not_there(front: Front, visitor: Visitor):
    order = await front.placed("bob")
    await visitor.log_in("ada")
    assert (await visitor.go(f"/shop/orders/{order['id']}")).status_code == 404


@pytest.mark.parametrize(
    "cookie",
    [
        "x",
        "====",
        base64.urlsafe_b64encode(b"not zlib").decode().rstrip("="),
        base64.urlsafe_b64encode(zlib.compress(b"[" * 50_000)).decode().rstrip("="),
        base64.urlsafe_b64encode(zlib.compress(b" " * 3_000_000)).decode().rstrip("="),
        base64.urlsafe_b64encode(zlib.compress(b'[["MUG",-5,1,"GBP"]]')).decode().rstrip("="),
        base64.urlsafe_b64encode(zlib.compress(b'[["MUG",1e99,1,"GBP"]]')).decode().rstrip("="),
        base64.urlsafe_b64encode(zlib.compress(b'[["MUG",1,1,"<b>"]]')).decode().rstrip("="),
    ],
)
async def test_a_cart_that_somebody_made_up_is_an_empty_one(visitor: Visitor, cookie: str):
    visitor.http.cookies.set("cart", cookie)
    assert (await visitor.go("/shop/cart")).status_code == 200
    assert "Your cart is empty" in visitor.text


async def test_a_made_up_price_in_the_cart_is_worth_nothing(front: Front, visitor: Visitor):
    cart = zlib.compress(b'[["MUG",1,1,"GBP"]]')
    visitor.http.cookies.set("cart", base64.urlsafe_b64encode(cart).decode().rstrip("="))
    await visitor.go("/shop/checkout")
    assert "£9.99" in visitor.text


@pytest.mark.parametrize(
    "typed", ["", "0", "-1", "1.5", "many", "99999999999", "\N{FULLWIDTH DIGIT ONE}"]
)
async def test_a_quantity_that_is_none_is_told_beside_the_field(visitor: Visitor, typed: str):
    await visitor.go("/shop/products/MUG")
    await visitor.send("/shop/cart/add", quantity=typed)
    if typed == "":
        assert visitor.fields("/shop/cart")["quantity:MUG"] == "1"
        return
    assert visitor.page.status_code == 422
    assert "Type a whole number" in visitor.text
    assert visitor.fields("/shop/cart/add")["quantity"] == typed


async def test_what_is_missing_in_the_address_is_said_and_the_rest_kept(visitor: Visitor):
    await put_in_cart(visitor, "MUG")
    await visitor.go("/shop/checkout")
    await visitor.send("/shop/checkout", email="nonsense", name="Ada", line1="1 Main St")
    assert visitor.page.status_code == 422
    assert visitor.fields("/shop/checkout")["name"] == "Ada"
    assert visitor.page.text.count("Please fill this in") >= 2
    await visitor.send("/shop/checkout", city="Leeds", country="QQ")
    assert visitor.page.status_code == 422
    await visitor.send("/shop/checkout", country="GB", email="ada@example.com")
    assert "Please look at your order" in visitor.text


async def test_texts_of_customers_and_staff_stay_texts(front: Front, visitor: Visitor):
    evil = '<script>alert("x")</script>'
    await front.shop.catalog.create(
        BY_SYSTEM,
        ProductInput(
            sku="EVIL'\"<b>",
            name=evil,
            description=evil,
            price=pounds(100),
            category=evil,
            tags=(evil,),
            attributes={evil: evil},
            track_stock=False,
        ),
    )
    for page in ("/shop", "/shop/products", f"/shop/products?q={evil}&category={evil}&min={evil}"):
        await visitor.go(page)
        assert "<script>alert" not in visitor.page.text, page
    await visitor.go("/shop/products/EVIL'%22%3Cb%3E")
    assert visitor.page.status_code == 200
    await visitor.send("/shop/cart/add")
    await check_out(visitor, email="guest@example.com", note=evil, name=evil)
    assert evil in visitor.text
    assert "<script>alert" not in visitor.page.text


async def test_stock_is_told_as_customers_need_it(front: Front, visitor: Visitor):
    await visitor.go("/shop/products")
    said = re.sub(r"\s+", " ", visitor.text)
    assert "The mug £9.99 In stock" in said
    assert "The lamp £24.99 10 left" in said
    adjust = AdjustRequest(product_id=front.seed.products["CHAIR"], quantity=-1, reason="damaged")  # type: ignore[arg-type]
    await front.shop.inventory.adjust(BY_SYSTEM, adjust)
    await visitor.go("/shop/products/CHAIR")
    assert "Back in stock soon" in visitor.text
    with pytest.raises(AssertionError, match="no form"):
        visitor.fields("/shop/cart/add")
