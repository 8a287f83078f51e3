"""Passwords proven, changed and set anew by a link from the shop's mail."""

from __future__ import annotations

from datetime import timedelta

from storekeeper.domain import events
from storekeeper.domain.accounts import Account, Principal, ResetLink
from storekeeper.domain.changes import ChangeSet, Delete, Put
from storekeeper.domain.errors import Invalid, LinkUsed, NotFound, WrongPassword
from storekeeper.domain.types import AccountId
from storekeeper.identity.passwords import Passwords
from storekeeper.identity.tokens import ResetSecrets, hashed, new_secret
from storekeeper.services.account_records import (
    account_by_email,
    account_event,
    active_account,
    changed,
    ending_sessions,
    own_account,
)
from storekeeper.services.base import BY_SYSTEM, Call, Tools, require, with_fresh_reads
from storekeeper.services.throttle import Throttle

LINK_LASTS = timedelta(hours=1)
_NOBODY = AccountId("")


class Credentials:
    """Who knows an account's password, or reads its mail, may set a new one."""

    def __init__(
        self,
        tools: Tools,
        passwords: Passwords,
        throttle: Throttle,
        reset_secrets: ResetSecrets,
    ) -> None:
        self._tools = tools
        self._store = tools.store
        self._passwords = passwords
        self._throttle = throttle
        self._reset_secrets = reset_secrets

    async def prove(
        self, account: Account | None, email: str, password: str, client_address: str
    ) -> bool:
        """Whether the password is the account's. One check of a hash, whatever there is to check.

        Raises `TooManyRequests` after failures of this address or this client, `Overloaded`.
        """
        who = self._throttle.by_address("password", email)
        where = self._throttle.by_client("password", client_address)
        known = "" if account is None else account.password_hash
        async with self._throttle.turn(who, where):
            await self._throttle.check(who, where)
            if await self._passwords.matches(known, password):
                await self._throttle.succeeded(who, where)
                return True
            await self._throttle.failed(who, where)
            return False

    async def require(
        self, account: Account, password: str, client_address: str, field: str
    ) -> None:
        """Raises `WrongPassword` unless the account's owner is there. Failures count as at
        log-in, so that a stolen session can't be used to guess."""
        if not await self.prove(account, account.email, password, client_address):
            raise WrongPassword("the current password is wrong", field=field)

    async def change_password(
        self, principal: Principal, current: str, new: str, *, client_address: str
    ) -> None:
        """Sets a new password and ends the account's other sessions.

        Raises `WrongPassword`, `WeakPassword`, `TooManyRequests`.
        """
        account = await own_account(self._store, principal)
        await self.require(account, current, client_address, "current_password")
        proven = account.password_hash
        new_hash = await self._passwords.hash_new(
            new, field="new_password", about=(account.email, account.name)
        )

        async def attempt() -> None:
            account = await own_account(self._store, principal)
            if account.password_hash != proven:
                raise WrongPassword("the password was changed meanwhile", field="current_password")
            await self._store.commit(
                await self._setting(account, new_hash, keep=principal.session_id)
            )

        await with_fresh_reads(attempt)

    async def forgot_password(self, email: str, *, client_address: str) -> None:
        """Has a link sent to the address, if it is a customer's; says nothing about whether.

        An unknown address takes the same reads and writes: its link leads nowhere. Every request
        counts, so that nobody's mailbox is flooded. Raises `TooManyRequests`.
        """
        who = self._throttle.by_address("forgot", email)
        where = self._throttle.by_client("forgot", client_address)
        async with self._throttle.turn(who, where):
            await self._throttle.check(who, where)
            await self._throttle.failed(who, where)
            account = await account_by_email(self._store, email)
            if account is not None and account.provider:
                account = None  # a password here would be a way around the provider
            nonce = self._reset_secrets.new_nonce()
            step = self._tools.step(BY_SYSTEM.principal)
            link = ResetLink(
                id=hashed(self._reset_secrets.secret(nonce)),
                version=1,
                account_id=_NOBODY if account is None else account.id,
                expires_at=step.now + LINK_LASTS,
                seal=new_secret() if account is None else _seal(account),
            )
            told = (
                ()
                if account is None
                else (account_event(account, events.PASSWORD_RESET_REQUESTED, step, link=nonce),)
            )
            await self._store.commit(ChangeSet(puts=(Put(link),), events=told))

    def reset_secret(self, nonce: str) -> str:
        """The secret of the link that `account.password_reset_requested` names as `link`."""
        return self._reset_secrets.secret(nonce)

    async def reset_password(self, secret: str, new: str) -> None:
        """Sets a new password by a link, once, and ends all of the account's sessions.

        Raises `LinkUsed`; `WeakPassword` leaves the link good.
        """
        _, account = await self._linked(secret)
        new_hash = await self._passwords.hash_new(
            new, field="new_password", about=(account.email, account.name)
        )

        async def attempt() -> Account:
            link, account = await self._linked(secret)
            used = ChangeSet(deletes=(Delete("ResetLink", link.id, link.version),))
            await self._store.commit(used + await self._setting(account, new_hash))
            return account

        await self._forget_failures(await with_fresh_reads(attempt))

    async def set_password(self, call: Call, email: str, new: str) -> Account:
        """Sets a new password for somebody who is locked out, and ends all of their sessions.

        Raises `Forbidden` unless the caller has users:write, `NotFound`, `WeakPassword`, and
        `Invalid` for an account whose password another provider keeps.
        """
        require(call, "users:write")
        found = await account_by_email(self._store, email)
        if found is None:
            raise NotFound(f"there is no account with the address {email}")
        if found.provider:
            raise Invalid(
                f"{email} has no password here; set it where they log in ({found.provider})",
                field="email",
            )
        new_hash = await self._passwords.hash_new(new, about=(found.email, found.name))

        async def attempt() -> Account:
            account = await active_account(self._store, found.id)
            entry = self._tools.audited(
                call.principal, "account.password_set", f"account:{account.id}"
            )
            setting = await self._setting(account, new_hash)
            await self._store.commit(setting + ChangeSet(puts=entry))
            return account

        account = await with_fresh_reads(attempt)
        await self._forget_failures(account)
        return account

    async def _forget_failures(self, account: Account) -> None:
        for what in ("password", "forgot"):
            await self._throttle.succeeded(self._throttle.by_address(what, account.email))

    async def _linked(self, secret: str) -> tuple[ResetLink, Account]:
        link = await self._store.get(ResetLink, hashed(secret))
        account = await self._store.get(Account, link.account_id) if link is not None else None
        if (
            link is None
            or link.expires_at <= self._tools.clock()
            or account is None
            or account.status != "active"
            or link.seal != _seal(account)
        ):
            raise LinkUsed(
                "this link was used already or is too old; ask for a new one", field="token"
            )
        return link, account

    async def _setting(self, account: Account, new_hash: str, keep: str | None = None) -> ChangeSet:
        step = self._tools.step(BY_SYSTEM.principal)
        after = changed(account, step.now, password_hash=new_hash)
        told = account_event(account, events.PASSWORD_CHANGED, step)
        return await ending_sessions(self._store, account, after, keep) + ChangeSet(events=(told,))


def _seal(account: Account) -> str:
    return hashed(f"{account.email}\n{account.password_hash}")
