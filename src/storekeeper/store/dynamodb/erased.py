"""What a replica does beside replaying an entry of which something was erased.

Such an entry doesn't name the addresses that accounts claimed and gave up. A replica that followed
the log before may hold claims on them still, so each that is put without an address loses the one
that it has here. That way it doesn't matter which entries were read before they were erased, and
which after.
"""

from __future__ import annotations

from collections.abc import Sequence

import apsw
import msgspec

from storekeeper.domain.accounts import EMAIL, Account, normal_email
from storekeeper.domain.changes import ChangeSet, Release
from storekeeper.store.sqlite import kinds
from storekeeper.store.sqlite.rows import lookup
from storekeeper.store.sqlite.transfer import Rows

_ACCOUNTS = """
SELECT json_group_array(json_array(r.id, r.doc ->> 'email'))
  FROM json_each(?) wanted
 CROSS JOIN record r ON r.kind = 'Account' AND r.id = wanted.value
"""
_OWNERS = """
SELECT json_group_array(json_array(c.owner, c.value))
  FROM json_each(?) wanted
 CROSS JOIN claim c ON c.scope = 'email' AND c.value = wanted.value
"""


def releasing(connection: apsw.Connection, changes: Sequence[ChangeSet]) -> tuple[ChangeSet, ...]:
    """The change sets of an erased entry, with the releases that they don't name any more."""
    held = _held(connection, {id for change in changes for id in _without_address(change)})
    found: list[ChangeSet] = []
    for change in changes:
        # An account's first change in the entry gives up what it held before it.
        values = [value for id in _without_address(change) if (value := held.pop(id, None))]
        if values:
            releases = tuple(Release(EMAIL, value) for value in values)
            change = msgspec.structs.replace(change, releases=change.releases + releases)
        found.append(change)
    return tuple(found)


def drop_claims(connection: apsw.Connection, copied: Rows) -> None:
    """Releases what accounts among erased rows of a copy hold: the rows with their claims may have
    been read before these were erased."""
    if copied.table != "record":
        return
    kind, doc = (copied.columns.index(name) for name in ("kind", "doc"))
    accounts = [
        kinds.decode(Account, str(row[doc])) for row in copied.rows if row[kind] == Account.__name__
    ]
    ids = [account.id for account in accounts if not account.email]
    connection.execute(
        "DELETE FROM claim WHERE scope = 'email' AND owner IN (SELECT value FROM json_each(?))",
        (msgspec.json.encode(ids).decode(),),
    )


def _without_address(change: ChangeSet) -> list[str]:
    return [record.id for (record,) in change.puts if type(record) is Account and not record.email]


def _held(connection: apsw.Connection, ids: set[str]) -> dict[str, str]:
    """The addresses, as they are claimed, that accounts hold in the replica now, by account."""
    if not ids:
        return {}
    kept = {id: normal_email(email) for id, email in lookup(connection, _ACCOUNTS, ids)}
    owners = lookup(connection, _OWNERS, set(kept.values()))
    return {owner: value for owner, value in owners if kept.get(owner) == value}
