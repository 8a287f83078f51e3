"""Who a request comes from, by its Authorization header; what is remembered is true or dropped."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from storekeeper.cache.reads import Reads
from storekeeper.domain.accounts import (
    ROLE_SCOPES,
    Account,
    ApiKey,
    OutsideIdentity,
    Principal,
    Role,
    Session,
)
from storekeeper.domain.errors import Unauthenticated
from storekeeper.domain.types import AccountId, Struct
from storekeeper.identity.outside import Outside, Outsider, let_in
from storekeeper.identity.tokens import API_KEY_PREFIX, AccessTokens, is_hash_of, split
from storekeeper.store.port import Store, Topic

TOPIC: Final[Topic] = "accounts"
# Longer than any token of this shop; no caller makes us keep, or look into, more than that.
LONGEST_HEADER: Final = 4_096
# Meeting somebody is done once; more often only while others change the same account.
MEETINGS: Final = 3


class _Known(NamedTuple):
    """A principal, until when it is good, and the two stamps that must stand still."""

    principal: Principal
    expires_at: datetime | None
    account_id: str
    account_stamp: int
    proof_id: str
    proof_stamp: int


class Proof(Struct, frozen=True, kw_only=True):
    """What the store says of a session: whose it is, as what, until when. No secret is in it."""

    account_id: AccountId
    role: Role
    session_id: str
    expires_at: datetime


def concerns_of(proof: Proof) -> Sequence[tuple[Topic, str]]:
    """What must stand still for a proof to be good."""
    return (TOPIC, proof.account_id), (TOPIC, proof.session_id)


class StoreAuthenticator:
    """Bearer tokens and API keys against the store; at most `size` answers are remembered.

    A token that says that it comes from the provider `outside` is held against that one's keys, any
    other against the shop's own: each takes its own algorithm and no other.

    An answer is built from the account as it is now, not from what a token says. Stamps are taken
    before the records are read: a log-out, a role change or a deletion that is committed by any
    process meanwhile or later moves one of them, and the next request looks again. `proofs` are
    those of other nodes, good by the same rule.
    """

    def __init__(
        self,
        store: Store,
        tokens: AccessTokens,
        *,
        clock: Callable[[], datetime],
        outside: Outside | None = None,
        proofs: Reads[Proof] | None = None,
        size: int = 10_000,
    ) -> None:
        self._stamp = store.stamp
        self._store = store
        self._tokens = tokens
        self._clock = clock
        self._outside = outside
        self._proofs = proofs
        self._size = size
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def remembered(self, authorization: str) -> Principal | None:
        """The principal of a header seen before, if nothing has changed since. No I/O."""
        # Nearly every client spells it so; the others are understood too.
        token = authorization[7:] if authorization[:7] == "Bearer " else ""
        if token not in self._known:
            token = _token_of(authorization)
        known = self._known.get(token)
        if known is None:
            return None
        if (
            self._stamp(TOPIC, known.account_id) == known.account_stamp
            and self._stamp(TOPIC, known.proof_id) == known.proof_stamp
            and (known.expires_at is None or self._clock() < known.expires_at)
        ):
            self._known.move_to_end(token)
            return known.principal
        del self._known[token]
        return None

    async def principal_of(self, authorization: str) -> Principal:
        """Raises `Unauthenticated` for a header that isn't good, or not any more,
        `ProviderUnavailable` where that can't be told now."""
        token = _token_of(authorization)
        if not token:
            raise Unauthenticated("send an access token or an API key as `Authorization: Bearer …`")
        if token.startswith(API_KEY_PREFIX):
            known = await self._by_api_key(token.removeprefix(API_KEY_PREFIX))
        elif self._outside is not None and self._outside.tokens.claims(token):
            known = await self._by_outside_token(self._outside, token)
        else:
            known = await self._by_access_token(token)
        self._known[token] = known
        while len(self._known) > self._size:
            self._known.popitem(last=False)
        return known.principal

    async def _by_access_token(self, token: str) -> _Known:
        now = self._clock()
        claims = self._tokens.read(token, now)
        account_stamp = self._stamp(TOPIC, claims.sub)
        session_stamp = self._stamp(TOPIC, claims.sid)

        async def ask() -> Proof:
            return await self._proof_of(claims.sub, claims.sid, now)

        if self._proofs is None:
            proof = await ask()
        else:
            proof = await self._proofs.read(f"{claims.sub}:{claims.sid}", ask)
        if proof.expires_at <= now:
            raise _ended()
        principal = Principal(
            account_id=proof.account_id,
            role=proof.role,
            scopes=ROLE_SCOPES[proof.role],
            session_id=proof.session_id,
        )
        return _Known(
            principal,
            min(claims.expires_at, proof.expires_at),
            proof.account_id,
            account_stamp,
            proof.session_id,
            session_stamp,
        )

    async def _proof_of(self, account_id: str, session_id: str, now: datetime) -> Proof:
        session = await self._store.get(Session, session_id)
        account = await self._store.get(Account, account_id)
        if (
            account is None
            or account.status != "active"
            or session is None
            or session.account_id != account.id
            or session.epoch != account.epoch
            or session.expires_at <= now
        ):
            raise _ended()
        return Proof(
            account_id=account.id,
            role=account.role,
            session_id=session.id,
            expires_at=session.expires_at,
        )

    async def _by_outside_token(self, outside: Outside, token: str) -> _Known:
        outsider = await outside.tokens.read(token, self._clock())
        for _ in range(MEETINGS):
            known = await self._met(outsider)
            if known is not None:
                return known
            await outside.welcome.meet(outsider)
        raise Unauthenticated("the account is being changed; send the request again")

    async def _met(self, outsider: Outsider) -> _Known | None:
        """None where the token has news: a person, a log-in, or later word of their groups."""
        identity = await self._store.get(OutsideIdentity, outsider.identity_id)
        if identity is None:
            return None
        account_stamp = self._stamp(TOPIC, identity.account_id)
        session_stamp = self._stamp(TOPIC, outsider.session_id)
        session = await self._store.get(Session, outsider.session_id)
        account = await self._store.get(Account, identity.account_id)
        account = let_in(outsider, identity, account, session)
        if session is None or identity.told_at < outsider.issued_at:
            return None
        principal = Principal(
            account_id=account.id,
            role=account.role,
            scopes=ROLE_SCOPES[account.role],
            session_id=session.id,
        )
        return _Known(
            principal,
            outsider.expires_at,
            account.id,
            account_stamp,
            session.id,
            session_stamp,
        )

    async def _by_api_key(self, text: str) -> _Known:
        id, secret = split(text)
        key_stamp = self._stamp(TOPIC, id)
        key = await self._store.get(ApiKey, id) if id else None
        if key is None or not is_hash_of(key.key_hash, secret):
            raise Unauthenticated("there is no such API key; it may have been revoked")
        if key.expires_at is not None and key.expires_at <= self._clock():
            raise Unauthenticated("the API key has expired; create another")
        account_stamp = self._stamp(TOPIC, key.account_id)
        account = await self._store.get(Account, key.account_id)
        if account is None or account.status != "active":
            raise Unauthenticated("the API key's owner is gone")
        principal = Principal(
            account_id=account.id,
            role=account.role,
            scopes=ROLE_SCOPES[account.role] & frozenset(key.scopes),
            api_key_id=key.id,
        )
        return _Known(principal, key.expires_at, account.id, account_stamp, key.id, key_stamp)


def _ended() -> Unauthenticated:
    return Unauthenticated("this session has ended; log in again")


def _token_of(authorization: str) -> str:
    """The token of a Bearer header; '' for any other header, or one that is too long."""
    if len(authorization) > LONGEST_HEADER:
        return ""
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.casefold() == "bearer" else ""
