"""`/orders/{id}/notes`: what staff write down about an order, for each other alone."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from litestar import Controller, Request, delete, get, post
from litestar.params import JSONBody, PathParameter

from storekeeper.domain import errors
from storekeeper.domain.notes import NoteText, OrderNote
from storekeeper.domain.types import Struct
from storekeeper.http.answers import Answer
from storekeeper.http.openapi import BEARER, needs_login
from storekeeper.http.paging import PageView
from storekeeper.http.parameters import Key
from storekeeper.http.security import call_of
from storekeeper.services.order_notes import OrderNotes

ApiRequest = Request[Any, Any, Any]
OrderPath = Annotated[str, PathParameter(max_length=64, description="The order's `id`.")]
NotePath = Annotated[str, PathParameter(max_length=64, description="The note's `id`.")]


class NewNote(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to write down."""

    text: NoteText


class NoteView(Struct, frozen=True, kw_only=True):
    """One note. `by` is a role and an account's id."""

    id: str
    text: str
    at: datetime
    by: str


class OrderNotesController(Controller):
    path = "/orders/{order_id:str}/notes"
    tags = ["orders"]
    security = BEARER

    @get(
        "/",
        access="orders:read",
        summary="List staff's notes on an order",
        responses=needs_login(errors.NotFound),
    )
    async def list_notes(
        self, request: ApiRequest, order_id: OrderPath
    ) -> Answer[PageView[NoteView]]:
        """All of them, oldest first; there are at most 100. Customers never see them."""
        notes = await notes_of(request).of(call_of(request, "", None, None), order_id)
        return Answer(PageView(items=tuple(map(note_view, notes))))

    @post(
        "/",
        access="orders:write",
        summary="Write a note on an order",
        responses=needs_login(
            errors.NotFound, errors.Invalid, errors.KeyReused, errors.LimitReached, errors.Conflict
        ),
    )
    async def add(
        self,
        request: ApiRequest,
        order_id: OrderPath,
        data: JSONBody[NewNote],
        idempotency_key: Key = None,
    ) -> Answer[NoteView]:
        """It stays as it is until its author or an admin removes it, or its customer is deleted."""
        call = call_of(request, f"orders.note:{order_id}", data, idempotency_key)
        note, is_replay = await notes_of(request).add(call, order_id, data.text)
        headers = {"Idempotent-Replayed": "true"} if is_replay else None
        return Answer(note_view(note), status_code=201, headers=headers)

    @delete(
        "/{note_id:str}",
        access="orders:write",
        summary="Remove a note",
        responses=needs_login(errors.NotFound, errors.Conflict),
    )
    async def remove(self, request: ApiRequest, order_id: OrderPath, note_id: NotePath) -> None:
        """One's own; for admins any. Somebody else's is `forbidden`."""
        await notes_of(request).remove(call_of(request, "", None, None), order_id, note_id)


def note_view(note: OrderNote) -> NoteView:
    return NoteView(id=note.id, text=note.text, at=note.at, by=note.by)


def notes_of(request: ApiRequest) -> OrderNotes:
    found: OrderNotes = request.app.state.shop.order_notes
    return found
