"""Integrators get signed events that the Standard Webhooks library takes, and nobody else does."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace
from standardwebhooks import Webhook, WebhookVerificationError

from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.errors import NotFound
from storekeeper.domain.events import Event
from storekeeper.domain.work import WebhookEndpoint
from storekeeper.notify.relay import Relay
from storekeeper.notify.retry import Retry
from storekeeper.notify.webhook import Endpoints, Sender, WebhookSink, body_of, signed
from storekeeper.services.deliveries import Deliveries, DeliveryQuery
from storekeeper.services.webhooks import EndpointPatch, NewEndpoint, Webhooks, new_secret
from tests.notify.receiver import Hook, Receiver, a_receiver
from tests.notify.sinks import deliveries, happens, settle
from tests.support.builders import BY_STAFF, an_event
from tests.support.clock import START
from tests.support.shop import Shop

TLS = Path(__file__).parent / "tls"


def now() -> datetime:
    """The verifying library reads the real clock, so signatures are made by it too."""
    return datetime.now(UTC)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with a_receiver() as receiver:
        yield receiver


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    sender = Sender(clock=now, private_allowed=True, timeout=5.0)
    yield sender
    await sender.close()


def an_endpoint(url: str, **fields: object) -> WebhookEndpoint:
    return WebhookEndpoint(
        id="hook",
        version=1,
        url=url,
        kinds=(),
        secrets=fields.pop("secrets", (new_secret(),)),  # type: ignore[arg-type]
        created_at=START,
        **fields,  # type: ignore[arg-type]
    )


def verify(secret: str, hook: Hook) -> object:
    return Webhook(secret).verify(hook.body, hook.headers)


async def test_a_delivery_verifies_with_the_standard_library(
    receiver: Receiver, sender: Sender
) -> None:
    endpoint = an_endpoint(receiver.url("/in?shop=1"))
    event = an_event("order:1", number="AB-1")
    outcome = await sender.send(endpoint, event)
    assert (outcome.delivered, outcome.status_code) == (True, 204)
    (hook,) = receiver.hooks
    assert hook.line == "POST /in?shop=1 HTTP/1.1"
    assert hook.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert hook.headers["content-type"] == "application/json"
    assert hook.headers["webhook-id"] == event.id
    assert verify(endpoint.secrets[0], hook) == {
        "type": "order.placed",
        "timestamp": "2030-01-01T09:00:00Z",
        "data": {"number": "AB-1"},
    }


async def test_a_body_changed_on_the_way_does_not_verify(
    receiver: Receiver, sender: Sender
) -> None:
    endpoint = an_endpoint(receiver.url())
    await sender.send(endpoint, an_event())
    (hook,) = receiver.hooks
    with pytest.raises(WebhookVerificationError):
        Webhook(endpoint.secrets[0]).verify(hook.body + b" ", hook.headers)
    with pytest.raises(WebhookVerificationError):
        verify(new_secret(), hook)


async def test_while_a_secret_is_rotated_both_verify(receiver: Receiver, sender: Sender) -> None:
    endpoint = an_endpoint(receiver.url(), secrets=(new_secret(), new_secret()))
    await sender.send(endpoint, an_event())
    (hook,) = receiver.hooks
    for secret in endpoint.secrets:
        assert verify(secret, hook)


@pytest.mark.parametrize(
    ("status", "is_final"), [(301, False), (400, False), (404, False), (410, True), (500, False)]
)
async def test_anything_but_2xx_is_a_failure(
    receiver: Receiver, sender: Sender, status: int, is_final: bool
) -> None:
    receiver.answer = lambda hook: (status, {"location": receiver.url("/elsewhere")}, b"no\x00pe")
    outcome = await sender.send(an_endpoint(receiver.url()), an_event())
    assert (outcome.delivered, outcome.status_code, outcome.is_final) == (False, status, is_final)
    assert len(receiver.hooks) == 1  # a redirect isn't followed
    assert "\x00" not in outcome.error


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [(429, "120", 120.0), (503, "30", 30.0), (429, "soon", None), (500, "120", None)],
)
async def test_retry_after_is_heard_where_it_means_something(
    receiver: Receiver, sender: Sender, status: int, header: str, seconds: float | None
) -> None:
    receiver.answer = lambda hook: (status, {"retry-after": header}, b"")
    outcome = await sender.send(an_endpoint(receiver.url()), an_event())
    assert outcome.retry_after == seconds


async def test_retry_after_may_be_a_date(receiver: Receiver) -> None:
    sender = Sender(clock=lambda: START, private_allowed=True)
    receiver.answer = lambda hook: (503, {"retry-after": "Tue, 01 Jan 2030 09:05:00 GMT"}, b"")
    outcome = await sender.send(an_endpoint(receiver.url()), an_event())
    await sender.close()
    assert outcome.retry_after == 300.0


async def test_an_endless_answer_costs_no_memory(receiver: Receiver, sender: Sender) -> None:
    receiver.answer = lambda hook: (500, {}, b"x" * 5_000_000)
    outcome = await sender.send(an_endpoint(receiver.url()), an_event())
    assert len(outcome.error) < 400


async def test_an_endpoint_that_never_answers_is_given_up_in_time(receiver: Receiver) -> None:
    receiver.silence = asyncio.Event()
    sender = Sender(clock=now, private_allowed=True, timeout=0.2)
    outcome = await sender.send(an_endpoint(receiver.url()), an_event())
    await sender.close()
    assert not outcome.delivered
    assert "no answer" in outcome.error


async def test_a_port_where_nobody_listens_is_a_failure_that_may_pass(sender: Sender) -> None:
    async with a_receiver() as gone:
        url = gone.url()
    outcome = await sender.send(an_endpoint(url), an_event())
    assert (outcome.delivered, outcome.is_final) == (False, False)


class Names:
    """Answers look-ups, each time with the next list of addresses."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["93.184.215.14", "10.0.0.1"], ["::1"], ["::ffff:127.0.0.1"], ["fe80::1%eth0"]],
)
async def test_a_name_that_leads_inside_gets_no_connection(
    receiver: Receiver, addresses: list[str]
) -> None:
    sender = Sender(clock=now, resolve=Names(addresses))
    url = receiver.url(host="hooks.example.test", scheme="https")
    outcome = await sender.send(an_endpoint(url), an_event())
    await sender.close()
    assert "public internet" in outcome.error
    assert receiver.connections == 0


async def test_the_connection_goes_to_the_address_that_was_checked(receiver: Receiver) -> None:
    """A name that answers differently the second time (DNS rebinding) is asked only once."""
    names = Names(["127.0.0.1"], ["203.0.113.1"])
    sender = Sender(clock=now, private_allowed=True, resolve=names)
    outcome = await sender.send(an_endpoint(receiver.url(host="hooks.example.test")), an_event())
    await sender.close()
    assert outcome.delivered
    assert names.asked == ["hooks.example.test"]
    assert receiver.hooks[0].headers["host"] == f"hooks.example.test:{receiver.port}"


async def test_a_second_address_is_tried_when_the_first_cannot_be_reached(
    receiver: Receiver,
) -> None:
    sender = Sender(clock=now, private_allowed=True, resolve=Names(["127.0.0.2", "127.0.0.1"]))
    outcome = await sender.send(an_endpoint(receiver.url(host="hooks.test")), an_event())
    await sender.close()
    assert outcome.delivered


async def test_a_name_that_does_not_exist_is_a_failure_that_may_pass(sender: Sender) -> None:
    outcome = await sender.send(an_endpoint("https://nowhere.invalid/"), an_event())
    assert (outcome.delivered, outcome.is_final) == (False, False)


@pytest.mark.parametrize("host", ["a..example", f"{'a' * 64}.example"])
async def test_a_name_that_nobody_can_have_is_a_failure_and_no_fault(host: str) -> None:
    """An endpoint that was kept before such names were refused doesn't stop the relay."""
    for private_allowed in (True, False):
        sender = Sender(clock=now, private_allowed=private_allowed)
        outcome = await sender.send(an_endpoint(f"https://{host}/"), an_event())
        await sender.close()
        assert (outcome.delivered, outcome.is_final) == (False, True)


async def test_a_name_that_can_not_be_looked_up_is_a_failure_and_no_fault() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        raise UnicodeError("label too long")

    sender = Sender(clock=now, resolve=resolve)
    outcome = await sender.send(an_endpoint("https://hooks.example/"), an_event())
    await sender.close()
    assert "can't be found" in outcome.error


@pytest.mark.parametrize(
    ("host", "delivered"), [("hooks.example.test", True), ("other.example.test", False)]
)
async def test_the_certificate_is_checked_for_the_name_though_the_address_is_dialled(
    host: str, delivered: bool
) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(TLS / "server.pem")
    async with a_receiver(server) as receiver:
        sender = Sender(
            clock=now,
            private_allowed=True,
            resolve=Names(["127.0.0.1"]),
            tls=ssl.create_default_context(cafile=TLS / "ca.pem"),
        )
        outcome = await sender.send(
            an_endpoint(receiver.url(host=host, scheme="https")), an_event()
        )
        await sender.close()
    assert outcome.delivered is delivered
    assert len(receiver.hooks) == (1 if delivered else 0)


class World:
    """The services and the relay over one shop, wired as the shop wires them."""

    def __init__(self, shop: Shop, sender: Sender) -> None:
        self.shop = shop
        self.deliveries = Deliveries(shop.tools)
        self.webhooks = Webhooks(
            shop.tools, self.deliveries, ping=sender.send, private_allowed=True
        )
        self.relay = Relay(
            store=shop.store,
            clock=shop.clock,
            channels=[],
            endpoints=Endpoints(shop.store, sender),
            retry=Retry(attempts=2, random=lambda: 0.0),
        )


@pytest.fixture
def world(shop: Shop, sender: Sender) -> World:
    return World(shop, sender)


async def test_an_endpoint_hears_of_what_happens_after_it_was_made(
    world: World, receiver: Receiver
) -> None:
    await happens(world.shop, "order:1")
    endpoint, _ = await world.webhooks.create(BY_STAFF, NewEndpoint(url=receiver.url()))
    told = await happens(world.shop, "order:2", "order:3")
    await settle(world.relay)
    assert {hook.headers["webhook-id"] for hook in receiver.hooks} == {e.id for e in told}
    page = await world.deliveries.page(BY_STAFF, DeliveryQuery(sink=f"webhook:{endpoint.id}"))
    assert [one.event_id for one in page.items] == [told[1].id, told[0].id]
    assert {(one.state, one.status_code, one.attempts) for one in page.items} == {
        ("delivered", 204, 1)
    }


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/", "https://localhost:{port}/"])
async def test_an_endpoint_inside_gets_nothing_once_private_addresses_are_off(
    world: World, receiver: Receiver, url: str
) -> None:
    """It was made while the operator allowed them, and is active still."""
    new = NewEndpoint(url=url.format(port=receiver.port))
    endpoint, _ = await world.webhooks.create(BY_STAFF, new)
    strict = Sender(clock=now, private_allowed=False)
    world.relay = Relay(
        store=world.shop.store,
        clock=world.shop.clock,
        channels=[],
        endpoints=Endpoints(world.shop.store, strict),
        retry=Retry(attempts=2, random=lambda: 0.0),
    )
    try:
        await happens(world.shop, "order:1")
        await settle(world.relay)
        pinged = await strict.send(endpoint, an_event())
    finally:
        await strict.close()
    assert receiver.connections == 0
    (refused,) = await deliveries(world.shop, f"webhook:{endpoint.id}", "dead")
    for error in (refused.error, pinged.error):
        assert "this shop sends to public https:// addresses only" in error
    assert not pinged.delivered


async def test_a_name_that_leads_inside_says_that_private_addresses_are_off() -> None:
    sender = Sender(clock=now, resolve=Names(["10.0.0.1"]))
    outcome = await sender.send(an_endpoint("https://inside.example/"), an_event())
    await sender.close()
    assert (outcome.delivered, outcome.is_final) == (False, False)
    assert "webhook_private_addresses is off" in outcome.error


async def test_only_the_kinds_that_were_asked_for_are_sent_and_never_accounts(
    world: World, receiver: Receiver
) -> None:
    await world.webhooks.create(
        BY_STAFF, NewEndpoint(url=receiver.url("/some"), kinds=("order.confirmed",))
    )
    await world.webhooks.create(BY_STAFF, NewEndpoint(url=receiver.url("/all")))
    for kind in ("order.placed", "order.confirmed", "account.password_reset_requested"):
        await happens(world.shop, "order:1", kind=kind)
    await settle(world.relay)
    seen = sorted((hook.line.split()[1], json.loads(hook.body)["type"]) for hook in receiver.hooks)
    assert seen == [
        ("/all", "order.confirmed"),
        ("/all", "order.placed"),
        ("/some", "order.confirmed"),
    ]


async def test_dead_letters_are_listed_and_can_be_sent_again(
    world: World, receiver: Receiver
) -> None:
    receiver.answer = lambda hook: (500, {}, b"broken")
    endpoint, _ = await world.webhooks.create(BY_STAFF, NewEndpoint(url=receiver.url()))
    sink = f"webhook:{endpoint.id}"
    told = await happens(world.shop, "order:1", "order:1", "order:2")
    for _ in range(6):
        await settle(world.relay)
        world.shop.clock.advance(hours=1)
    dead = await world.deliveries.page(BY_STAFF, DeliveryQuery(sink=sink, state="dead"))
    assert {one.event_id for one in dead.items} == {event.id for event in told}
    assert {(one.attempts, one.status_code) for one in dead.items} == {(2, 500)}
    assert all("broken" in one.error for one in dead.items)

    receiver.answer = lambda hook: (200, {}, b"")
    receiver.hooks.clear()
    one = await world.deliveries.replay(BY_STAFF, f"{sink}|{told[2].id}")
    assert (one.state, one.attempts) == ("failing", 0)
    await settle(world.relay)
    assert [hook.headers["webhook-id"] for hook in receiver.hooks] == [told[2].id]
    assert await world.deliveries.replay_dead(BY_STAFF, sink) == 2
    await settle(world.relay)
    assert [hook.headers["webhook-id"] for hook in receiver.hooks][1:] == [
        event.id for event in told[:2]
    ]
    assert await deliveries(world.shop, sink, "dead") == []


async def test_a_replay_behind_one_that_still_fails_waits_for_it(
    world: World, receiver: Receiver
) -> None:
    endpoint, _ = await world.webhooks.create(BY_STAFF, NewEndpoint(url=receiver.url()))
    (first,) = await happens(world.shop, "order:1")
    (second,) = await happens(world.shop, "order:1")
    receiver.answer = lambda hook: (500, {}, b"")
    await settle(world.relay)
    tries = len(receiver.hooks)
    await world.deliveries.replay(BY_STAFF, f"webhook:{endpoint.id}|{second.id}")
    await settle(world.relay)
    assert len(receiver.hooks) == tries
    receiver.answer = lambda hook: (200, {}, b"")
    world.shop.clock.advance(minutes=1)
    await settle(world.relay)
    assert [hook.headers["webhook-id"] for hook in receiver.hooks][tries:] == [
        first.id,
        second.id,
    ]


async def test_an_endpoint_that_is_gone_is_switched_off_and_says_so(
    world: World, receiver: Receiver
) -> None:
    receiver.answer = lambda hook: (410, {}, b"")
    endpoint, _ = await world.webhooks.create(BY_STAFF, NewEndpoint(url=receiver.url()))
    await happens(world.shop, "order:1", "order:1", "order:1")
    await settle(world.relay)
    off = await world.webhooks.one(BY_STAFF, endpoint.id)
    assert (off.active, off.switched_off) == (False, "answered 410 Gone")
    assert len(receiver.hooks) == 1
    await happens(world.shop, "order:2")
    receiver.answer = lambda hook: (200, {}, b"")
    await world.webhooks.revise(BY_STAFF, endpoint.id, EndpointPatch(active=True))
    later = await happens(world.shop, "order:3")
    await settle(world.relay)
    assert [hook.headers["webhook-id"] for hook in receiver.hooks][1:] == [later[0].id]


async def test_rotation_keeps_the_old_secret_until_it_is_dropped(
    world: World, receiver: Receiver
) -> None:
    endpoint, _ = await world.webhooks.create(BY_STAFF, NewEndpoint(url=receiver.url()))
    old = endpoint.secrets[0]
    new = (await world.webhooks.rotate_secret(BY_STAFF, endpoint.id)).secrets[0]
    await happens(world.shop, "order:1")
    await settle(world.relay)
    assert verify(old, receiver.hooks[-1])
    assert verify(new, receiver.hooks[-1])
    await world.webhooks.drop_old_secrets(BY_STAFF, endpoint.id)
    await happens(world.shop, "order:2")
    await settle(world.relay)
    assert verify(new, receiver.hooks[-1])
    with pytest.raises(WebhookVerificationError):
        verify(old, receiver.hooks[-1])
    rotated = [await world.webhooks.rotate_secret(BY_STAFF, endpoint.id) for _ in range(3)]
    assert [len(one.secrets) for one in rotated] == [2, 2, 2]


async def test_a_deleted_endpoint_leaves_nothing_behind_that_would_be_sent(
    world: World, receiver: Receiver
) -> None:
    receiver.answer = lambda hook: (500, {}, b"")
    endpoint, _ = await world.webhooks.create(BY_STAFF, NewEndpoint(url=receiver.url()))
    await happens(world.shop, "order:1", "order:1", "order:2")
    await settle(world.relay)
    await world.webhooks.delete(BY_STAFF, endpoint.id)
    world.shop.clock.advance(hours=2)
    tries = len(receiver.hooks)
    await settle(world.relay)
    assert len(receiver.hooks) == tries
    page = await world.deliveries.page(BY_STAFF, DeliveryQuery(sink=f"webhook:{endpoint.id}"))
    assert page.items == ()


async def test_nothing_is_replayed_to_an_endpoint_that_was_deleted(
    world: World, receiver: Receiver
) -> None:
    endpoint, _ = await world.webhooks.create(BY_STAFF, NewEndpoint(url=receiver.url()))
    told = await happens(world.shop, "order:1")
    await settle(world.relay)
    await world.webhooks.delete(BY_STAFF, endpoint.id)
    with pytest.raises(NotFound):
        await world.deliveries.replay(BY_STAFF, f"webhook:{endpoint.id}|{told[0].id}")


async def test_what_went_well_is_forgotten_after_thirty_days_and_what_is_dead_is_kept(
    world: World, receiver: Receiver
) -> None:
    receiver.answer = lambda hook: (400 if b"bad" in hook.body else 200, {}, b"")
    endpoint, _ = await world.webhooks.create(BY_STAFF, NewEndpoint(url=receiver.url()))
    good, bad = an_event("order:1"), an_event("order:2", note="bad")
    await world.shop.store.commit(ChangeSet(events=(good, bad)))
    for _ in range(4):
        await settle(world.relay)
        world.shop.clock.advance(hours=1)
    world.shop.clock.advance(days=31)
    assert await world.shop.store.purge(world.shop.clock(), 100) == 1
    page = await world.deliveries.page(BY_STAFF, DeliveryQuery(sink=f"webhook:{endpoint.id}"))
    assert [one.event_id for one in page.items] == [bad.id]


async def test_a_slow_endpoint_gets_several_orders_side_by_side(
    receiver: Receiver, shop: Shop, sender: Sender
) -> None:
    receiver.silence = asyncio.Event()
    endpoint = an_endpoint(receiver.url())
    await shop.store.commit(ChangeSet(puts=(Put(endpoint),)))
    sink = WebhookSink(endpoint, sender, Endpoints(shop.store, sender))
    assert sink.parallel > 1
    world = World(shop, sender)
    await world.webhooks.revise(BY_STAFF, "hook", EndpointPatch(active=False))
    await world.webhooks.revise(BY_STAFF, "hook", EndpointPatch(active=True))
    await happens(shop, *(f"order:{number}" for number in range(20)))
    stepping = asyncio.create_task(settle(world.relay))
    async with asyncio.timeout(10):
        while len(receiver.hooks) < sink.parallel:
            await asyncio.sleep(0.01)
    assert len(receiver.hooks) == sink.parallel
    receiver.silence.set()
    await stepping
    assert len(receiver.hooks) == 20


def test_a_secret_has_enough_random_bytes() -> None:
    assert new_secret().startswith("whsec_")
    assert len(new_secret()) == len("whsec_") + 44
    assert new_secret() != new_secret()


def test_an_event_with_an_odd_body_is_signed_as_it_is_sent() -> None:
    event: Event = replace(an_event(), data={"name": "Büchse „groß“ \u2028"})
    secret, body = new_secret(), body_of(event)
    headers = signed(event.id, body, [secret], now())
    assert Webhook(secret).verify(body, headers)["data"] == event.data
