"""Accounts, roles, sessions and keys: who somebody is and what they may do."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from storekeeper.domain.types import AccountId, ShortText, Struct

# The scope of claims on addresses.
EMAIL = "email"
Role = Literal["customer", "staff", "admin"]
AccountStatus = Literal["active", "deleting", "deleted"]
# Who keeps an account's credentials; empty: this shop.
Provider = Literal["", "cognito"]
Scope = Literal[
    "products:read",
    "products:write",
    "stock:read",
    "stock:write",
    "orders:read",
    "orders:write",
    "users:read",
    "users:write",
    "webhooks:write",
    "reports:read",
    "audit:read",
    "settings:write",
]
SCOPES: tuple[Scope, ...] = Scope.__args__  # type: ignore[attr-defined]
ROLE_SCOPES: dict[Role, frozenset[str]] = {
    "customer": frozenset(),
    "staff": frozenset(
        {
            "products:read",
            "stock:read",
            "stock:write",
            "orders:read",
            "orders:write",
            "reports:read",
        }
    ),
    "admin": frozenset(SCOPES),
}
Email = Annotated[
    str,
    msgspec.Meta(
        min_length=3,
        max_length=254,
        pattern=r"^[^\s@\x00-\x1f\x7f]+@[^\s@\x00-\x1f\x7f]+$(?!\n)",
        examples=["ada@example.com"],
        extra={"form": "an e-mail address such as ada@example.com"},
    ),
]
Password = Annotated[str, msgspec.Meta(max_length=1_000)]


class Account(Struct, frozen=True, kw_only=True):
    """Somebody who can log in. A deleted account keeps its id (orders refer to it) and no more.

    `epoch` is in every session: raising it ends all of them at once, also one that began
    while they were being counted.
    `deleting`: nobody can log in any more, and its orders are being cleared of personal data.
    `password_hash` is empty for an account that has to set a password by link first.
    `provider` names who else keeps its credentials; such an account never has a password here, and
    a log-in there is good only if it is from after `not_before`.
    """

    id: AccountId
    version: int
    email: str
    name: str
    role: Role
    created_at: datetime
    updated_at: datetime
    password_hash: str = ""
    epoch: int = 1
    status: AccountStatus = "active"
    provider: Provider = ""
    not_before: datetime | None = None


class Session(Struct, frozen=True, kw_only=True):
    """A family of refresh tokens: one log-in on one device.

    Only the newest token (`token_hash`) is good; any older one seen again ends the family, but for
    the one before it (`previous_hash`), which a browser may send twice in the same moment. It lasts
    while `epoch` is the account's.
    One of another `provider` is a log-in there: it has no refresh token of ours and lasts as long as
    the newest token that was seen of it. That it `is_over` has to be kept, because more of its
    tokens may come.
    """

    id: str
    version: int
    account_id: AccountId
    token_hash: str
    created_at: datetime
    used_at: datetime
    expires_at: datetime
    client: str = ""
    previous_hash: str = ""
    epoch: int = 1
    provider: Provider = ""
    is_over: bool = False


class OutsideIdentity(Struct, frozen=True, kw_only=True):
    """Whose account somebody has whom another provider knows; `id` is a hash of their name there.

    It outlives the account, so that who was deleted here doesn't come back by the next token.
    `role` is what their groups said last, in the token of `told_at`.
    """

    id: str
    version: int
    account_id: AccountId
    role: Role
    told_at: datetime


class ApiKey(Struct, frozen=True, kw_only=True):
    """A key of an integration; only its hash is kept. `scopes` bound what it may do."""

    id: str
    version: int
    account_id: AccountId
    name: ShortText
    key_hash: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime | None = None


class ResetLink(Struct, frozen=True, kw_only=True):
    """A single-use link to set a new password; `id` is the hash of its secret.

    `seal` is a hash of the address and password that it was asked for: when either changes, the
    link is void.
    """

    id: str
    version: int
    account_id: AccountId
    expires_at: datetime
    seal: str = ""


class Attempts(Struct, frozen=True, kw_only=True):
    """Failed log-ins of one address or client; the next try is taken at `next_at`."""

    id: str
    version: int
    failures: int
    next_at: datetime
    expires_at: datetime


class Principal(Struct, frozen=True, kw_only=True):
    """Who makes a request: an account through a session, an API key, or nobody.

    `scopes` is what the role allows, cut down to the key's own. `order_id` is the one order that
    a guest's secret link opens.
    """

    account_id: AccountId | None
    role: Role | Literal["guest", "system"]
    scopes: frozenset[str] = frozenset()
    session_id: str | None = None
    api_key_id: str | None = None
    order_id: str | None = None

    @property
    def name(self) -> str:
        """How ledger, timelines and logs name this principal; holds no personal data."""
        return f"{self.role}:{self.account_id}" if self.account_id else self.role

    def may(self, scope: str) -> bool:
        return scope in self.scopes


GUEST = Principal(account_id=None, role="guest")
SYSTEM = Principal(account_id=None, role="system", scopes=frozenset(SCOPES))

FREE_ATTEMPTS = 5
# Many people may share one client address (an office, a mobile network).
FREE_CLIENT_ATTEMPTS = 20
LONGEST_DELAY_S = 900


def delay_after(failures: int, free: int = FREE_ATTEMPTS) -> int:
    """Seconds until the next try after so many failures in a row: none, then doubling."""
    if failures < free:
        return 0
    return int(min(LONGEST_DELAY_S, 2 ** min(failures - free, 20)))


def normal_email(email: str) -> str:
    """The form under which an address is unique."""
    return email.strip().casefold()
