"""Whoever bought something gets one invoice for it, always the same; nobody else does."""

from __future__ import annotations

from typing import Any

from storekeeper.domain.invoices import issue
from storekeeper.domain.orders import Address
from storekeeper.domain.types import OrderId
from storekeeper.services.base import BY_SYSTEM
from storekeeper.web.languages import language
from storekeeper.web.shop.invoices import Seller, invoice_paper
from tests.api.shopfront import Front, front_at, in_one_task
from tests.support.builders import a_product, an_order
from tests.support.clock import START
from tests.support.pdf import texts_of
from tests.web.browser import Visitor, visitor_at

ADA = Address(name="Ada Löwe", line1="1 Main St", city="Łódź", postal_code="90-001", country="PL")


async def test_a_customer_and_a_guest_get_theirs_and_nobody_elses(front: Front, visitor: Visitor):
    mine = await front.placed("ada", ("MUG", 2), confirm=True)
    guests = await front.placed("", ("LAMP", 1), email="guest@example.com", confirm=True)
    token = front.shop.checkout.guest_token(guests["id"])
    await visitor.log_in("ada")
    await visitor.go(f"/shop/orders/{mine['id']}")
    link = f"/shop/orders/{mine['id']}/invoice.pdf"
    assert f'href="{link}"' in visitor.page.text
    first = await visitor.http.get(link)
    assert first.headers["content-type"] == "application/pdf"
    assert first.headers["content-disposition"] == 'inline; filename="Invoice-000001.pdf"'
    assert first.headers["cache-control"] == "no-store"
    assert {"Invoice 000001", "£9.99", "£19.98"} <= set(texts_of(first.content))
    assert (await visitor.http.get(link)).content == first.content
    address = f"/shop/orders/{guests['id']}/invoice.pdf"
    assert (await visitor.http.get(address)).status_code == 404
    async with visitor_at(front) as guest:
        assert (await guest.http.get(link)).status_code == 303
        assert (await guest.http.get(f"{address}?token={token}0")).status_code == 404
        found = await guest.http.get(f"{address}?token={token}")
        assert found.headers["content-disposition"] == 'inline; filename="Invoice-000002.pdf"'


async def test_what_is_not_sold_has_no_invoice_and_no_link_to_one(front: Front, visitor: Visitor):
    order = await front.placed("ada")
    await visitor.log_in("ada")
    await visitor.go(f"/shop/orders/{order['id']}")
    assert "invoice.pdf" not in visitor.page.text
    answer = await visitor.http.get(f"/shop/orders/{order['id']}/invoice.pdf")
    assert answer.status_code == 409
    assert answer.headers["content-type"].startswith("text/html")
    await front.shop.order_changes.confirm(BY_SYSTEM, OrderId(order["id"]))
    await visitor.go(f"/shop/orders/{order['id']}")
    assert "invoice.pdf" in visitor.page.text
    await front.shop.order_changes.cancel(BY_SYSTEM, OrderId(order["id"]))
    await visitor.go(f"/shop/orders/{order['id']}")
    assert "invoice.pdf" not in visitor.page.text


async def test_the_seller_stands_on_it_as_the_settings_say(tmp_path, seed):
    settings: dict[str, Any] = {
        "invoice_seller": "Tea Ltd|1 High St\nVAT GB123456789",
        "invoice_note": "Prices include 20% VAT.",
    }
    async with (
        in_one_task(front_at(tmp_path, seed, **settings)) as front,
        visitor_at(front, Cookie=f"access={front.seed.people['ada'].access_token}") as visitor,
    ):
        order = await front.placed("ada", confirm=True)
        answer = await visitor.http.get(f"/shop/orders/{order['id']}/invoice.pdf")
        said = texts_of(answer.content)
        assert {"Tea Ltd", "1 High St", "VAT GB123456789", "Prices include 20% VAT."} <= set(said)


def test_every_line_and_the_total_stand_on_it_and_any_name_can_be_printed():
    products = [
        a_product(f"SKU{number}", name=f"Größe {number} · Κύπρος · <b>%(x)s</b> (\\) 漢字")
        for number in range(120)
    ]
    order, _ = an_order(*((product, 2) for product in products), confirm=True, shipping_address=ADA)
    invoice, _ = issue(order, None, START)
    seller = Seller(lines=["Tea Ltd"])
    paper = invoice_paper(language("de"), seller, order, invoice)
    said = texts_of(paper)
    assert "Ada Löwe" in said
    assert "90-001 Łódź" in said
    assert "Polen" in said
    skus = [text for text in said if text.startswith("SKU") and text != "SKU"]
    assert skus == [product.sku for product in products]
    assert any(text.startswith("Größe 7 · Κύπρος") for text in said)
    assert language("de").money(order.total) in said
    assert invoice_paper(language("de"), seller, order, invoice) == paper
