"""The audit log: who changed what, and what it was before and after.

An entry is committed with the change that it tells of. It names accounts by their ids alone and
holds no secret, and of addresses only what the shop says of itself, so there is nothing to take out
of it when somebody leaves. What moves stock is told by the ledger and what becomes of an order by
its timeline; neither is said here again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from storekeeper.domain.accounts import Principal
from storekeeper.domain.types import Struct

Action = Literal[
    "product.created",
    "product.changed",
    "product.archived",
    "product.deleted",
    "products.imported",
    "stock.imported",
    "account.created",
    "account.role_changed",
    "account.password_set",
    "account.logged_out",
    "account.deleted",
    "api_key.created",
    "api_key.revoked",
    "webhook.created",
    "webhook.changed",
    "webhook.secret_rotated",
    "webhook.secrets_dropped",
    "webhook.deleted",
    "location.created",
    "location.changed",
    "settings.changed",
]
ACTIONS: tuple[Action, ...] = Action.__args__  # type: ignore[attr-defined]
# Three years, the time in which most claims end.
KEPT = timedelta(days=1_096)
# Characters of a value, and changed fields of one entry, that are kept.
LONGEST_VALUE = 500
MOST_FIELDS = 50
# Characters shown before the first that differs, where a text is too long to be shown whole.
LEAD = 50


class FieldChange(Struct, frozen=True, kw_only=True):
    """One field as text, before and after; None where there was, or is, nothing."""

    field: str
    before: str | None = None
    after: str | None = None


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One change that somebody made.

    `by` is a principal's name (`admin:ID`, `system` for commands and the shop itself), `api_key`
    the id of the key that was used, if any. `subject` is what was changed (`product:ID`), `label`
    how people knew it then (a SKU), `reference` what it was a part of (`import:ID`). `left_out`
    counts changed fields beyond `MOST_FIELDS`.
    """

    id: str
    version: int
    at: datetime
    by: str
    action: Action
    subject: str
    expires_at: datetime
    api_key: str = ""
    label: str = ""
    fields: tuple[FieldChange, ...] = ()
    reference: str = ""
    left_out: int = 0


def entry(
    id: str,
    principal: Principal,
    action: Action,
    subject: str,
    *,
    now: datetime,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    label: str = "",
    reference: str = "",
) -> AuditEntry:
    """What is kept of a change; without `before` it made something, without `after` it ended it."""
    fields = differences(before or {}, after or {})
    return AuditEntry(
        id=id,
        version=1,
        at=now,
        by=principal.name,
        action=action,
        subject=subject,
        expires_at=now + KEPT,
        api_key=principal.api_key_id or "",
        label=label,
        reference=reference,
        fields=fields[:MOST_FIELDS],
        left_out=max(0, len(fields) - MOST_FIELDS),
    )


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[FieldChange, ...]:
    """The fields that differ, in the order of `after`, then those that are gone. A mapping in a
    field counts member by member."""
    old, new = _texts(before), _texts(after)
    names = [*new, *(name for name in old if name not in new)]
    return tuple(
        _change(name, old.get(name), new.get(name))
        for name in names
        if old.get(name) != new.get(name)
    )


def said_by(by: str) -> str:
    """Under what an entry is found by who made it: the account's id, or the role without one."""
    role, _, account_id = by.partition(":")
    return account_id or role


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """What is None or empty is left out, so that it reads as nothing."""
    found: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{key}": text for key, text in _texts(value).items()}
        elif (text := _text(value)) is not None:
            found[name] = text
    return found


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return str(msgspec.to_builtins(value))
    if isinstance(value, tuple | list):
        value = ", ".join(map(str, value))
    return None if value is None else str(value) or None


def _change(field: str, before: str | None, after: str | None) -> FieldChange:
    """Of long texts the part from shortly before they differ."""
    pairs = enumerate(zip(before or "", after or "", strict=False))
    same = next(
        (n for n, (old, new) in pairs if old != new), min(len(before or ""), len(after or ""))
    )
    start = same - LEAD if same > LONGEST_VALUE - LEAD else 0
    return FieldChange(field=field, before=_cut(before, start), after=_cut(after, start))


def _cut(text: str | None, start: int) -> str | None:
    if text is None:
        return None
    if start:
        text = f"…{text[start:]}"
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"
