"""Webhook endpoints, what was sent, and what the shop gave up on."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any

from litestar import Controller, Request, get, post
from litestar.params import PathParameter

from storekeeper.domain.errors import Invalid, NotFound, PreconditionFailed, ShopError
from storekeeper.domain.events import PUBLIC_KINDS
from storekeeper.domain.work import Delivery, DeliveryState, WebhookEndpoint
from storekeeper.http.answers import Answer
from storekeeper.services.deliveries import SCOPE, Deliveries, DeliveryQuery
from storekeeper.services.webhooks import EndpointPatch, NewEndpoint, Webhooks
from storekeeper.store.port import Page
from storekeeper.web.admin.days import MOST_CURSOR
from storekeeper.web.admin.frame import BACK_OFFICE, admin_page
from storekeeper.web.forms import FormErrors, sentence
from storekeeper.web.pages import HTML
from storekeeper.web.refusals import told
from storekeeper.web.visit import Visit, visit_of, with_query

PageRequest = Request[Any, Any, Any]
IdPath = Annotated[str, PathParameter(max_length=64)]
NOTIFICATIONS = f"{BACK_OFFICE}/notifications"
DELIVERIES = f"{NOTIFICATIONS}/deliveries"
STATES: tuple[DeliveryState, ...] = DeliveryState.__args__  # type: ignore[attr-defined]
ON_A_PAGE = 50


class Endpoints(Controller):
    path = NOTIFICATIONS
    opt = {"is_page": True}
    include_in_schema = False

    @get("/", access=SCOPE, media_type=HTML)
    async def endpoints(self, request: PageRequest) -> Answer[bytes]:
        visit = visit_of(request)
        return await _endpoints_page(visit, FormErrors(visit))

    @post("/", access=SCOPE, status_code=200, media_type=HTML)
    async def create(self, request: PageRequest) -> Answer[bytes]:
        """Answers with the endpoint's secret, which no later page shows."""
        visit = visit_of(request)
        errors, values = _typed(visit)
        wanted = None if errors else errors.read(NewEndpoint, values)
        if wanted is not None:
            call = visit.call("webhooks.create", wanted, visit.text("key"))
            try:
                endpoint, _ = await _webhooks(visit).create(call, wanted)
            except ShopError as error:
                if error.status >= 500:
                    raise
                errors.note(error, fields=list(values))
            else:
                return await _endpoint_page(visit, endpoint, secret=endpoint.secrets[0])
        return await _endpoints_page(visit, errors)

    @get("/{endpoint_id:str}", access=SCOPE, media_type=HTML)
    async def one(self, request: PageRequest, endpoint_id: IdPath) -> Answer[bytes]:
        visit = visit_of(request)
        endpoint = await _webhooks(visit).one(visit.call("", None), endpoint_id)
        return await _endpoint_page(visit, endpoint)

    @post("/{endpoint_id:str}/change", access=SCOPE, status_code=200, media_type=HTML)
    async def change(self, request: PageRequest, endpoint_id: IdPath) -> Answer[bytes]:
        """Its address, its events and what it is for. One that somebody else has changed since it
        was shown is left, and shown as it is now beside what was typed."""
        visit = visit_of(request)
        errors, values = _typed(visit)
        patch = None if errors else errors.read(EndpointPatch, values)
        if patch is not None:
            text = visit.text("version")
            version = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
            try:
                await _webhooks(visit).revise(visit.call("", None), endpoint_id, patch, version)
            except PreconditionFailed:
                errors.add(
                    "",
                    visit.say(
                        "Somebody else changed it meanwhile. Above is how it is now, below what you "
                        "typed; save again to put yours in its place."
                    ),
                )
            except ShopError as error:
                if error.status >= 500 or error.status == 404:
                    raise
                errors.note(error, fields=list(values))
            else:
                visit.tell(visit.say("The endpoint is changed."))
                return visit.go(f"{NOTIFICATIONS}/{endpoint_id}")
        endpoint = await _webhooks(visit).one(visit.call("", None), endpoint_id)
        return await _endpoint_page(visit, endpoint, errors=errors)

    @post("/{endpoint_id:str}/rotate", access=SCOPE, status_code=200, media_type=HTML)
    async def rotate(self, request: PageRequest, endpoint_id: IdPath) -> Answer[bytes]:
        """A new secret, shown this once; the one before signs beside it."""
        visit = visit_of(request)
        call = visit.call(f"webhooks.rotate:{endpoint_id}", None, visit.text("key"))
        endpoint = await _webhooks(visit).rotate_secret(call, endpoint_id)
        return await _endpoint_page(visit, endpoint, secret=endpoint.secrets[0])

    @post("/{endpoint_id:str}/drop", access=SCOPE, status_code=200, media_type=HTML)
    async def drop(self, request: PageRequest, endpoint_id: IdPath) -> Answer[bytes]:
        visit = visit_of(request)
        await _webhooks(visit).drop_old_secrets(visit.call("", None), endpoint_id)
        visit.tell(visit.say("Only the newest secret signs from now on."))
        return visit.go(f"{NOTIFICATIONS}/{endpoint_id}")

    @post("/{endpoint_id:str}/pause", access=SCOPE, status_code=200, media_type=HTML)
    async def pause(self, request: PageRequest, endpoint_id: IdPath) -> Answer[bytes]:
        visit = visit_of(request)
        patch = EndpointPatch(active=False)
        await _webhooks(visit).revise(visit.call("", None), endpoint_id, patch)
        visit.tell(visit.say("Nothing is sent there until you resume it."))
        return visit.go(f"{NOTIFICATIONS}/{endpoint_id}")

    @post("/{endpoint_id:str}/resume", access=SCOPE, status_code=200, media_type=HTML)
    async def resume(self, request: PageRequest, endpoint_id: IdPath) -> Answer[bytes]:
        visit = visit_of(request)
        patch = EndpointPatch(active=True)
        await _webhooks(visit).revise(visit.call("", None), endpoint_id, patch)
        visit.tell(visit.say("What happens from now on is sent there."))
        return visit.go(f"{NOTIFICATIONS}/{endpoint_id}")

    @post("/{endpoint_id:str}/ping", access=SCOPE, status_code=200, media_type=HTML)
    async def ping(self, request: PageRequest, endpoint_id: IdPath) -> Answer[bytes]:
        """Sends a test event at once and tells how it went."""
        visit = visit_of(request)
        outcome = await _webhooks(visit).test(visit.call("", None), endpoint_id)
        if outcome.delivered:
            said = visit.say("The test arrived; the answer was %(status)s.")
            visit.tell(said % {"status": outcome.status_code})
        else:
            said = visit.say("The test failed: %(reason)s")
            visit.tell(said % {"reason": outcome.error or outcome.status_code}, kind="bad")
        return visit.go(f"{NOTIFICATIONS}/{endpoint_id}")

    @get("/{endpoint_id:str}/delete", access=SCOPE, media_type=HTML)
    async def ask(self, request: PageRequest, endpoint_id: IdPath) -> Answer[bytes]:
        """Says what deleting does, before anything is done."""
        visit = visit_of(request)
        endpoint = await _webhooks(visit).one(visit.call("", None), endpoint_id)
        return admin_page(visit, "admin/endpoint_delete.html", endpoint=endpoint)

    @post("/{endpoint_id:str}/delete", access=SCOPE, status_code=200, media_type=HTML)
    async def delete(self, request: PageRequest, endpoint_id: IdPath) -> Answer[bytes]:
        visit = visit_of(request)
        # A second click finds it gone, which is what was wanted.
        with suppress(NotFound):
            await _webhooks(visit).delete(visit.call("", None), endpoint_id)
        visit.tell(visit.say("The endpoint is deleted."))
        return visit.go(NOTIFICATIONS)


class Sent(Controller):
    path = DELIVERIES
    opt = {"is_page": True}
    include_in_schema = False

    @get("/", access=SCOPE, media_type=HTML)
    async def deliveries(self, request: PageRequest) -> Answer[bytes]:
        """Of one state or sink, newest first; the dead ones wait for somebody."""
        visit = visit_of(request)
        return await _deliveries_page(visit, FormErrors(visit))

    @post("/replay", access=SCOPE, status_code=200, media_type=HTML)
    async def replay(self, request: PageRequest) -> Answer[bytes]:
        visit = visit_of(request)
        delivery_id = visit.text("id")[:200]
        call = visit.call(f"deliveries.replay:{delivery_id}", None, visit.text("key"))
        try:
            await _deliveries(visit).replay(call, delivery_id)
        except ShopError as error:
            if error.status >= 500:
                raise
            visit.tell(sentence(told(error, visit.language)), kind="bad")
        else:
            visit.tell(visit.say("It is on its way again."))
        return visit.go(_list_of(visit))

    @post("/replay-dead", access=SCOPE, status_code=200, media_type=HTML)
    async def replay_dead(self, request: PageRequest) -> Answer[bytes]:
        """Sends all again that the shop gave up on, of one sink or of all."""
        visit = visit_of(request)
        sink = visit.text("sink")[:100] or None
        number = await _deliveries(visit).replay_dead(visit.call("", None), sink)
        said = visit.language.texts.ngettext(
            "%(count)s delivery is on its way again.",
            "%(count)s deliveries are on their way again.",
            number,
        )
        visit.tell(said % {"count": visit.language.number(number)})
        return visit.go(_list_of(visit))


def _list_of(visit: Visit) -> str:
    """The list that a form stood in."""
    names = ("state", "sink")
    return with_query(DELIVERIES, {name: visit.text(name)[:100] for name in names})


def _typed(visit: Visit) -> tuple[FormErrors, dict[str, Any]]:
    """What the form of an endpoint holds, with what is wrong with it so far."""
    errors = FormErrors(visit)
    errors.require("url")
    return errors, {
        "url": visit.text("url"),
        "kinds": visit.lists.get("kinds", []),
        "description": visit.text("description"),
    }


async def _endpoints_page(visit: Visit, errors: FormErrors) -> Answer[bytes]:
    return admin_page(
        visit,
        "admin/endpoints.html",
        status=422 if errors else 200,
        endpoints=await _webhooks(visit).all(visit.call("", None)),
        kinds=PUBLIC_KINDS,
        chosen=visit.lists.get("kinds", []),
        errors=errors,
    )


async def _endpoint_page(
    visit: Visit, endpoint: WebhookEndpoint, secret: str = "", errors: FormErrors | None = None
) -> Answer[bytes]:
    """`errors`: of the form that changes it, which then shows what was typed."""
    typed = {"url": endpoint.url, "description": endpoint.description, "kinds": endpoint.kinds}
    version = str(endpoint.version)
    if errors:
        typed = {
            "url": visit.form.get("url", ""),
            "description": visit.form.get("description", ""),
            "kinds": tuple(visit.lists.get("kinds", [])),
        }
        # What is wrong is mended on the version that was shown; a refusal shows the one now.
        version = version if "" in errors else visit.text("version")
    return admin_page(
        visit,
        "admin/endpoint.html",
        status=422 if errors else 200,
        endpoint=endpoint,
        secret=secret,
        typed=typed,
        version=version,
        kinds=PUBLIC_KINDS,
        errors=errors or FormErrors(visit),
    )


async def _deliveries_page(visit: Visit, errors: FormErrors) -> Answer[bytes]:
    filters = {name: visit.query.get(name, "").strip()[:100] for name in ("state", "sink")}
    state = next((one for one in STATES if one == filters["state"]), None)
    page: Page[Delivery] = Page(items=())
    if filters["state"] and state is None:
        errors.add("state", visit.say("There is no such state."))
    else:
        query = DeliveryQuery(
            sink=filters["sink"] or None,
            state=state,
            limit=ON_A_PAGE,
            cursor=visit.query.get("cursor", "")[:MOST_CURSOR] or None,
        )
        try:
            page = await _deliveries(visit).page(visit.call("", None), query)
        except Invalid as error:
            errors.refuse(error)
    endpoints = await _webhooks(visit).all(visit.call("", None))
    return admin_page(
        visit,
        "admin/deliveries.html",
        status=422 if errors else 200,
        page=page,
        filters=filters,
        states=STATES,
        urls={f"webhook:{one.id}": one.url for one in endpoints},
        errors=errors,
    )


def _webhooks(visit: Visit) -> Webhooks:
    found: Webhooks = visit.pages.shop.webhooks
    return found


def _deliveries(visit: Visit) -> Deliveries:
    found: Deliveries = visit.pages.shop.deliveries
    return found
