"""Keys for integrations: named, cut down to scopes, shown once, revocable at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from storekeeper.domain.accounts import ROLE_SCOPES, ApiKey, Principal, Scope
from storekeeper.domain.changes import ChangeSet, Check, Delete, Put, Stale
from storekeeper.domain.errors import Conflict, Forbidden, Invalid, NotFound
from storekeeper.domain.types import Struct
from storekeeper.identity.tokens import api_key_text, hashed, new_secret
from storekeeper.services.account_records import own_account, records_of
from storekeeper.services.base import Call, Tools, commit_once, made_before, with_fresh_reads
from storekeeper.store.port import Page

MOST_KEYS = 100


class CreatedKey(Struct, frozen=True, kw_only=True):
    """A key; `text` is what the integration sends, None for a retry: it is shown only once."""

    api_key: ApiKey
    text: str | None
    is_replay: bool = False


class ApiKeys:
    """A key never does more than its owner's role allows at that moment."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store

    async def create(
        self,
        call: Call,
        *,
        name: str,
        scopes: Sequence[Scope],
        expires_at: datetime | None = None,
    ) -> CreatedKey:
        """Makes a key of the caller's. Raises `Forbidden` for scopes that the caller's role
        doesn't have, `Invalid`, `KeyReused`."""
        if before := await made_before(self._store, call):
            return await self._replayed(before)
        return await with_fresh_reads(lambda: self._create(call, name, tuple(scopes), expires_at))

    async def list(
        self, principal: Principal, *, limit: int = 50, cursor: str | None = None
    ) -> Page[ApiKey]:
        """The caller's keys, oldest first."""
        account = await own_account(self._store, principal)
        return await self._store.find(ApiKey, "account_id", account.id, limit=limit, cursor=cursor)

    async def revoke(self, call: Call, api_key_id: str) -> None:
        """Ends a key of the caller's, or with users:write anybody's; raises `NotFound`."""
        while True:
            key = await self._store.get(ApiKey, api_key_id)
            is_own = key is not None and key.account_id == call.principal.account_id
            if key is None or not (is_own or call.principal.may("users:write")):
                raise NotFound(f"there is no API key {api_key_id}")
            try:
                entry = self._tools.audited(
                    call.principal, "api_key.revoked", f"api_key:{key.id}", before=_told(key)
                )
                delete = Delete("ApiKey", key.id, key.version)
                await self._store.commit(ChangeSet(puts=entry, deletes=(delete,)))
            except Stale:
                continue  # revoked by somebody else: the next look finds nothing
            return

    async def _create(
        self, call: Call, name: str, scopes: tuple[Scope, ...], expires_at: datetime | None
    ) -> CreatedKey:
        now = self._tools.clock()
        account = await own_account(self._store, call.principal)
        allowed = ROLE_SCOPES[account.role]
        if not allowed:
            raise Forbidden("only staff and admins have API keys")
        if beyond := sorted(set(scopes) - allowed):
            raise Forbidden(
                f"your role doesn't have {', '.join(beyond)}", field="scopes", scopes=beyond
            )
        if not scopes:
            raise Invalid("a key without scopes can do nothing; name at least one", field="scopes")
        if not name.strip():
            raise Invalid("a name has at least one letter", field="name")
        if expires_at is not None and expires_at <= now:
            raise Invalid("a key expires in the future", field="expires_at")
        if len(await records_of(self._store, ApiKey, account.id)) >= MOST_KEYS:
            raise Conflict(f"you have {MOST_KEYS} keys already; revoke one first")
        secret = new_secret()
        key = ApiKey(
            id=self._tools.new_id(),
            version=1,
            account_id=account.id,
            name=name.strip(),
            key_hash=hashed(secret),
            scopes=tuple(dict.fromkeys(scopes)),
            created_at=now,
            expires_at=expires_at,
        )
        entry = self._tools.audited(
            call.principal, "api_key.created", f"api_key:{key.id}", after=_told(key)
        )
        change = ChangeSet(
            puts=(Put(key), *entry), checks=(Check("Account", account.id, account.version),)
        )
        owner = await commit_once(self._store, call, key.id, change)
        if owner != key.id:
            return await self._replayed(owner)
        return CreatedKey(api_key=key, text=api_key_text(key.id, secret))

    async def _replayed(self, api_key_id: str) -> CreatedKey:
        key = await self._store.get(ApiKey, api_key_id)
        if key is None:
            raise NotFound("the key that this Idempotency-Key made was revoked")
        return CreatedKey(api_key=key, text=None, is_replay=True)


def _told(key: ApiKey) -> dict[str, object]:
    """What the audit log says of a key; its name is its owner's own words and goes with them."""
    return {
        "owner": f"account:{key.account_id}",
        "scopes": key.scopes,
        "expires_at": key.expires_at,
    }
