"""Webhook endpoints: where integrators want events, and the secrets that sign them."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Awaitable, Callable
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from storekeeper.domain.audit import Action
from storekeeper.domain.changes import ChangeSet, Delete, Put
from storekeeper.domain.errors import Invalid, LimitReached, NotFound, PreconditionFailed
from storekeeper.domain.events import PUBLIC_KINDS, Event
from storekeeper.domain.types import ONE_LINE, Struct
from storekeeper.domain.work import HttpUrl, Position, WebhookEndpoint
from storekeeper.notify.addresses import check_url
from storekeeper.notify.port import Outcome, position_id
from storekeeper.services.base import (
    Call,
    Tools,
    commit_once,
    made_before,
    require,
    with_fresh_reads,
)
from storekeeper.services.deliveries import SCOPE, Deliveries

MAX_ENDPOINTS = 100
SECRET_BYTES = 32
# The current secret, and the one before it while receivers change over.
SECRETS_KEPT = 2
PING = "webhook.ping"

Kinds = Annotated[tuple[str, ...], msgspec.Meta(max_length=100)]
Description = Annotated[
    str, msgspec.Meta(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$", extra=ONE_LINE)
]
Change = Callable[[WebhookEndpoint], WebhookEndpoint]


class NewEndpoint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to send events, and which; no `kinds` means every public one."""

    url: HttpUrl
    kinds: Kinds = ()
    description: Description = ""


class EndpointPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what isn't named stays. Switching on again skips what happened meanwhile."""

    url: HttpUrl | UnsetType = UNSET
    kinds: Kinds | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    active: bool | UnsetType = UNSET


class Webhooks:
    """`ping(endpoint, event)` sends one event at once, through the same checks and signing."""

    def __init__(
        self,
        tools: Tools,
        deliveries: Deliveries,
        *,
        ping: Callable[[WebhookEndpoint, Event], Awaitable[Outcome]],
        private_allowed: bool = False,
    ) -> None:
        self._tools = tools
        self._store = tools.store
        self._deliveries = deliveries
        self._ping = ping
        self._private_allowed = private_allowed

    async def create(self, call: Call, new: NewEndpoint) -> tuple[WebhookEndpoint, bool]:
        """The endpoint with its first secret, and whether a try before had made it. It hears of
        what happens from now on.

        Raises `Invalid` for a URL or a kind that can't be, `LimitReached` past the limit.
        """
        require(call, SCOPE)
        before = await made_before(self._store, call)
        if before is not None:
            return await self._one(before), True
        check_url(new.url, private_allowed=self._private_allowed)
        if len(await self.all(call)) >= MAX_ENDPOINTS:
            raise LimitReached(f"there are {MAX_ENDPOINTS} endpoints already; delete one first")
        endpoint = WebhookEndpoint(
            id=self._tools.new_id(),
            version=1,
            url=new.url,
            kinds=_known(new.kinds),
            secrets=(new_secret(),),
            created_at=self._tools.clock(),
            created_by=call.principal.account_id,
            description=new.description,
        )
        start = Position(
            id=position_id(f"webhook:{endpoint.id}"),
            version=1,
            at=await self._store.last_event_seq(),
        )
        entry = self._audited(call, "webhook.created", None, endpoint)
        change = ChangeSet(puts=(Put(endpoint), Put(start), *entry))
        owner = await commit_once(self._store, call, endpoint.id, change)
        if owner != endpoint.id:
            return await self._one(owner), True
        return endpoint, False

    async def all(self, call: Call) -> tuple[WebhookEndpoint, ...]:
        require(call, SCOPE)
        return (await self._store.list_all(WebhookEndpoint, limit=MAX_ENDPOINTS)).items

    async def one(self, call: Call, endpoint_id: str) -> WebhookEndpoint:
        """Raises `NotFound`."""
        require(call, SCOPE)
        return await self._one(endpoint_id)

    async def revise(
        self, call: Call, endpoint_id: str, patch: EndpointPatch, if_match: int | None = None
    ) -> WebhookEndpoint:
        """Raises `NotFound`, `Invalid`, `PreconditionFailed`."""
        require(call, SCOPE)
        if patch.url is not UNSET:
            check_url(patch.url, private_allowed=self._private_allowed)
        kinds = UNSET if patch.kinds is UNSET else _known(patch.kinds)

        async def attempt() -> WebhookEndpoint:
            endpoint = await self._at(endpoint_id, if_match)
            given = {"url": patch.url, "kinds": kinds, "description": patch.description}
            changed = replace(
                endpoint,
                version=endpoint.version + 1,
                **{name: value for name, value in given.items() if value is not UNSET},
            )
            puts: tuple[Put, ...] = ()
            if patch.active is not UNSET and patch.active != endpoint.active:
                changed = replace(changed, active=patch.active, switched_off="")
                if patch.active:
                    puts = (await self._from_now(endpoint_id),)
            entry = self._audited(call, "webhook.changed", endpoint, changed)
            await self._store.commit(ChangeSet(puts=(Put(changed), *puts, *entry)))
            return changed

        return await with_fresh_reads(attempt)

    async def delete(self, call: Call, endpoint_id: str, if_match: int | None = None) -> None:
        """Ends the endpoint and forgets what still waits for it. Raises `NotFound`,
        `PreconditionFailed`."""
        require(call, SCOPE)

        async def switch_off() -> None:
            endpoint = await self._at(endpoint_id, if_match)
            if endpoint.active:
                off = replace(endpoint, version=endpoint.version + 1, active=False)
                await self._store.commit(ChangeSet(puts=(Put(off),)))

        async def remove() -> None:
            endpoint = await self._store.get(WebhookEndpoint, endpoint_id)
            if endpoint is None:
                return
            deletes = [Delete("WebhookEndpoint", endpoint.id, endpoint.version)]
            position = await self._store.get(Position, position_id(f"webhook:{endpoint_id}"))
            if position is not None:
                deletes.append(Delete("Position", position.id, position.version))
            entry = self._audited(call, "webhook.deleted", endpoint, None)
            await self._store.commit(ChangeSet(puts=entry, deletes=tuple(deletes)))

        # The endpoint goes before its deliveries, so that the relay can add none behind them.
        await with_fresh_reads(switch_off)
        await with_fresh_reads(remove)
        await self._deliveries.forget(f"webhook:{endpoint_id}")

    async def rotate_secret(
        self, call: Call, endpoint_id: str, if_match: int | None = None
    ) -> WebhookEndpoint:
        """Puts a new secret first; the one before keeps signing beside it until it is dropped or
        the next rotation. Raises `NotFound`, `PreconditionFailed`."""

        def rotated(endpoint: WebhookEndpoint) -> WebhookEndpoint:
            return replace(endpoint, secrets=(new_secret(), *endpoint.secrets)[:SECRETS_KEPT])

        return await self._change(call, endpoint_id, "webhook.secret_rotated", rotated, if_match)

    async def drop_old_secrets(
        self, call: Call, endpoint_id: str, if_match: int | None = None
    ) -> WebhookEndpoint:
        """From now on only the newest secret signs. Raises `NotFound`, `PreconditionFailed`."""

        def dropped(endpoint: WebhookEndpoint) -> WebhookEndpoint:
            return replace(endpoint, secrets=endpoint.secrets[:1])

        return await self._change(call, endpoint_id, "webhook.secrets_dropped", dropped, if_match)

    async def test(self, call: Call, endpoint_id: str) -> Outcome:
        """Sends a `webhook.ping` now, also to an endpoint that is off. Raises `NotFound`."""
        require(call, SCOPE)
        endpoint = await self._one(endpoint_id)
        event = Event(
            id=self._tools.new_id(),
            kind=PING,
            subject=f"webhook:{endpoint_id}",
            at=self._tools.clock(),
            data={"endpoint_id": endpoint_id},
        )
        return await self._ping(endpoint, event)

    async def _change(
        self, call: Call, endpoint_id: str, action: Action, change: Change, if_match: int | None
    ) -> WebhookEndpoint:
        require(call, SCOPE)
        if await made_before(self._store, call):
            return await self._one(endpoint_id)

        async def attempt() -> WebhookEndpoint:
            endpoint = await self._at(endpoint_id, if_match)
            changed = replace(change(endpoint), version=endpoint.version + 1)
            entry = self._tools.audited(
                call.principal, action, f"webhook:{endpoint_id}", label=_place_of(changed.url)
            )
            puts = ChangeSet(puts=(Put(changed), *entry))
            await commit_once(self._store, call, endpoint_id, puts)
            return await self._one(endpoint_id)

        return await with_fresh_reads(attempt)

    def _audited(
        self,
        call: Call,
        action: Action,
        before: WebhookEndpoint | None,
        after: WebhookEndpoint | None,
    ) -> tuple[Put, ...]:
        endpoint = after or before
        if endpoint is None:
            return ()
        old, new = (None if one is None else _told(one) for one in (before, after))
        is_moved = before is not None and after is not None and before.url != after.url
        if is_moved and old and new and old["url"] == new["url"]:
            new["url"] = f"{new['url']} (another path)"
        return self._tools.audited(
            call.principal,
            action,
            f"webhook:{endpoint.id}",
            before=old,
            after=new,
            label=_place_of(endpoint.url),
        )

    async def _from_now(self, endpoint_id: str) -> Put:
        id = position_id(f"webhook:{endpoint_id}")
        position = await self._store.get(Position, id)
        version = 1 if position is None else position.version + 1
        return Put(Position(id=id, version=version, at=await self._store.last_event_seq()))

    async def _at(self, endpoint_id: str, if_match: int | None) -> WebhookEndpoint:
        endpoint = await self._one(endpoint_id)
        if if_match is not None and endpoint.version != if_match:
            raise PreconditionFailed(
                f"the endpoint is at version {endpoint.version}; read it again",
                current=endpoint.version,
            )
        return endpoint

    async def _one(self, endpoint_id: str) -> WebhookEndpoint:
        endpoint = await self._store.get(WebhookEndpoint, endpoint_id)
        if endpoint is None:
            raise NotFound(f"there is no webhook endpoint {endpoint_id}")
        return endpoint


def _told(endpoint: WebhookEndpoint) -> dict[str, object]:
    """What the audit log says of an endpoint: no secret, and none of what its path may hold."""
    return {
        "url": _place_of(endpoint.url),
        "kinds": endpoint.kinds,
        "description": endpoint.description,
        "active": endpoint.active,
    }


def _place_of(url: str) -> str:
    """An address without its path, in which receivers often keep a secret."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}/…"


def new_secret() -> str:
    """A signing secret as the specification writes them."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def _known(kinds: tuple[str, ...]) -> tuple[str, ...]:
    """The kinds once each; raises `Invalid` for one that is never sent."""
    for number, kind in enumerate(kinds):
        if kind not in PUBLIC_KINDS:
            raise Invalid(
                f"{kind!r} is no event that goes out; there are {', '.join(PUBLIC_KINDS)}",
                field=f"kinds[{number}]",
            )
    return tuple(dict.fromkeys(kinds))
