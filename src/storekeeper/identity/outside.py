"""People whose credentials another provider keeps: what the shop learns of them, whom it lets in."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Protocol

from storekeeper.domain.accounts import Account, OutsideIdentity, Provider, Role, Session
from storekeeper.domain.errors import Unauthenticated
from storekeeper.domain.types import Struct


class Outsider(Struct, frozen=True, kw_only=True):
    """What a good access token says: who logged in, when, and what their groups make of them.

    `subject` is theirs for ever at the `issuer`; `login` is the same in all tokens of one log-in.
    `email` is empty unless the provider has proven it. `expires_at` is when the token stops being
    taken.
    """

    provider: Provider
    issuer: str
    subject: str
    login: str
    logged_in_at: datetime
    issued_at: datetime
    expires_at: datetime
    role: Role
    name: str
    email: str = ""

    @property
    def identity_id(self) -> str:
        """The id of their `OutsideIdentity`: tells nothing of them."""
        return identity_id(self.issuer, self.subject)

    @property
    def session_id(self) -> str:
        """The id of this log-in's `Session`."""
        return hashlib.sha256(f"{self.identity_id}\n{self.login}".encode()).hexdigest()[:32]


class OutsideProfile(Struct, frozen=True, kw_only=True):
    """What an identity token says of somebody. `email` is empty unless it is proven."""

    identity_id: str
    name: str
    email: str


class OutsideTokens(Protocol):
    """A provider's tokens."""

    issuer: str

    def claims(self, token: str) -> bool:
        """Whether a text says that it is one of them. Proves nothing."""

    async def read(self, token: str, now: datetime) -> Outsider:
        """Raises `Unauthenticated` for one that isn't good, `ProviderUnavailable` for one that
        can't be told now."""

    async def read_profile(self, token: str, now: datetime) -> OutsideProfile:
        """The same for an identity token."""

    async def close(self) -> None: ...


class Welcome(Protocol):
    """Where somebody who was never seen, or of whom there is news, gets their account."""

    async def meet(self, outsider: Outsider) -> None:
        """Keeps what the token says; raises `Unauthenticated` for who isn't let in."""


class Outside(Struct, frozen=True, kw_only=True):
    """A provider beside the shop's own accounts."""

    tokens: OutsideTokens
    welcome: Welcome


def identity_id(issuer: str, subject: str) -> str:
    return hashlib.sha256(f"{issuer}\n{subject}".encode()).hexdigest()


def let_in(
    outsider: Outsider,
    identity: OutsideIdentity,
    account: Account | None,
    session: Session | None,
) -> Account:
    """The account, unless it was closed or this log-in has ended: `Unauthenticated`.

    Of log-ins that were never seen it is told by when they were, to the second (OpenID's clock).
    """
    if account is None or account.status != "active" or account.id != identity.account_id:
        raise Unauthenticated("this account was closed; ask the shop")
    if account.not_before is not None and outsider.logged_in_at <= account.not_before:
        raise Unauthenticated("this log-in was ended; log in again")
    if session is not None and (session.is_over or session.epoch != account.epoch):
        raise Unauthenticated("this log-in was ended; log in again")
    return account
