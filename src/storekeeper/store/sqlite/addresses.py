"""Claims on addresses by the accounts that hold them, for replicas of a log that lacks some."""

from __future__ import annotations

from collections.abc import Iterable

import apsw
import msgspec

from storekeeper.domain.accounts import normal_email
from storekeeper.store.sqlite.rows import lookup

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
_DROP = "DELETE FROM claim WHERE scope = 'email' AND owner IN (SELECT value FROM json_each(?))"


def held_addresses(connection: apsw.Connection, account_ids: Iterable[str]) -> dict[str, str]:
    """The addresses that accounts have, as they are claimed, by account; of those that hold one."""
    ids = list(account_ids)
    if not ids:
        return {}
    kept = {id: normal_email(email) for id, email in lookup(connection, _ACCOUNTS, ids)}
    owners = lookup(connection, _OWNERS, kept.values())
    return {owner: value for owner, value in owners if kept.get(owner) == value}


def drop_addresses(connection: apsw.Connection, account_ids: Iterable[str]) -> None:
    """Removes all claims of accounts on addresses. Looks at every claim on an address."""
    ids = list(account_ids)
    if ids:
        connection.execute(_DROP, (msgspec.json.encode(ids).decode(),))
