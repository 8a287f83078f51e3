"""An entry of the log without the personal data of accounts whose deletion is done.

What goes is decided by `domain.erasure`; here it is taken out of an entry's bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from storekeeper.domain.accounts import EMAIL
from storekeeper.domain.changes import ChangeSet
from storekeeper.domain.erasure import RULES, Gone, owner_of, owners_of, redacted, redacted_record
from storekeeper.domain.errors import StoreUnavailable
from storekeeper.domain.orders import Order
from storekeeper.store.dynamodb import entries
from storekeeper.store.dynamodb.entries import Entry
from storekeeper.store.sqlite import kinds
from storekeeper.store.sqlite.reader import Reader
from storekeeper.store.sqlite.rows import scalar
from storekeeper.store.sqlite.transfer import Row, Rows

_DELETED = """
SELECT r.id
  FROM json_each(?) wanted
 CROSS JOIN record r ON r.kind = 'Account' AND r.id = wanted.value
 WHERE r.doc ->> 'status' = 'deleted'
"""
_RECORDS = """
SELECT r.kind, r.id, r.version
  FROM json_each(?) wanted
 CROSS JOIN record r ON r.kind = wanted.value ->> 0 AND r.id = wanted.value ->> 1
"""
_ORDERS = """
SELECT 'Order', o.id, o.version
  FROM json_each(?) wanted
 CROSS JOIN orders o ON o.id = wanted.value
"""


class Redacted(NamedTuple):
    """What takes an entry's place."""

    format: int
    data: bytes


def redact(reader: Reader, item: Any, data: bytes) -> Redacted | None:
    """What should stand instead of the entry of the log's `item`; None where it may stay.

    Raises `StoreUnavailable` where the replica, which says who is deleted and what stands, doesn't
    hold the entry yet: what it doesn't know isn't what stands no more.
    """
    seq, format = int(item["sk"]["N"]), int(item["format"]["N"])
    entry = entries.decode(seq, format, data, "")
    connection = reader.connection
    connection.execute("BEGIN")
    try:
        if scalar(connection, "SELECT seq FROM followed") < seq:
            raise StoreUnavailable(f"this node hasn't followed the log to entry {seq} yet")
        if isinstance(entry, Entry):
            new = _redact_changes(reader, entry.changes, data)
        else:
            new = None if entry.found is None else _redact_rows(reader, entry.found, data)
    finally:
        connection.execute("COMMIT")
    return None if new is None else Redacted(entries.ERASED_FORMATS.get(format, format), new)


def _redact_changes(reader: Reader, changes: Sequence[ChangeSet], data: bytes) -> bytes | None:
    records = [record for change in changes for (record,) in change.puts]
    owners = {owner for change in changes for owner in owners_of(change)}
    if not owners:
        return None
    gone = _gone(reader, owners, records)
    after = [redacted(change, gone) for change in changes]
    if all(new is old for new, old in zip(after, changes, strict=True)):
        return None
    return entries.with_changes(data, changes, after)


def _redact_rows(reader: Reader, found: Rows, data: bytes) -> bytes | None:
    if found.table == "claim":
        rows = _without_claims(reader, found)
    elif found.table in ("record", "orders"):
        rows = _with_bare_records(reader, found)
    else:
        return None
    return None if rows == list(found.rows) else entries.with_rows(data, rows)


def _without_claims(reader: Reader, found: Rows) -> list[Row]:
    scope, owner = (found.columns.index(name) for name in ("scope", "owner"))
    owners = {str(row[owner]) for row in found.rows if row[scope] == EMAIL}
    accounts = _gone(reader, owners, ()).accounts
    return [row for row in found.rows if row[scope] != EMAIL or row[owner] not in accounts]


def _with_bare_records(reader: Reader, found: Rows) -> list[Row]:
    """The rows, with other documents where something goes. What is beside a document, and what
    lies in `record_index`, holds nothing that a document loses."""
    doc = found.columns.index("doc")
    records = [_record_of(found, row) for row in found.rows]
    known = [record for record in records if record is not None]
    gone = _gone(reader, {owner for one in known if (owner := owner_of(one))}, known)
    rows = []
    for row, record in zip(found.rows, records, strict=True):
        if record is not None and (bare := redacted_record(record, gone)) is not record:
            row = (*row[:doc], kinds.encode(bare), *row[doc + 1 :])
        rows.append(row)
    return rows


def _record_of(found: Rows, row: Row) -> Any:
    """The record of a row, None of one that holds nothing personal."""
    named = dict(zip(found.columns, row, strict=True))
    kind = Order if found.table == "orders" else kinds.BY_NAME[str(named["kind"])]
    return None if RULES[kind] is None else kinds.decode(kind, str(named["doc"]))


def _gone(reader: Reader, owners: Iterable[str], records: Iterable[Any]) -> Gone:
    deleted = reader.rows(_DELETED, (_json(sorted(owners)),))
    accounts = {id for (id,) in deleted}
    theirs = [record for record in records if owner_of(record) in accounts]
    orders = [record.id for record in theirs if type(record) is Order]
    others = [(type(record).__name__, record.id) for record in theirs if type(record) is not Order]
    stands = reader.rows(_ORDERS, (_json(orders),)) + reader.rows(_RECORDS, (_json(others),))
    return Gone(accounts, {(kind, id): version for kind, id, version in stands})


def _json(values: Any) -> str:
    return msgspec.json.encode(values).decode()
