"""Registering, profiles and roles: who has an account and what it says."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from storekeeper.domain import events
from storekeeper.domain.accounts import EMAIL, Account, Email, Principal, Role, normal_email
from storekeeper.domain.changes import ChangeSet, Put, Release, Taken
from storekeeper.domain.errors import AlreadyExists, Conflict, Invalid
from storekeeper.domain.events import Event
from storekeeper.domain.types import AccountId, Struct
from storekeeper.identity.addresses import clean_email
from storekeeper.identity.passwords import Passwords
from storekeeper.services.account_records import (
    account_by_email,
    account_event,
    active_account,
    changed,
    check_version,
    email_claim,
    ending_admin,
    own_account,
)
from storekeeper.services.base import (
    Call,
    Tools,
    commit_once,
    made_before,
    require,
    with_fresh_reads,
)
from storekeeper.services.credentials import Credentials
from storekeeper.services.throttle import Throttle
from storekeeper.store.port import Page


class NewAccount(Struct, frozen=True, kw_only=True):
    """An account to make for somebody else; they set a password by link."""

    email: str
    name: str
    role: Role = "customer"


class Registered(Struct, frozen=True, kw_only=True):
    """An account, and whether an earlier try with the same key had made it."""

    account: Account
    is_replay: bool = False


class Accounts:
    """Every address belongs to one account at most; a claim on it sees to that."""

    def __init__(
        self, tools: Tools, passwords: Passwords, credentials: Credentials, throttle: Throttle
    ) -> None:
        self._tools = tools
        self._store = tools.store
        self._passwords = passwords
        self._credentials = credentials
        self._throttle = throttle

    async def register(
        self, call: Call, *, email: str, password: str, name: str, client_address: str
    ) -> Registered:
        """Makes a customer's account. `call`'s fingerprint must not be made from the password.

        Raises `AlreadyExists`, `WeakPassword`, `Invalid`, `KeyReused`, `TooManyRequests` for a
        client that tries addresses out.
        """
        if replayed := await self._made_before(call):
            return replayed
        email, name = clean_email(email), _clean_name(name)
        where = self._throttle.by_client("register", client_address)
        async with self._throttle.turn(where):
            await self._throttle.check(where)
            password_hash = await self._passwords.hash_new(password, about=(email, name))
            account, change = self._new(call.principal, email, name, "customer", password_hash)
            try:
                owner = await commit_once(self._store, call, account.id, change)
            except Taken:
                # The address may be held by an earlier try of this very call.
                if replayed := await self._made_before(call):
                    return replayed
                await self._throttle.failed(where)
                raise _address_taken() from None
        if owner != account.id:
            return Registered(account=await self._of(owner), is_replay=True)
        return Registered(account=account)

    async def create(
        self, call: Call, *, email: str, name: str, role: Role, password: str | None = None
    ) -> Account:
        """Makes an account of any role; without a password it is set by link later.

        Raises `Forbidden` unless the caller has users:write, `AlreadyExists`, `WeakPassword`.
        """
        require(call, "users:write")
        email, name = _plain_email(email), _clean_name(name)
        password_hash = ""
        if password is not None:
            password_hash = await self._passwords.hash_new(password, about=(email, name))
        account, change = self._new(call.principal, email, name, role, password_hash)
        change += self._audited_new(call, account)
        try:
            await self._store.commit(change)
        except Taken:
            raise _address_taken() from None
        return account

    async def create_many(self, call: Call, people: Sequence[NewAccount]) -> list[Account]:
        """Accounts without passwords, in the order of `people`, in one commit.

        Whoever has one already keeps it as it is, so that doing it again changes nothing.
        """
        require(call, "users:write")

        async def attempt() -> list[Account] | None:
            addresses = list({normal_email(person.email) for person in people})
            held = await self._store.claims(EMAIL, addresses)
            found = await self._store.get_many(Account, [claim.owner for claim in held.values()])
            accounts = {address: found[claim.owner] for address, claim in held.items()}
            parts: list[ChangeSet] = []
            for person in people:
                address = normal_email(person.email)
                if address not in accounts:
                    accounts[address], made = self._new(
                        call.principal, person.email, _clean_name(person.name), person.role, ""
                    )
                    parts.append(made)
                    if person.role != "customer":
                        parts.append(self._audited_new(call, accounts[address]))
            try:
                if parts:
                    await self._store.commit(_all_of(parts))
            except Taken:
                return None
            return [accounts[normal_email(person.email)] for person in people]

        for _ in range(8):
            made = await attempt()
            if made is not None:
                return made
        raise Conflict("others keep taking these addresses; try again shortly")

    async def own(self, principal: Principal) -> Account:
        return await own_account(self._store, principal)

    async def get(self, call: Call, account_id: str) -> Account:
        """Any account that wasn't deleted; raises `Forbidden`, `NotFound`."""
        require(call, "users:read")
        return await active_account(self._store, account_id)

    async def list(
        self,
        call: Call,
        *,
        email: str | None = None,
        role: Role | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Account]:
        """Accounts that weren't deleted, in the order of their ids."""
        require(call, "users:read")
        if email is not None:
            account = await account_by_email(self._store, email)
            fits = account is not None and role in (None, account.role)
            return Page(items=(account,) if account is not None and fits else ())
        index, value = ("role", f"active:{role}") if role else ("status", "active")
        return await self._store.find(Account, index, value, limit=limit, cursor=cursor)

    async def edit_own(
        self,
        call: Call,
        *,
        name: str | None = None,
        email: str | None = None,
        password: str | None = None,
        client_address: str,
        if_match: int | None = None,
    ) -> Account:
        """Changes name and address; another address needs the password.

        Raises `WrongPassword`, `AlreadyExists`, `PreconditionFailed`, `TooManyRequests`.
        """
        account = await own_account(self._store, call.principal)
        check_version(account, if_match)
        new_name = None if name is None else _clean_name(name)
        new_email = None if email is None else clean_email(email)
        where = self._throttle.by_client("register", client_address)
        if new_email is not None and new_email != account.email:
            if password is None:
                raise Invalid("changing the address needs the password", field="password")
            await self._throttle.check(where)
            await self._credentials.require(account, password, client_address, "password")
        try:
            return await with_fresh_reads(
                lambda: self._edit(call.principal, account, new_name, new_email, if_match)
            )
        except Taken:
            async with self._throttle.turn(where):
                await self._throttle.failed(where)
            raise _address_taken() from None

    async def set_role(
        self, call: Call, account_id: str, role: Role, if_match: int | None = None
    ) -> Account:
        """Gives an account another role, in force with its next request.

        Raises `Forbidden`, `NotFound`, `LastAdmin`, `PreconditionFailed`.
        """
        require(call, "users:write")

        async def attempt() -> Account:
            account = await active_account(self._store, account_id)
            check_version(account, if_match)
            if account.role == role:
                return account
            guard = await ending_admin(self._store, account)
            step = self._tools.step(call.principal)
            promoted = changed(account, step.now, role=role)
            told = account_event(
                account, events.ROLE_CHANGED, step, role=role, before=account.role, by=step.by
            )
            entry = self._tools.audited(
                call.principal,
                "account.role_changed",
                f"account:{account.id}",
                before={"role": account.role},
                after={"role": role},
            )
            change = ChangeSet(puts=(Put(promoted), *entry), events=(told,))
            await self._store.commit(guard + change)
            return promoted

        return await with_fresh_reads(attempt)

    async def _edit(
        self,
        principal: Principal,
        proven: Account,
        name: str | None,
        email: str | None,
        if_match: int | None,
    ) -> Account:
        account = await own_account(self._store, principal)
        check_version(account, if_match)
        fields = {}
        change = ChangeSet()
        if name is not None and name != account.name:
            fields["name"] = name
        if email is not None and email != account.email:
            if (account.email, account.password_hash) != (proven.email, proven.password_hash):
                raise Conflict("the account was changed meanwhile; read it again")
            fields["email"] = email
            if normal_email(email) != normal_email(account.email):
                change += ChangeSet(
                    releases=(Release(EMAIL, normal_email(account.email)),),
                    claims=(email_claim(email, account.id),),
                )
        if not fields:
            return account
        edited = changed(account, self._tools.clock(), **fields)
        await self._store.commit(change + ChangeSet(puts=(Put(edited),)))
        return edited

    def _new(
        self, by: Principal, email: str, name: str, role: Role, password_hash: str
    ) -> tuple[Account, ChangeSet]:
        step = self._tools.step(by)
        account = Account(
            id=AccountId(step.new_id()),
            version=1,
            email=email,
            name=name,
            role=role,
            created_at=step.now,
            updated_at=step.now,
            password_hash=password_hash,
        )
        told: tuple[Event, ...] = (
            account_event(account, events.ACCOUNT_REGISTERED, step, role=role),
        )
        return account, ChangeSet(
            puts=(Put(account),), claims=(email_claim(email, account.id),), events=told
        )

    def _audited_new(self, call: Call, account: Account) -> ChangeSet:
        entry = self._tools.audited(
            call.principal,
            "account.created",
            f"account:{account.id}",
            after={"role": account.role},
        )
        return ChangeSet(puts=entry)

    async def _made_before(self, call: Call) -> Registered | None:
        before = await made_before(self._store, call)
        return Registered(account=await self._of(before), is_replay=True) if before else None

    async def _of(self, account_id: str) -> Account:
        return await active_account(self._store, account_id)


def _all_of(parts: Sequence[ChangeSet]) -> ChangeSet:
    """One change set of many, without copying it for every part."""
    return ChangeSet(
        puts=tuple(put for part in parts for put in part.puts),
        claims=tuple(claim for part in parts for claim in part.claims),
        events=tuple(event for part in parts for event in part.events),
    )


def _address_taken() -> AlreadyExists:
    return AlreadyExists(
        "this address has an account; log in, or set a new password", field="email"
    )


def _plain_email(email: str) -> str:
    """An address that an operator typed: `boss@localhost` is fine inside a house."""
    try:
        return msgspec.convert(email.strip(), Email)
    except msgspec.ValidationError:
        raise Invalid("this isn't an e-mail address", field="email") from None


def _clean_name(name: str) -> str:
    cleaned = name.strip()
    if not cleaned:
        raise Invalid("a name has at least one letter", field="name")
    return cleaned
