"""`/audit`: who changed what, for admins and for keys that may read it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from litestar import Controller, Request, get
from litestar.params import QueryParameter
from litestar.response import Stream

from storekeeper.domain import errors
from storekeeper.domain.audit import Action, AuditEntry, FieldChange
from storekeeper.domain.types import Struct
from storekeeper.http.answers import CSV, Answer, csv_stream
from storekeeper.http.openapi import BEARER, needs_login
from storekeeper.http.paging import Cursor, Limit, PageView, page_answer
from storekeeper.http.security import call_of
from storekeeper.services.audit import SCOPE, AuditLog, AuditQuery

ApiRequest = Request[Any, Any, Any]
By = Annotated[
    str | None,
    QueryParameter(
        max_length=100,
        description="Who made the change: an account's id, `by` of an entry, or `system` for commands and the shop.",
    ),
]
ActionFilter = Annotated[Action | None, QueryParameter(description="What was done.")]
SubjectFilter = Annotated[
    str | None,
    QueryParameter(
        max_length=200,
        description="What was changed: `product:ID`, `account:ID`, `api_key:ID`, `webhook:ID`, "
        "`location:ID`, `import:ID` or `settings:shop`.",
    ),
]


class AuditView(Struct, frozen=True, kw_only=True):
    """One change. `by` is a role and an account's id, or `system`; `api_key` the id of the key
    that was used, if any. `label` is how the subject was known then (a SKU), `reference` what the
    change was a part of (`import:ID`).

    `fields` that differ, as text; null where there was, or is, nothing. `left_out` counts those
    beyond the first 50.
    """

    id: str
    at: datetime
    by: str
    api_key: str | None
    action: Action
    subject: str
    label: str
    reference: str
    fields: tuple[FieldChange, ...]
    left_out: int


class AuditController(Controller):
    path = "/audit"
    tags = ["audit"]
    security = BEARER

    @get(
        "/",
        access=SCOPE,
        summary="List changes, newest first",
        responses=needs_login(errors.Invalid),
    )
    async def list_entries(
        self,
        request: ApiRequest,
        by: By = None,
        action: ActionFilter = None,
        subject: SubjectFilter = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Answer[PageView[AuditView]]:
        """Kept for three years. What moves stock is in `/stock/movements`, what becomes of an
        order in its `timeline`."""
        query = AuditQuery(by=by, action=action, subject=subject, limit=limit, cursor=cursor)
        page = await log_of(request).page(call_of(request, "", None, None), query)
        return page_answer(request, page, audit_view)

    @get(
        "/export",
        access=SCOPE,
        summary="Export changes as CSV",
        responses=needs_login(errors.Invalid),
        media_type=CSV,
    )
    async def export_entries(
        self,
        request: ApiRequest,
        by: By = None,
        action: ActionFilter = None,
        subject: SubjectFilter = None,
    ) -> Stream:
        """All pages of the list, a row for each field that changed."""
        query = AuditQuery(by=by, action=action, subject=subject)
        text = await log_of(request).export(call_of(request, "", None, None), query)
        return csv_stream(text, "audit")


def audit_view(entry: AuditEntry) -> AuditView:
    return AuditView(
        id=entry.id,
        at=entry.at,
        by=entry.by,
        api_key=entry.api_key or None,
        action=entry.action,
        subject=entry.subject,
        label=entry.label,
        reference=entry.reference,
        fields=entry.fields,
        left_out=entry.left_out,
    )


def log_of(request: ApiRequest) -> AuditLog:
    found: AuditLog = request.app.state.shop.audit_log
    return found
