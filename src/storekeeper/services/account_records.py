"""What the account services share: reading accounts and ending what hangs on them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from storekeeper.domain.accounts import (
    EMAIL,
    Account,
    ApiKey,
    Principal,
    Session,
    normal_email,
)
from storekeeper.domain.changes import ChangeSet, Claim, Delete, Put
from storekeeper.domain.errors import (
    LastAdmin,
    NotFound,
    PreconditionFailed,
    Unauthenticated,
)
from storekeeper.domain.events import Event
from storekeeper.domain.ordering import Step
from storekeeper.domain.work import Setting
from storekeeper.store.port import Store

ADMINS = "admins"
_NOBODY = "nobody"
_PAGE = 200


def changed(account: Account, now: datetime, **fields: Any) -> Account:
    """The account's next version."""
    return msgspec.structs.replace(account, version=account.version + 1, updated_at=now, **fields)


def email_claim(email: str, account_id: str) -> Claim:
    return Claim(scope=EMAIL, value=normal_email(email), owner=account_id)


def account_event(account: Account, kind: str, step: Step, **more: Any) -> Event:
    """What the outside is told of an account; no name, no address, no secret."""
    return Event(
        id=step.new_id(),
        kind=kind,
        subject=f"account:{account.id}",
        at=step.now,
        data={"account_id": account.id, **more},
    )


async def account_by_email(store: Store, email: str) -> Account | None:
    """The active account with this address. Reads as much for one that there is not."""
    claim = await store.claim(EMAIL, normal_email(email))
    account = await store.get(Account, claim.owner if claim else _NOBODY)
    return account if account is not None and account.status == "active" else None


async def active_account(store: Store, account_id: str) -> Account:
    """Raises `NotFound` for an account that isn't there or was deleted."""
    account = await store.get(Account, account_id)
    if account is None or account.status != "active":
        raise NotFound(f"there is no user {account_id}")
    return account


async def own_account(store: Store, principal: Principal) -> Account:
    """The account that asks; raises `Unauthenticated` where there is none."""
    if principal.account_id is not None:
        account = await store.get(Account, principal.account_id)
        if account is not None and account.status == "active":
            return account
    raise Unauthenticated("log in first")


def check_version(account: Account, if_match: int | None) -> None:
    """Raises `PreconditionFailed` unless the account is as the caller saw it."""
    if if_match is not None and account.version != if_match:
        raise PreconditionFailed(
            f"the user is at version {account.version}; read it again", current=account.version
        )


async def records_of(
    store: Store, kind: type[Session] | type[ApiKey], account_id: str
) -> list[Any]:
    """All records of a kind that hang on an account, oldest first; their number is limited."""
    found: list[Any] = []
    cursor: str | None = None
    while True:
        page: Any = await store.find(kind, "account_id", account_id, limit=_PAGE, cursor=cursor)
        found.extend(page.items)
        cursor = page.next
        if cursor is None:
            return found


async def ending_sessions(
    store: Store, before: Account, after: Account, keep: str | None = None
) -> ChangeSet:
    """Puts `after` with a new epoch, which ends every session of the account but `keep`.

    A session that begins while they are being read has the old epoch, so it ends too.
    """
    epoch = before.epoch + 1
    sessions: list[Session] = await records_of(store, Session, before.id)
    not_before = before.not_before
    if before.provider:
        # Another clock than ours may have dated a log-in; none that was seen is let in again.
        not_before = max([after.updated_at, *(session.created_at for session in sessions)])
    puts: list[Put] = [Put(msgspec.structs.replace(after, epoch=epoch, not_before=not_before))]
    deletes: list[Delete] = []
    for session in sessions:
        if session.id == keep:
            version = session.version + 1
            puts.append(Put(msgspec.structs.replace(session, version=version, epoch=epoch)))
        else:
            deletes.append(Delete("Session", session.id, session.version))
    return ChangeSet(puts=tuple(puts), deletes=tuple(deletes))


async def ending_admin(store: Store, account: Account, *, even_the_last: bool = False) -> ChangeSet:
    """The guard of a change by which `account` ceases to be an admin.

    Every such change moves one record, so that of two at the same time the second one looks
    again. Raises `LastAdmin` where no other admin would be left, unless that may be.
    """
    if account.role != "admin":
        return ChangeSet()
    # Read before the admins: whoever changes them after that moves it.
    guard = await store.get(Setting, ADMINS)
    admins = await store.admins()
    if not even_the_last and not any(admin.id != account.id for admin in admins):
        raise LastAdmin("this is the last admin; make somebody else an admin first")
    version = 1 if guard is None else guard.version + 1
    return ChangeSet(puts=(Put(Setting(id=ADMINS, version=version, value=account.id)),))
