"""Logging in and out, and refreshing: a session is one log-in on one device."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from storekeeper.domain import events
from storekeeper.domain.accounts import Account, Principal, Session
from storekeeper.domain.changes import ChangeSet, Check, Delete, Put
from storekeeper.domain.errors import NotFound, Unauthenticated
from storekeeper.domain.types import AccountId, Struct
from storekeeper.identity.passwords import Passwords
from storekeeper.identity.tokens import (
    AccessTokens,
    RefreshSecrets,
    hashed,
    is_hash_of,
    joined,
    split,
)
from storekeeper.services.account_records import (
    account_by_email,
    account_event,
    active_account,
    changed,
    ending_sessions,
    own_account,
    records_of,
)
from storekeeper.services.base import BY_SYSTEM, Call, Tools, require, with_fresh_reads
from storekeeper.services.credentials import Credentials

# The oldest session makes room for a new one past these.
MOST_SESSIONS = 50
CLIENT_LENGTH = 200
# For as long as another provider may make new tokens for a log-in, we remember that it is over.
LONGEST_OUTSIDE = timedelta(days=3_650)
# Within which a browser's requests count as one: pages that are opened together, a double click,
# another try because the first answer never came.
SAME_MOMENT = timedelta(seconds=60)
_ENDED = "the session has ended; log in again"


class Tokens(Struct, frozen=True, kw_only=True):
    """What a client gets for logging in or refreshing. `expires_in`: seconds."""

    access_token: str
    refresh_token: str
    expires_in: int
    account_id: AccountId
    session_id: str


class Sessions:
    """`lifetime` is how long a session lasts without being refreshed."""

    def __init__(
        self,
        tools: Tools,
        passwords: Passwords,
        credentials: Credentials,
        access_tokens: AccessTokens,
        refresh_secrets: RefreshSecrets,
        *,
        lifetime: timedelta,
    ) -> None:
        self._tools = tools
        self._store = tools.store
        self._passwords = passwords
        self._credentials = credentials
        self._access_tokens = access_tokens
        self._refresh_secrets = refresh_secrets
        self._lifetime = lifetime

    async def log_in(
        self, email: str, password: str, *, client_address: str, client: str = ""
    ) -> Tokens:
        """Begins a session. `client` is what the device calls itself.

        Raises `Unauthenticated`, the same for an unknown address as for a wrong password,
        `TooManyRequests` after failures, `Overloaded`.
        """
        refused = Unauthenticated("the e-mail address or the password is wrong")
        account = await account_by_email(self._store, email)
        if not await self._credentials.prove(account, email, password, client_address):
            raise refused
        if account is None:
            raise refused
        proven = account.password_hash
        renewed = (
            await self._passwords.rehash(password) if self._passwords.needs_rehash(proven) else ""
        )

        async def attempt() -> Tokens:
            current = await self._store.get(Account, account.id)
            if current is None or current.status != "active" or current.password_hash != proven:
                raise refused
            return await self._begin(current, renewed, client)

        return await with_fresh_reads(attempt)

    async def refresh(self, refresh_token: str) -> Tokens:
        """New tokens for a refresh token, which is good only once.

        One that was used before has been copied: whoever shows it, the session ends and
        `account.session_reused` tells of it. A text that was never given out ends nothing, as a
        session's id is no secret. Raises `Unauthenticated`.
        """
        id, secret = split(refresh_token)
        return await with_fresh_reads(lambda: self._refresh(id, secret))

    async def resume(self, refresh_token: str) -> Tokens:
        """As `refresh`, for a browser that may send one cookie several times at once.

        The token before the newest is taken for a moment more and gives the newest one again: of a
        page that was left before it came, the browser has kept nothing. Raises `Unauthenticated`.
        """
        id, secret = split(refresh_token)
        return await with_fresh_reads(lambda: self._refresh(id, secret, SAME_MOMENT))

    async def log_out(self, principal: Principal, *, everywhere: bool = False) -> None:
        """Ends the session that asks, or all of the account's; again changes nothing."""
        if everywhere:
            await with_fresh_reads(lambda: self._log_out_everywhere(principal))
        elif principal.session_id is not None:
            session_id = principal.session_id
            await with_fresh_reads(lambda: self._end(session_id))

    async def list(self, principal: Principal) -> list[Session]:
        """The caller's sessions that still last, oldest first."""
        account = await own_account(self._store, principal)
        now = self._tools.clock()
        sessions: list[Session] = await records_of(self._store, Session, account.id)
        return [
            s for s in sessions if s.expires_at > now and s.epoch == account.epoch and not s.is_over
        ]

    async def end(self, principal: Principal, session_id: str) -> None:
        """Ends one of the caller's sessions; raises `NotFound` for any other."""
        session = await self._store.get(Session, session_id)
        if session is None or session.account_id != principal.account_id or session.is_over:
            raise NotFound(f"there is no session {session_id}")
        await with_fresh_reads(lambda: self._end(session_id))

    async def _begin(self, account: Account, renewed_hash: str, client: str) -> Tokens:
        now = self._tools.clock()
        id = self._tools.new_id()
        secret = self._refresh_secrets.new(id)
        session = Session(
            id=id,
            version=1,
            account_id=account.id,
            token_hash=hashed(secret),
            epoch=account.epoch,
            created_at=now,
            used_at=now,
            expires_at=now + self._lifetime,
            client=_printable(client),
        )
        change = ChangeSet(puts=(Put(session),))
        if renewed_hash:
            change += ChangeSet(puts=(Put(changed(account, now, password_hash=renewed_hash)),))
        else:
            # Of a password that was changed, or an account deleted, in between no session begins.
            change += ChangeSet(checks=(Check("Account", account.id, account.version),))
        others = await records_of(self._store, Session, account.id)
        surplus = others[: max(0, len(others) + 1 - MOST_SESSIONS)]
        change += ChangeSet(deletes=tuple(Delete("Session", s.id, s.version) for s in surplus))
        await self._store.commit(change)
        return self._tokens(account, session, secret, now)

    async def _refresh(self, id: str, secret: str, same_moment: timedelta = timedelta(0)) -> Tokens:
        now = self._tools.clock()
        session = await self._store.get(Session, id) if id else None
        if session is None or session.expires_at <= now:
            raise Unauthenticated(_ENDED)
        account = await self._store.get(Account, session.account_id)
        if account is None or account.status != "active" or account.epoch != session.epoch:
            raise Unauthenticated(_ENDED)
        if not is_hash_of(session.token_hash, secret):
            if now - session.used_at < same_moment and is_hash_of(session.previous_hash, secret):
                newest = self._refresh_secrets.after(id, secret)
                # Empty where the shop's own secret was exchanged in between.
                given = newest if is_hash_of(session.token_hash, newest) else ""
                return self._tokens(account, session, given, now)
            if not self._refresh_secrets.is_ours(id, secret):
                raise Unauthenticated("this refresh token isn't one of this shop's; log in again")
            await self._store.commit(
                ChangeSet(
                    deletes=(Delete("Session", session.id, session.version),),
                    events=(
                        account_event(
                            account,
                            events.SESSION_REUSED,
                            self._tools.step(BY_SYSTEM.principal),
                            session_id=session.id,
                        ),
                    ),
                )
            )
            raise Unauthenticated(
                "this refresh token was used before, so the session was ended; log in again"
            )
        secret = self._refresh_secrets.after(id, secret)
        renewed = msgspec.structs.replace(
            session,
            version=session.version + 1,
            token_hash=hashed(secret),
            previous_hash=session.token_hash,
            used_at=now,
            expires_at=now + self._lifetime,
        )
        await self._store.commit(ChangeSet(puts=(Put(renewed),)))
        return self._tokens(account, renewed, secret, now)

    async def _log_out_everywhere(self, principal: Principal) -> None:
        account = await own_account(self._store, principal)
        after = changed(account, self._tools.clock())
        await self._store.commit(await ending_sessions(self._store, account, after))

    async def end_all(self, call: Call, account_id: str) -> None:
        """Ends every session of somebody else's account; again changes nothing.

        Raises `Forbidden`, `NotFound`.
        """
        require(call, "users:write")

        async def attempt() -> None:
            account = await active_account(self._store, account_id)
            after = changed(account, self._tools.clock())
            entry = self._tools.audited(
                call.principal, "account.logged_out", f"account:{account.id}"
            )
            ending = await ending_sessions(self._store, account, after)
            await self._store.commit(ending + ChangeSet(puts=entry))

        await with_fresh_reads(attempt)

    async def _end(self, session_id: str) -> None:
        session = await self._store.get(Session, session_id)
        if session is None or session.is_over:
            return
        change = ChangeSet(deletes=(Delete("Session", session.id, session.version),))
        if session.provider:
            over = msgspec.structs.replace(
                session,
                version=session.version + 1,
                is_over=True,
                expires_at=self._tools.clock() + LONGEST_OUTSIDE,
            )
            change = ChangeSet(puts=(Put(over),))
        await self._store.commit(change)

    def _tokens(self, account: Account, session: Session, secret: str, now: datetime) -> Tokens:
        return Tokens(
            access_token=self._access_tokens.issue(account.id, session.id, now),
            refresh_token=joined(session.id, secret) if secret else "",
            expires_in=int(self._access_tokens.lifetime.total_seconds()),
            account_id=account.id,
            session_id=session.id,
        )


def _printable(client: str) -> str:
    return "".join(letter for letter in client if letter.isprintable())[:CLIENT_LENGTH]
