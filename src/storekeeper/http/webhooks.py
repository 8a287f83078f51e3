"""`/webhooks` and `/deliveries`: where integrators want events, and how sending them went."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from litestar import Controller, Request, delete, get, patch, post
from litestar.params import JSONBody, PathParameter, QueryParameter

from storekeeper.domain import errors
from storekeeper.domain.types import Struct
from storekeeper.domain.work import Delivery, DeliveryState, WebhookEndpoint
from storekeeper.http.answers import Answer
from storekeeper.http.openapi import BEARER, needs_login
from storekeeper.http.paging import Cursor, Limit, PageView, page_answer
from storekeeper.http.parameters import IfMatch, Key
from storekeeper.http.security import call_of, version_of
from storekeeper.services.deliveries import SCOPE, Deliveries, DeliveryQuery
from storekeeper.services.webhooks import EndpointPatch, NewEndpoint, Webhooks

ApiRequest = Request[Any, Any, Any]
# What shows a secret stays out of every cache.
NOT_KEPT = {"Cache-Control": "no-store"}
CHANGING = (
    errors.Invalid,
    errors.NotFound,
    errors.Conflict,
    errors.PreconditionFailed,
)
EndpointPath = Annotated[str, PathParameter(max_length=64, description="The endpoint's `id`.")]
DeliveryPath = Annotated[
    str, PathParameter(max_length=200, description="The delivery's `id`, percent-encoded.")
]
SinkFilter = Annotated[
    str | None,
    QueryParameter(
        name="sink",
        max_length=100,
        description="`webhook:ID`, `mail` or another channel; without it all of them.",
    ),
]
StateFilter = Annotated[
    DeliveryState | None,
    QueryParameter(name="state", description="`failing` ones are tried again by time."),
]


class EndpointView(Struct, frozen=True, kw_only=True):
    """`secret` is shown when it was made, never again. `kinds` empty: every public event.

    `secrets` counts those that sign; two while a rotation is under way. `switched_off` says why
    the shop stopped sending.
    """

    id: str
    version: int
    url: str
    kinds: tuple[str, ...]
    description: str
    active: bool
    switched_off: str
    secrets: int
    created_at: datetime
    secret: str | None = None


class DeliveryView(Struct, frozen=True, kw_only=True):
    """One event on its way to one sink. `at` is its last try; a failing one has a `next_at`."""

    id: str
    sink: str
    event_id: str
    kind: str
    subject: str
    state: DeliveryState
    attempts: int
    at: datetime
    next_at: datetime | None
    status_code: int | None
    error: str


class PingView(Struct, frozen=True, kw_only=True):
    """How the test went."""

    delivered: bool
    status_code: int | None
    error: str


class ReplayDead(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead deliveries to send again; without `sink` all."""

    sink: str | None = None


class ReplayedView(Struct, frozen=True, kw_only=True):
    """How many deliveries are on their way again."""

    replayed: int


class WebhooksController(Controller):
    path = "/webhooks"
    tags = ["webhooks"]

    @post(
        "/",
        access=SCOPE,
        summary="Add a webhook endpoint",
        responses=needs_login(
            errors.Invalid, errors.KeyReused, errors.LimitReached, errors.NotFound
        ),
        security=BEARER,
    )
    async def create(
        self, request: ApiRequest, data: JSONBody[NewEndpoint], idempotency_key: Key = None
    ) -> Answer[EndpointView]:
        """Keep `secret`: it verifies what is sent, by the Standard Webhooks specification. The
        endpoint hears of what happens from now on."""
        call = call_of(request, "webhooks.create", data, idempotency_key)
        endpoint, is_replay = await webhooks_of(request).create(call, data)
        headers = {"Location": f"/webhooks/{endpoint.id}", **NOT_KEPT}
        if is_replay:
            headers["Idempotent-Replayed"] = "true"
        return endpoint_answer(endpoint, status=201, headers=headers, with_secret=True)

    @get(
        "/",
        access=SCOPE,
        summary="List webhook endpoints",
        responses=needs_login(),
        security=BEARER,
    )
    async def list_endpoints(self, request: ApiRequest) -> Answer[PageView[EndpointView]]:
        """All of them, oldest first, without secrets; there are at most 100."""
        endpoints = await webhooks_of(request).all(call_of(request, "", None, None))
        return Answer(PageView(items=tuple(map(endpoint_view, endpoints))))

    @get(
        "/{endpoint_id:str}",
        access=SCOPE,
        summary="Read a webhook endpoint",
        responses=needs_login(errors.NotFound),
        security=BEARER,
    )
    async def read(self, request: ApiRequest, endpoint_id: EndpointPath) -> Answer[EndpointView]:
        """Without its secrets."""
        call = call_of(request, "", None, None)
        return endpoint_answer(await webhooks_of(request).one(call, endpoint_id))

    @patch(
        "/{endpoint_id:str}",
        access=SCOPE,
        summary="Change a webhook endpoint",
        responses=needs_login(*CHANGING),
        security=BEARER,
    )
    async def revise(
        self,
        request: ApiRequest,
        endpoint_id: EndpointPath,
        data: JSONBody[EndpointPatch],
        if_match: IfMatch = None,
    ) -> Answer[EndpointView]:
        """What isn't named stays. One that is switched on again gets what happens from then on,
        and what was still failing."""
        call = call_of(request, "", None, None)
        return endpoint_answer(
            await webhooks_of(request).revise(call, endpoint_id, data, version_of(if_match))
        )

    @delete(
        "/{endpoint_id:str}",
        access=SCOPE,
        summary="Delete a webhook endpoint",
        responses=needs_login(*CHANGING),
        security=BEARER,
    )
    async def remove(
        self, request: ApiRequest, endpoint_id: EndpointPath, if_match: IfMatch = None
    ) -> None:
        """What still waits for it is forgotten."""
        call = call_of(request, "", None, None)
        await webhooks_of(request).delete(call, endpoint_id, version_of(if_match))

    @post(
        "/{endpoint_id:str}/rotate-secret",
        access=SCOPE,
        status_code=200,
        summary="Give an endpoint a new secret",
        responses=needs_login(*CHANGING, errors.KeyReused),
        security=BEARER,
    )
    async def rotate_secret(
        self,
        request: ApiRequest,
        endpoint_id: EndpointPath,
        idempotency_key: Key = None,
        if_match: IfMatch = None,
    ) -> Answer[EndpointView]:
        """The one before signs beside it until it is dropped, or until the next rotation."""
        call = call_of(request, f"webhooks.rotate:{endpoint_id}", None, idempotency_key)
        endpoint = await webhooks_of(request).rotate_secret(call, endpoint_id, version_of(if_match))
        return endpoint_answer(endpoint, headers=NOT_KEPT, with_secret=True)

    @post(
        "/{endpoint_id:str}/drop-old-secrets",
        access=SCOPE,
        status_code=200,
        summary="Stop signing with old secrets",
        responses=needs_login(*CHANGING, errors.KeyReused),
        security=BEARER,
    )
    async def drop_old_secrets(
        self,
        request: ApiRequest,
        endpoint_id: EndpointPath,
        idempotency_key: Key = None,
        if_match: IfMatch = None,
    ) -> Answer[EndpointView]:
        """For when every receiver knows the newest one, or an old one has leaked."""
        call = call_of(request, f"webhooks.drop:{endpoint_id}", None, idempotency_key)
        return endpoint_answer(
            await webhooks_of(request).drop_old_secrets(call, endpoint_id, version_of(if_match))
        )

    @post(
        "/{endpoint_id:str}/test",
        access=SCOPE,
        status_code=200,
        summary="Send a test event",
        responses=needs_login(errors.NotFound),
        security=BEARER,
    )
    async def test(self, request: ApiRequest, endpoint_id: EndpointPath) -> Answer[PingView]:
        """A signed `webhook.ping`, at once; answers how it went."""
        outcome = await webhooks_of(request).test(call_of(request, "", None, None), endpoint_id)
        return Answer(
            PingView(
                delivered=outcome.delivered,
                status_code=outcome.status_code,
                error=outcome.error,
            )
        )

    @get(
        "/{endpoint_id:str}/deliveries",
        access=SCOPE,
        summary="List an endpoint's deliveries, newest first",
        responses=needs_login(errors.Invalid, errors.NotFound),
        security=BEARER,
    )
    async def deliveries(
        self,
        request: ApiRequest,
        endpoint_id: EndpointPath,
        limit: Limit = 50,
        cursor: Cursor = None,
        delivery_state: StateFilter = None,
    ) -> Answer[PageView[DeliveryView]]:
        """Those that went well can be looked up for 30 days."""
        call = call_of(request, "", None, None)
        await webhooks_of(request).one(call, endpoint_id)
        query = DeliveryQuery(
            sink=f"webhook:{endpoint_id}", state=delivery_state, limit=limit, cursor=cursor
        )
        return await delivery_page(request, query)


class DeliveriesController(Controller):
    path = "/deliveries"
    tags = ["webhooks"]

    @get(
        "/",
        access=SCOPE,
        summary="List deliveries of every channel",
        responses=needs_login(errors.Invalid),
        security=BEARER,
    )
    async def list_deliveries(
        self,
        request: ApiRequest,
        limit: Limit = 50,
        cursor: Cursor = None,
        sink: SinkFilter = None,
        delivery_state: StateFilter = None,
    ) -> Answer[PageView[DeliveryView]]:
        """`state=dead` is what the shop gave up on and waits for you."""
        query = DeliveryQuery(sink=sink, state=delivery_state, limit=limit, cursor=cursor)
        return await delivery_page(request, query)

    @post(
        "/{delivery_id:str}/replay",
        access=SCOPE,
        status_code=200,
        summary="Send a delivery again",
        responses=needs_login(errors.NotFound, errors.Conflict, errors.KeyReused),
        security=BEARER,
    )
    async def replay(
        self, request: ApiRequest, delivery_id: DeliveryPath, idempotency_key: Key = None
    ) -> Answer[DeliveryView]:
        """At once, whatever became of it before, with the same event id."""
        call = call_of(request, f"deliveries.replay:{delivery_id}", None, idempotency_key)
        return Answer(delivery_view(await deliveries_of(request).replay(call, delivery_id)))

    @post(
        "/replay-dead",
        access=SCOPE,
        status_code=200,
        summary="Send every dead delivery again",
        responses=needs_login(errors.Invalid),
        security=BEARER,
    )
    async def replay_dead(
        self, request: ApiRequest, data: JSONBody[ReplayDead | None] = None
    ) -> Answer[ReplayedView]:
        """Of one sink or of all; answers how many there were."""
        sink = data.sink if data is not None else None
        call = call_of(request, "", None, None)
        return Answer(ReplayedView(replayed=await deliveries_of(request).replay_dead(call, sink)))


def endpoint_view(endpoint: WebhookEndpoint, secret: str | None = None) -> EndpointView:
    return EndpointView(
        id=endpoint.id,
        version=endpoint.version,
        url=endpoint.url,
        kinds=endpoint.kinds,
        description=endpoint.description,
        active=endpoint.active,
        switched_off=endpoint.switched_off,
        secrets=len(endpoint.secrets),
        created_at=endpoint.created_at,
        secret=secret,
    )


def endpoint_answer(
    endpoint: WebhookEndpoint,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    with_secret: bool = False,
) -> Answer[EndpointView]:
    return Answer(
        endpoint_view(endpoint, endpoint.secrets[0] if with_secret else None),
        status_code=status,
        headers={"ETag": f'"{endpoint.version}"', **(headers or {})},
    )


def delivery_view(delivery: Delivery) -> DeliveryView:
    return DeliveryView(
        id=delivery.id,
        sink=delivery.sink,
        event_id=delivery.event_id,
        kind=delivery.kind,
        subject=delivery.subject,
        state=delivery.state,
        attempts=delivery.attempts,
        at=delivery.at,
        next_at=delivery.next_at,
        status_code=delivery.status_code,
        error=delivery.error,
    )


async def delivery_page(
    request: ApiRequest, query: DeliveryQuery
) -> Answer[PageView[DeliveryView]]:
    page = await deliveries_of(request).page(call_of(request, "", None, None), query)
    return page_answer(request, page, delivery_view)


def webhooks_of(request: ApiRequest) -> Webhooks:
    found: Webhooks = request.app.state.shop.webhooks
    return found


def deliveries_of(request: ApiRequest) -> Deliveries:
    found: Deliveries = request.app.state.shop.deliveries
    return found
