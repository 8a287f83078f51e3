"""An order's invoice as PDF, for whoever may see the order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import Controller, Request, get

from storekeeper.domain.invoices import Invoice, lines_of
from storekeeper.domain.orders import Order
from storekeeper.domain.types import OrderId, Struct
from storekeeper.http.answers import Answer
from storekeeper.http.security import PUBLIC
from storekeeper.services.invoices import Invoices
from storekeeper.services.order_changes import OrderChanges
from storekeeper.web.admin.documents import PDF, Column, Paper, address_lines, made, pdf_answer
from storekeeper.web.languages import Language
from storekeeper.web.shop.orders import ORDERS, IdPath, caller_of
from storekeeper.web.visit import visit_of

PageRequest = Request[Any, Any, Any]
# Papers that this process remembers: one with thousands of lines takes seconds to make.
MOST_KEPT = 32


class InvoicePages(Controller):
    path = ORDERS
    opt = {"is_page": True}
    include_in_schema = False

    @get("/{order_id:str}/invoice.pdf", access=PUBLIC, media_type=PDF)
    async def invoice(self, request: PageRequest, order_id: IdPath) -> Answer[bytes]:
        """Made when it is first asked for; with a guest's link by its secret, as the order."""
        visit = visit_of(request)
        shop = visit.pages.shop
        changes: OrderChanges = shop.order_changes
        invoices: Invoices = shop.invoices
        caller = caller_of(visit, order_id, visit.query.get("token", ""))
        order = await changes.order(caller, OrderId(order_id))
        invoice = await invoices.of(order)
        language, settings, kept = visit.language, visit.pages.now, visit.pages.papers
        key = (order.id, order.version, language.code, settings.version)
        body = kept.get(key)
        if body is None:
            seller = Seller(
                lines=[
                    *(_lines(settings.invoice_seller) or [settings.shop_name]),
                    *_lines(settings.contact_email),
                ],
                note=_lines(settings.invoice_note),
            )
            body = await made(lambda: invoice_paper(language, seller, order, invoice))
            kept[key] = body
            if len(kept) > MOST_KEPT:
                del kept[next(iter(kept))]
        name = f"{language.texts.gettext('Invoice')} {written(invoice.number)}"
        return pdf_answer(visit, body, name)


class Seller(Struct, frozen=True, kw_only=True):
    """Who sells, as it stands at the top of the paper, and what stands at its end."""

    lines: Sequence[str]
    note: Sequence[str] = ()


def invoice_paper(language: Language, seller: Seller, order: Order, invoice: Invoice) -> bytes:
    """The same bytes each time in one language, as long as the order still knows its buyer."""
    say, number, money = language.texts.gettext, language.number, language.money
    title = say("Invoice %(number)s") % {"number": written(invoice.number)}
    paper = Paper(language, title, invoice.issued_at)
    paper.heading(seller.lines[0], 14)
    if len(seller.lines) > 1:
        paper.text("\n".join(seller.lines[1:]))
    paper.gap(8)
    if order.shipping_address is not None:
        paper.text("\n".join(address_lines(language, order.shipping_address)), 11)
        paper.gap(8)
    paper.heading(title, 16)
    for label, value in (
        (say("Date of the invoice"), language.day(invoice.issued_at)),
        (say("Order"), order.number),
        (say("Placed"), language.day(order.placed_at)),
    ):
        paper.text(f"{label}: {value}")
    paper.gap()
    columns = (
        Column(head=say("SKU"), width=32),
        Column(head=say("Product"), width=78),
        Column(head=say("Quantity"), width=18, is_number=True),
        Column(head=say("Each"), width=26, is_number=True),
        Column(head=say("Together"), width=26, is_number=True),
    )
    rows = [
        (one.line.sku, one.line.name, number(one.quantity), money(one.line.unit_price),
         money(one.total))
        for one in lines_of(order, invoice)
    ]  # fmt: skip
    paper.table(columns, [*rows, ("", say("Total"), "", "", money(invoice.total))])
    if order.state == "cancelled":
        paper.gap()
        paper.text(say("The order was cancelled after this invoice was made."))
    if seller.note:
        paper.gap()
        paper.text("\n".join(seller.note))
    return paper.done()


def written(number: int) -> str:
    """An invoice's number as people write it: six digits, so that lists of them sort."""
    return f"{number:06d}"


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.replace("|", "\n").splitlines() if line.strip()]
