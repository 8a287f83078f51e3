"""What replaying an entry takes of which something was erased.

Such an entry doesn't name the addresses that accounts claimed and gave up. A replica that followed
the log before may hold claims on them still, so each account that is put without an address loses
the one that it holds there. That way it doesn't matter which entries were read before they were
erased, and which after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from storekeeper.domain.accounts import EMAIL, Account
from storekeeper.domain.changes import ChangeSet, Release
from storekeeper.store.sqlite import kinds
from storekeeper.store.sqlite.transfer import Rows


def put_without_address(changes: Sequence[ChangeSet]) -> list[str]:
    """The accounts that some change set leaves without an address, by their ids."""
    return [id for change in changes for id in _without_address(change)]


def releasing(changes: Sequence[ChangeSet], held: Mapping[str, str]) -> tuple[ChangeSet, ...]:
    """The change sets of an erased entry, with the releases that they don't name any more. `held`:
    the addresses that accounts hold before it, by account."""
    left = dict(held)
    found: list[ChangeSet] = []
    for change in changes:
        values = [value for id in _without_address(change) if (value := left.pop(id, None))]
        if values:
            releases = tuple(Release(EMAIL, value) for value in values)
            change = msgspec.structs.replace(change, releases=change.releases + releases)
        found.append(change)
    return tuple(found)


def copied_without_address(copied: Rows) -> list[str]:
    """The accounts among rows of a copy that have no address. Claims of theirs may have been read
    with other rows, before these were erased."""
    if copied.table != "record":
        return []
    kind, doc = (copied.columns.index(name) for name in ("kind", "doc"))
    accounts = [
        kinds.decode(Account, str(row[doc])) for row in copied.rows if row[kind] == Account.__name__
    ]
    return [account.id for account in accounts if not account.email]


def _without_address(change: ChangeSet) -> list[str]:
    return [record.id for (record,) in change.puts if type(record) is Account and not record.email]
