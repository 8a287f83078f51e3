"""Notes of staff on an order's page: written and taken away."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Controller, Request, post
from litestar.params import PathParameter

from storekeeper.domain.errors import KeyReused, ShopError
from storekeeper.domain.types import OrderId
from storekeeper.http.answers import Answer
from storekeeper.http.order_notes import NewNote
from storekeeper.services.order_notes import OrderNotes
from storekeeper.web.admin.order_page import order_page
from storekeeper.web.admin.orders import ORDERS, changes_of
from storekeeper.web.forms import FormErrors, sentence
from storekeeper.web.pages import HTML
from storekeeper.web.refusals import told
from storekeeper.web.visit import Visit, visit_of

PageRequest = Request[Any, Any, Any]
IdPath = Annotated[str, PathParameter(max_length=64)]
TEXT = "note_text"


class OrderNotePages(Controller):
    path = f"{ORDERS}/{{order_id:str}}/notes"
    opt = {"is_page": True}
    include_in_schema = False

    @post("/", access="orders:write", status_code=200, media_type=HTML)
    async def add(self, request: PageRequest, order_id: IdPath) -> Answer[bytes]:
        visit = visit_of(request)
        errors = FormErrors(visit)
        errors.require(TEXT)
        text = visit.text(TEXT).replace("\r\n", "\n")
        new = None if errors else _read(errors, text)
        if new is not None:
            call = visit.call(f"orders.note:{order_id}", new, visit.text("key"))
            try:
                await _notes(visit).add(call, order_id, new.text)
            except KeyReused:
                errors.add(TEXT, visit.say("This form was sent before with something else in it."))
                visit.form.pop("key", None)
            except ShopError as error:
                if error.status >= 500 or error.status == 404:
                    raise
                errors.refuse(error, TEXT)
            else:
                visit.tell(visit.say("The note is kept."))
                return visit.go(f"{ORDERS}/{order_id}#notes")
        order = await changes_of(visit).order(visit.principal, OrderId(order_id))
        return await order_page(visit, order, opened="note", errors=errors, status=422)

    @post("/{note_id:str}/remove", access="orders:write", status_code=200, media_type=HTML)
    async def remove(
        self, request: PageRequest, order_id: IdPath, note_id: IdPath
    ) -> Answer[bytes]:
        visit = visit_of(request)
        try:
            await _notes(visit).remove(visit.call("", None), order_id, note_id)
        except ShopError as error:
            if error.status >= 500:
                raise
            visit.tell(sentence(told(error, visit.language)), kind="bad")
        else:
            visit.tell(visit.say("The note is removed."))
        return visit.go(f"{ORDERS}/{order_id}#notes")


def _read(errors: FormErrors, text: str) -> NewNote | None:
    """The text is the one field, under its name in the form."""
    found = errors.read(NewNote, {"text": text})
    if found is None:
        errors.add(TEXT, errors.get("text"))
    return found


def _notes(visit: Visit) -> OrderNotes:
    found: OrderNotes = visit.pages.shop.order_notes
    return found
