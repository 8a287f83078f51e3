"""Accounts of people whose credentials another provider keeps: made at first sight, kept in step.

An account of this shop's own never becomes somebody else's this way, whatever address a token
names.
"""

from __future__ import annotations

import msgspec

from storekeeper.domain import events
from storekeeper.domain.accounts import (
    EMAIL,
    Account,
    OutsideIdentity,
    Principal,
    Session,
    normal_email,
)
from storekeeper.domain.changes import ChangeSet, Check, Claim, Delete, Put, Release, Taken
from storekeeper.domain.errors import AlreadyExists, Forbidden, Invalid, Unauthenticated
from storekeeper.domain.ordering import Step
from storekeeper.domain.types import AccountId, ShortText
from storekeeper.identity.addresses import clean_email
from storekeeper.identity.outside import Outsider, OutsideTokens, let_in
from storekeeper.services.account_records import (
    account_event,
    changed,
    email_claim,
    ending_admin,
    own_account,
    records_of,
)
from storekeeper.services.base import BY_SYSTEM, Tools, with_fresh_reads
from storekeeper.services.sessions import MOST_SESSIONS

NAMELESS = "Customer"


class OutsideAccounts:
    """What tokens say of people becomes accounts, sessions and roles."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store

    async def meet(self, outsider: Outsider) -> None:
        """Keeps what a good token says: who they are, this log-in, and their role if their groups
        have changed since the newest token that was seen. What is known already changes nothing.

        Raises `Unauthenticated` where the account was closed or the log-in ended.
        """
        await with_fresh_reads(lambda: self._meet(outsider))

    async def tell_profile(
        self, principal: Principal, tokens: OutsideTokens, id_token: str
    ) -> Account:
        """Takes name and proven address from an ID token of whoever asks.

        Raises `Invalid` for a token that isn't good or is somebody else's, `Forbidden` for an
        account of this shop's own, `AlreadyExists` for an address that another account has.
        """
        try:
            profile = await tokens.read_profile(id_token, self._tools.clock())
        except Unauthenticated as error:
            raise Invalid(error.detail, field="id_token") from None

        async def attempt() -> Account:
            account = await own_account(self._store, principal)
            if not account.provider:
                raise Forbidden("an account of this shop's own is edited at /users/me")
            identity = await self._store.get(OutsideIdentity, profile.identity_id)
            if identity is None or identity.account_id != account.id:
                raise Invalid("this ID token is somebody else's", field="id_token")
            return await self._rename(account, _name(profile.name), _email(profile.email))

        try:
            return await with_fresh_reads(attempt)
        except Taken:
            raise AlreadyExists(
                "another account of this shop has this address; it stays with that one",
                field="id_token",
            ) from None

    async def _rename(self, account: Account, name: str, email: str) -> Account:
        fields = {}
        change = ChangeSet()
        if name and name != account.name:
            fields["name"] = name
        if email and email != account.email:
            fields["email"] = email
            change = _moving_claim(account, email)
        if not fields:
            return account
        after = changed(account, self._tools.clock(), **fields)
        await self._store.commit(change + ChangeSet(puts=(Put(after),)))
        return after

    async def _meet(self, outsider: Outsider) -> None:
        identity = await self._store.get(OutsideIdentity, outsider.identity_id)
        if identity is None:
            await self._make(outsider)
            return
        session = await self._store.get(Session, outsider.session_id)
        account = await self._store.get(Account, identity.account_id)
        account = let_in(outsider, identity, account, session)
        step = self._tools.step(BY_SYSTEM.principal)
        change, after = ChangeSet(), account
        if outsider.issued_at > identity.told_at:
            change, after = await self._follow(outsider, identity, account, step)
        if session is None:
            made, after = await self._admit(outsider, account, after, step)
            change += made
        elif outsider.issued_at > session.used_at:
            change += ChangeSet(puts=(Put(_seen_again(session, outsider)),))
        if after is account:
            # No log-in is let into an account that is closed or logged out in between.
            change += ChangeSet(checks=(Check("Account", account.id, account.version),))
        else:
            change += ChangeSet(puts=(Put(after),))
        await self._store.commit(change)

    async def _follow(
        self, outsider: Outsider, identity: OutsideIdentity, account: Account, step: Step
    ) -> tuple[ChangeSet, Account]:
        """What is new of the groups. A role that was given here stays until they change."""
        said = msgspec.structs.replace(
            identity,
            version=identity.version + 1,
            role=outsider.role,
            told_at=outsider.issued_at,
        )
        change = ChangeSet(puts=(Put(said),))
        if outsider.role == identity.role or outsider.role == account.role:
            return change, account
        # Whoever was taken out of the admins' group must not stay one because nobody is left.
        guard = await ending_admin(self._store, account, even_the_last=True)
        told = account_event(
            account,
            events.ROLE_CHANGED,
            step,
            role=outsider.role,
            before=account.role,
            by=step.by,
        )
        entry = self._tools.audited(
            BY_SYSTEM.principal,
            "account.role_changed",
            f"account:{account.id}",
            before={"role": account.role},
            after={"role": outsider.role},
        )
        change += guard + ChangeSet(puts=entry, events=(told,))
        return change, changed(account, step.now, role=outsider.role)

    async def _admit(
        self, outsider: Outsider, account: Account, after: Account, step: Step
    ) -> tuple[ChangeSet, Account]:
        """A session for a log-in. Past `MOST_SESSIONS` the oldest make room, and are over."""
        change = ChangeSet(puts=(Put(_session_of(outsider, account)),))
        others: list[Session] = await records_of(self._store, Session, account.id)
        by_age = sorted(others, key=lambda session: session.created_at)
        surplus = by_age[: max(0, len(others) + 1 - MOST_SESSIONS)]
        if not surplus:
            return change, after
        newest = max([s.created_at for s in surplus])
        floor = newest if account.not_before is None else max(newest, account.not_before)
        if after is account:
            after = changed(account, step.now)
        change += ChangeSet(deletes=tuple(Delete("Session", s.id, s.version) for s in surplus))
        return change, msgspec.structs.replace(after, not_before=floor)

    async def _make(self, outsider: Outsider) -> None:
        """An account for somebody new. An address that another one has stays with that one."""
        try:
            await self._store.commit(self._first(outsider, _email(outsider.email)))
        except Taken:
            await self._store.commit(self._first(outsider, ""))

    def _first(self, outsider: Outsider, email: str) -> ChangeSet:
        step = self._tools.step(BY_SYSTEM.principal)
        account = Account(
            id=AccountId(step.new_id()),
            version=1,
            email=email,
            name=_name(outsider.name) or NAMELESS,
            role=outsider.role,
            created_at=step.now,
            updated_at=step.now,
            provider=outsider.provider,
        )
        identity = OutsideIdentity(
            id=outsider.identity_id,
            version=1,
            account_id=account.id,
            role=outsider.role,
            told_at=outsider.issued_at,
        )
        claims: tuple[Claim, ...] = (email_claim(email, account.id),) if email else ()
        entry: tuple[Put, ...] = ()
        if account.role != "customer":
            entry = self._tools.audited(
                BY_SYSTEM.principal,
                "account.created",
                f"account:{account.id}",
                after={"role": account.role},
            )
        return ChangeSet(
            puts=(Put(account), Put(identity), Put(_session_of(outsider, account)), *entry),
            claims=claims,
            events=(account_event(account, events.ACCOUNT_REGISTERED, step, role=account.role),),
        )


def _session_of(outsider: Outsider, account: Account) -> Session:
    return Session(
        id=outsider.session_id,
        version=1,
        account_id=account.id,
        token_hash="",
        created_at=outsider.logged_in_at,
        used_at=outsider.issued_at,
        expires_at=outsider.expires_at,
        client=outsider.provider.title(),
        epoch=account.epoch,
        provider=outsider.provider,
    )


def _seen_again(session: Session, outsider: Outsider) -> Session:
    return msgspec.structs.replace(
        session,
        version=session.version + 1,
        used_at=outsider.issued_at,
        expires_at=max(session.expires_at, outsider.expires_at),
    )


def _moving_claim(account: Account, email: str) -> ChangeSet:
    before, after = normal_email(account.email), normal_email(email)
    if before == after:
        return ChangeSet()
    released = (Release(EMAIL, before),) if before else ()
    return ChangeSet(releases=released, claims=(email_claim(email, account.id),))


def _name(text: str) -> str:
    """The name as it can be kept; '' for one that can't."""
    cleaned = " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]
    try:
        return msgspec.convert(cleaned, ShortText)
    except msgspec.ValidationError:
        return ""


def _email(text: str) -> str:
    """The address as it is kept; '' for one that isn't any, since nobody here can mend it."""
    try:
        return clean_email(text)
    except Invalid:
        return ""
