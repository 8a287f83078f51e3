"""Reading the audit log: page by page, filtered, and as CSV."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

import msgspec

from storekeeper.domain.audit import Action, AuditEntry, said_by
from storekeeper.domain.types import Struct
from storekeeper.services.base import Call, Tools, require
from storekeeper.services.csv_format import rows_text
from storekeeper.store.port import Page

SCOPE = "audit:read"
EXPORT_PAGE = 500
COLUMNS = (
    "at",
    "by",
    "api_key",
    "action",
    "subject",
    "label",
    "reference",
    "field",
    "before",
    "after",
)


class AuditQuery(Struct, frozen=True, kw_only=True):
    """Which entries to list, newest first. `by`: an account's id, a principal's name, or
    `system`; `subject` as in `AuditEntry`."""

    by: str | None = None
    action: Action | None = None
    subject: str | None = None
    limit: int = 50
    cursor: str | None = None


class AuditLog:
    """Entries are written by the services that make the changes (`Tools.audited`); here they are
    only read."""

    def __init__(self, tools: Tools) -> None:
        self._store = tools.store

    async def page(self, call: Call, query: AuditQuery) -> Page[AuditEntry]:
        """Raises `Forbidden`, `Invalid`."""
        require(call, SCOPE)
        # One thing was changed a few times, somebody changed many: the rarest first.
        by = None if query.by is None else said_by(query.by)
        given = {"subject": query.subject, "by": by, "action": query.action}
        wanted = {name: value for name, value in given.items() if value is not None}
        if not wanted:
            return await self._store.list_all(
                AuditEntry, limit=query.limit, cursor=query.cursor, newest_first=True
            )
        index, *others = wanted
        return await self._store.find(
            AuditEntry,
            index,
            wanted[index],
            limit=query.limit,
            cursor=query.cursor,
            newest_first=True,
            also={name: wanted[name] for name in others},
        )

    async def export(self, call: Call, query: AuditQuery) -> AsyncIterator[str]:
        """All pages as CSV text, a row for each field that changed; raises as `page` does, before
        there is any."""
        first = await self.page(
            call, msgspec.structs.replace(query, limit=EXPORT_PAGE, cursor=None)
        )
        return self._pieces(call, query, first)

    async def _pieces(
        self, call: Call, query: AuditQuery, page: Page[AuditEntry]
    ) -> AsyncIterator[str]:
        yield rows_text([COLUMNS])
        while True:
            yield rows_text(row for entry in page.items for row in _rows(entry))
            if page.next is None:
                return
            page = await self.page(
                call, msgspec.structs.replace(query, limit=EXPORT_PAGE, cursor=page.next)
            )


def _rows(entry: AuditEntry) -> Iterator[Sequence[str]]:
    start = (
        entry.at.isoformat(),
        entry.by,
        entry.api_key,
        entry.action,
        entry.subject,
        entry.label,
        entry.reference,
    )
    for change in entry.fields:
        yield (*start, change.field, change.before or "", change.after or "")
    if not entry.fields:
        yield (*start, "", "", "")
