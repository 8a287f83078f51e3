"""An order's page: what it is, what happened to it, and the forms of what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from storekeeper.domain.accounts import Account
from storekeeper.domain.fulfilment import RETURNABLE, SHIPPABLE, unshipped_at
from storekeeper.domain.notes import OrderNote
from storekeeper.domain.orders import Order, OrderLine
from storekeeper.http.answers import Answer
from storekeeper.services.invoices import Invoices
from storekeeper.services.order_notes import OrderNotes, may_remove
from storekeeper.web.admin.frame import admin_page
from storekeeper.web.admin.places import locations_of
from storekeeper.web.forms import FormErrors
from storekeeper.web.visit import Visit

# Of an order with more, the forms are about the lines that are shown.
LINES_ON_A_PAGE = 100
# Shipments, returns and steps of the timeline; the newest of them.
MOST_SHOWN = 50


async def order_page(
    visit: Visit,
    order: Order,
    *,
    opened: str = "",
    errors: FormErrors | None = None,
    status: int = 200,
) -> Answer[bytes]:
    """`opened` is the form that was sent and refused; it shows what was typed and what is wrong."""
    notes = await _notes(visit, order)
    people = await _people(visit, order, notes)
    places = await locations_of(visit)
    number = _page_number(visit, len(order.lines))
    start = number * LINES_ON_A_PAGE
    lines = order.lines[start : start + LINES_ON_A_PAGE]
    may_write = visit.principal.may("orders:write")
    invoices: Invoices = visit.pages.shop.invoices
    return admin_page(
        visit,
        "admin/order.html",
        status=status,
        order=order,
        lines=lines,
        most=MOST_SHOWN,
        line_page=number,
        line_pages=-(-len(order.lines) // LINES_ON_A_PAGE),
        allocated={line.id: _allocated(line) for line in lines},
        skus={line.id: line for line in order.lines},
        customer=people.get(order.customer_id or ""),
        people=people,
        actor=actor,
        places=places,
        has_invoice=await invoices.is_there(order),
        names={place.id: place.name for place in places},
        notes=notes,
        may_remove=may_remove,
        can_write=may_write,
        opened=opened,
        errors=errors or FormErrors(visit),
        typed=visit.form if opened else {},
        can_confirm=may_write and order.state == "pending",
        can_cancel=may_write and order.state in ("pending", "confirmed", "partially_shipped"),
        can_ship=may_write and order.state in SHIPPABLE,
        can_deliver=may_write and any(one.delivered_at is None for one in order.shipments),
        can_return=may_write
        and order.state in RETURNABLE
        and any(line.returnable for line in order.lines),
    )


def actor(people: Mapping[str, Account], by: str) -> str:
    """Who did something, by name where the account is still there."""
    role, _, id = by.partition(":")
    account = people.get(id)
    return account.name if account is not None and account.name else role


async def _notes(visit: Visit, order: Order) -> tuple[OrderNote, ...]:
    notes: OrderNotes = visit.pages.shop.order_notes
    return await notes.of(visit.call("", None), order.id)


async def _people(visit: Visit, order: Order, notes: Sequence[OrderNote]) -> dict[str, Account]:
    """The customer and everybody whom timeline and notes name, with one question."""
    said = [step.by for step in order.timeline[-MOST_SHOWN:]] + [note.by for note in notes]
    ids = {by.partition(":")[2] for by in said} | {order.customer_id or ""}
    wanted = sorted(ids - {""})
    if not wanted:
        return {}
    found: dict[str, Account] = await visit.pages.shop.store.get_many(Account, wanted)
    return found


def _allocated(line: OrderLine) -> Sequence[tuple[str, int]]:
    """Where the units that haven't left are kept."""
    return [(str(place), count) for place, count in unshipped_at(line).items()]


def _page_number(visit: Visit, lines: int) -> int:
    text: Any = visit.query.get("lines") or visit.form.get("lines", "")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    return min(number, max(0, (lines - 1) // LINES_ON_A_PAGE))
