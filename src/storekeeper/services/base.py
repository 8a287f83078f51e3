"""What every service shares: its tools, who calls, and retries that change nothing twice."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from storekeeper.domain import audit
from storekeeper.domain.accounts import SYSTEM, Principal
from storekeeper.domain.audit import Action
from storekeeper.domain.changes import ChangeSet, Claim, LevelMoved, Put, Stale, Taken
from storekeeper.domain.errors import Conflict, Forbidden, KeyReused
from storekeeper.domain.ordering import Step
from storekeeper.domain.types import Struct
from storekeeper.store.port import Store

T = TypeVar("T")
KEY = "key"
ATTEMPTS = 16


class Tools(Struct, frozen=True, kw_only=True):
    """What services need from outside. The clock answers UTC; ids are UUIDv7 text."""

    store: Store
    clock: Callable[[], datetime]
    new_id: Callable[[], str]

    def step(self, principal: Principal) -> Step:
        return Step(now=self.clock(), by=principal.name, new_id=self.new_id)

    def audited(
        self,
        principal: Principal,
        action: Action,
        subject: str,
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
        label: str = "",
        reference: str = "",
    ) -> tuple[Put, ...]:
        """The entry of the audit log that goes into the change set of what it tells of; none for
        a change that left everything as it was."""
        entry = audit.entry(
            self.new_id(),
            principal,
            action,
            subject,
            now=self.clock(),
            before=before,
            after=after,
            label=label,
            reference=reference,
        )
        if before is not None and after is not None and not entry.fields:
            return ()
        return (Put(entry),)


class Call(Struct, frozen=True, kw_only=True):
    """Who asks for a change. `key` is the caller's idempotency key, `fingerprint` the hash of
    what the key was sent with; both empty where a retry may do it again."""

    principal: Principal
    key: str = ""
    fingerprint: str = ""

    @property
    def key_name(self) -> str:
        """The key's name in the store: one caller's keys are no other's."""
        owner = self.principal.account_id or self.principal.role
        return hashlib.sha256(f"{owner}\n{self.key}".encode()).hexdigest()


BY_SYSTEM = Call(principal=SYSTEM)


def fingerprint(operation: str, data: Any) -> str:
    """A hash that is the same for the same request, whatever the order of its fields."""
    body = msgspec.json.encode([operation, data], order="deterministic")
    return hashlib.sha256(body).hexdigest()


def require(call: Call, scope: str) -> None:
    """Raises `Forbidden` unless the caller has the scope."""
    if not call.principal.may(scope):
        raise Forbidden(f"this needs the scope {scope}", scope=scope)


def require_of_key(call: Call, scope: str) -> None:
    """People act for themselves without any scope; a key does only what it was made for."""
    if call.principal.api_key_id is not None:
        require(call, scope)


def key_claims(call: Call, owner: str) -> tuple[Claim, ...]:
    """The claim that makes a retry find `owner`, what the first try made. () without a key."""
    if not call.key:
        return ()
    return (Claim(scope=KEY, value=call.key_name, owner=owner, note=call.fingerprint),)


async def made_before(store: Store, call: Call) -> str | None:
    """What an earlier try with this key made; raises `KeyReused` if it asked for something else."""
    if not call.key:
        return None
    claim = await store.claim(KEY, call.key_name)
    return None if claim is None else _owner(claim, call)


async def commit_once(store: Store, call: Call, owner: str, change: ChangeSet) -> str:
    """Commits the change under the call's key and answers `owner`; where another try with the
    key was faster, nothing is written and its owner is the answer."""
    claims = key_claims(call, owner)
    try:
        await store.commit(ChangeSet(claims=claims) + change if claims else change)
    except Taken as taken:
        if claims and (taken.claim.scope, taken.claim.value) == (KEY, call.key_name):
            return _owner(taken.claim, call)
        raise
    return owner


async def with_fresh_reads(attempt: Callable[[], Awaitable[T]]) -> T:
    """Runs a read-decide-commit again while somebody else changes what it read.

    Raises `Conflict` after many tries.
    """
    for _ in range(ATTEMPTS):
        try:
            return await attempt()
        except (Stale, LevelMoved):
            continue
    raise Conflict("others keep changing this; try again shortly")


def _owner(claim: Claim, call: Call) -> str:
    if claim.note != call.fingerprint:
        raise KeyReused(
            "this Idempotency-Key was sent before with another request; use a new key",
            field="Idempotency-Key",
        )
    return claim.owner
