"""Order events and stock alerts reach subscribers of Amazon SNS: all of them, in order, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence

import pytest

from storekeeper.config import Settings
from storekeeper.domain.changes import ChangeSet
from storekeeper.domain.events import Event
from storekeeper.notify.relay import Relay
from storekeeper.notify.sns.opening import SnsChannels
from tests.notify.sinks import a_relay, deliveries, settle
from tests.support.builders import a_call, a_request, an_event
from tests.support.local_engines import engine, use_local_credentials
from tests.support.shop import Shop
from tests.support.sns import Engine, Got, Queue, engine_at, order_event
from tests.support.way import Way, a_way_to, refusal


@pytest.fixture(params=["ministack", "moto"])
async def aws(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Engine]:
    use_local_credentials(monkeypatch)
    async with engine_at(engine(request.param).url) as found:
        yield found


@pytest.fixture
async def way(aws: Engine) -> AsyncIterator[Way]:
    async with a_way_to(aws.url) as found:
        yield found


class Open:
    """A shop's two topics behind a way, with a queue at each, and the relay that feeds them."""

    def __init__(self, relay: Relay, orders: Queue, stock: Queue) -> None:
        self.relay = relay
        self.orders = orders
        self.stock = stock


@pytest.fixture
async def opened(shop: Shop, aws: Engine, way: Way) -> AsyncIterator[Open]:
    orders, stock = await aws.topic(), await aws.topic()
    channels = channels_of(shop, way, orders, stock)
    yield Open(
        await a_relay(shop, *channels.sinks, attempts=50),
        await aws.subscribe(orders),
        await aws.subscribe(stock),
    )
    await channels.close()


@pytest.fixture
async def fifo(shop: Shop, aws: Engine, way: Way) -> AsyncIterator[Open]:
    orders, stock = await aws.topic(is_fifo=True), await aws.topic(is_fifo=True)
    channels = channels_of(shop, way, orders, stock)
    yield Open(
        await a_relay(shop, *channels.sinks, attempts=50),
        await aws.subscribe(orders),
        await aws.subscribe(stock),
    )
    await channels.close()


def channels_of(shop: Shop, way: Way, orders: str, stock: str = "") -> SnsChannels:
    settings = Settings(
        aws_endpoint_url=way.url,
        aws_region="eu-west-1",
        sns_orders_topic=orders,
        sns_stock_topic=stock,
    )
    return SnsChannels(settings, shop.store)


async def happen(shop: Shop, *events: Event) -> Sequence[Event]:
    for event in events:
        await shop.store.commit(ChangeSet(events=(event,)))
    return events


def ids(found: Sequence[Got] | Sequence[Event]) -> list[str]:
    return [one.body["id"] if isinstance(one, Got) else one.id for one in found]


def of_order(got: Sequence[Got], number: int) -> list[str]:
    return [one.body["id"] for one in got if one.body["subject"] == f"order:{number}"]


async def test_an_order_is_announced_and_its_shortage_raises_one_alert(
    shop: Shop, opened: Open
) -> None:
    """Order confirmations and low-stock alerts are what this channel is for."""
    lamp = await shop.sell("LAMP", stock=10, low_stock_threshold=3)
    first = (await shop.checkout.place(a_call(), a_request(("LAMP", 8), confirm=True))).order
    second = (await shop.checkout.place(a_call(), a_request(("LAMP", 1)))).order
    await settle(opened.relay)
    announced = await opened.orders.drained()
    assert [(one.body["kind"], one.body["data"]["order_id"]) for one in announced] == [
        ("order.placed", first.id),
        ("order.placed", second.id),
        ("order.confirmed", first.id),
    ]
    assert announced[2].envelope["Subject"] == f"Order {first.number} confirmed: {first.total}"
    (alert,) = await opened.stock.drained()
    assert alert.body["data"] == {
        "product_id": lamp.id,
        "sku": "LAMP",
        "name": lamp.name,
        "available": 2,
        "threshold": 3,
    }
    assert alert.envelope["Subject"] == f"Low stock: 2 left of LAMP ({lamp.name})"
    await settle(opened.relay)
    assert await opened.orders.drained() == await opened.stock.drained() == []


async def test_a_subscriber_gets_only_what_its_filter_policy_lets_through(
    shop: Shop, aws: Engine, way: Way
) -> None:
    topic = await aws.topic()
    channels = channels_of(shop, way, topic)
    relay = await a_relay(shop, *channels.sinks)
    confirmed = await aws.subscribe(topic, kind=["order.confirmed"], currency=["GBP"])
    cancelled = await aws.subscribe(topic, state=["cancelled"], schema_version=["1"])
    everything = await aws.subscribe(topic)
    dollars = {"total": {"amount": 1, "currency": "USD"}}
    told = await happen(
        shop,
        order_event(1),
        order_event(1, "order.confirmed", state="confirmed"),
        order_event(2, "order.confirmed", state="confirmed", **dollars),
        order_event(3, "order.cancelled", state="cancelled"),
    )
    await settle(relay)
    assert ids(await confirmed.drained()) == [told[1].id]
    assert ids(await cancelled.drained()) == [told[3].id]
    assert set(ids(await everything.drained())) == {event.id for event in told}
    await channels.close()


async def test_events_of_an_order_are_published_in_order_and_many_orders_share_a_call(
    shop: Shop, opened: Open, way: Way
) -> None:
    """Without batches a busy day would cost ten times the calls."""
    told = await happen(
        shop,
        *(
            order_event(number, kind)
            for kind in ("order.placed", "order.confirmed", "order.shipped")
            for number in range(30)
        ),
    )
    await settle(opened.relay)
    got = await opened.orders.drained()
    assert Counter(ids(got)) == Counter(ids(told))
    for number in range(30):
        assert of_order(got, number) == [one.id for one in told if one.subject == f"order:{number}"]
    assert max(len(batch) for batch in way.batches) == 10
    assert len(way.batches) < len(told) / 3


async def test_only_the_messages_that_were_refused_are_sent_again(
    shop: Shop, opened: Open, way: Way
) -> None:
    told = await happen(
        shop,
        *(order_event(number) for number in range(8)),
        order_event(3, "order.confirmed"),
        order_event(4, "order.confirmed"),
    )
    way.refused = {told[3].id: "InternalError"}
    await settle(opened.relay)
    waiting = {told[3].id, told[8].id}
    got = await opened.orders.drained()
    assert set(ids(got)) == set(ids(told)) - waiting
    assert {one.event_id for one in await deliveries(shop, "sns-orders", "failing")} == waiting
    way.refused = {}
    shop.clock.advance(seconds=6)
    await settle(opened.relay)
    assert ids(await opened.orders.drained()) == [told[3].id, told[8].id]
    assert await deliveries(shop, "sns-orders", "failing") == []


async def test_a_message_that_sns_will_never_take_waits_for_an_admin_and_holds_up_nothing(
    shop: Shop, opened: Open, way: Way
) -> None:
    told = await happen(shop, order_event(1), order_event(1, "order.confirmed"), order_event(2))
    way.refused = {told[0].id: "InvalidParameter"}
    await settle(opened.relay)
    assert set(ids(await opened.orders.drained())) == {told[1].id, told[2].id}
    (dead,) = await deliveries(shop, "sns-orders", "dead")
    assert (dead.event_id, dead.error) == (told[0].id, "SNS refuses it: not this one")


async def test_a_message_that_sns_says_nothing_of_is_sent_again(
    shop: Shop, opened: Open, way: Way
) -> None:
    """Taken for delivered, it would be lost."""
    (told,) = await happen(shop, order_event(1))
    way.before = lambda params: (
        (200, b"<PublishBatchResponse><PublishBatchResult/></PublishBatchResponse>")
        if params["Action"] == "PublishBatch"
        else None
    )
    await settle(opened.relay)
    (failing,) = await deliveries(shop, "sns-orders", "failing")
    assert failing.error == "SNS said nothing of this message"
    way.before = lambda params: None
    shop.clock.advance(seconds=6)
    await settle(opened.relay)
    assert ids(await opened.orders.drained()) == [told.id]


async def test_nothing_is_lost_while_sns_is_away_for_ten_minutes(
    shop: Shop, opened: Open, way: Way
) -> None:
    """Orders go on meanwhile; afterwards every event arrives once, in order per order."""
    lamp = await shop.sell("LAMP", stock=500, low_stock_threshold=450)
    await way.close()
    orders = []
    for half_minute in range(20):
        for _ in range(3):
            placed = await shop.checkout.place(a_call(), a_request(("LAMP", 1)))
            orders.append(placed.order)
        if half_minute % 2:
            await shop.order_changes.confirm(a_call(), orders[-2].id)
        await settle(opened.relay)
        shop.clock.advance(seconds=30)
    await shop.order_changes.cancel(a_call(), orders[-1].id)
    await way.open()
    for _ in range(40):
        shop.clock.advance(minutes=5)
        await settle(opened.relay)
    stored = [one.event for one in await shop.store.events_after(0, 1_000)]
    told = [event for event in stored if event.kind.startswith("order.")]
    got = await opened.orders.drained()
    assert len(told) == 60 + 10 + 1
    assert Counter(ids(got)) == Counter(ids(told))
    for order in orders:
        assert [one.body["id"] for one in got if one.body["subject"] == order.reference] == [
            event.id for event in told if event.subject == order.reference
        ]
    (alert,) = await opened.stock.drained()
    assert alert.body["data"]["product_id"] == lamp.id
    assert await deliveries(shop, "sns-orders", "failing") == []
    assert await deliveries(shop, "sns-orders", "dead") == []


async def test_a_topic_that_keeps_order_gets_the_order_as_its_group(shop: Shop, fifo: Open) -> None:
    told = await happen(
        shop,
        *(
            order_event(number, kind)
            for kind in ("order.placed", "order.confirmed")
            for number in range(15)
        ),
    )
    await settle(fifo.relay)
    got = await fifo.orders.drained()
    assert Counter(ids(got)) == Counter(ids(told))
    for one in got:
        assert one.attributes["MessageGroupId"] == one.body["subject"]
        assert one.attributes["MessageDeduplicationId"] == one.body["id"]
    for number in range(15):
        assert of_order(got, number) == [one.id for one in told if one.subject == f"order:{number}"]


async def test_an_answer_that_is_lost_makes_no_second_message_on_a_topic_that_keeps_order(
    shop: Shop, fifo: Open, way: Way
) -> None:
    told = await happen(shop, *(order_event(number) for number in range(5)))
    way.loses_answers = True
    await settle(fifo.relay)
    assert len(await deliveries(shop, "sns-orders", "failing")) == 5
    way.loses_answers = False
    for _ in range(3):
        shop.clock.advance(seconds=30)
        await settle(fifo.relay)
    assert Counter(ids(await fifo.orders.drained())) == Counter(ids(told))


async def test_messages_that_are_large_together_go_in_several_calls(
    shop: Shop, opened: Open, way: Way
) -> None:
    """SNS takes 256 KB in one call."""
    told = await happen(
        shop, *(order_event(number, tracking_number="x" * 60_000) for number in range(12))
    )
    await settle(opened.relay)
    assert Counter(ids(await opened.orders.drained())) == Counter(ids(told))
    sizes = [sum(map(len, batch)) for batch in way.batches]
    assert max(sizes) <= 262_144
    assert max(len(batch) for batch in way.batches) == 4


async def test_a_message_that_is_too_large_is_not_sent_and_says_so(
    shop: Shop, opened: Open, way: Way
) -> None:
    told = await happen(shop, order_event(1, tracking_number="x" * 300_000), order_event(2))
    await settle(opened.relay)
    assert ids(await opened.orders.drained()) == [told[1].id]
    (dead,) = await deliveries(shop, "sns-orders", "dead")
    assert dead.error.startswith("the message has 300,")
    assert dead.error.endswith("bytes, and SNS takes 262,144 at most")


async def test_a_topic_that_takes_less_at_once_gets_its_messages_one_by_one(
    shop: Shop, opened: Open, way: Way
) -> None:
    told = await happen(shop, *(order_event(number) for number in range(6)))
    way.before = lambda params: (
        (400, refusal("BatchRequestTooLong"))
        if "PublishBatchRequestEntries.member.2.Id" in params
        else None
    )
    await settle(opened.relay)
    assert Counter(ids(await opened.orders.drained())) == Counter(ids(told))


async def test_an_event_that_does_not_fit_the_schema_is_kept_for_an_admin(
    shop: Shop, opened: Open
) -> None:
    """Sent, it would break a promise to whoever reads the topic."""
    await happen(shop, an_event("order:1", "order.placed", order_id="1"))
    await settle(opened.relay)
    (dead,) = await deliveries(shop, "sns-orders", "dead")
    assert dead.error.startswith("the event doesn't fit the schema: ")
    assert await opened.orders.drained() == []


async def test_events_about_accounts_and_products_stay_in_the_shop(
    shop: Shop, opened: Open, way: Way
) -> None:
    await happen(
        shop,
        an_event("account:1", "account.password_reset_requested", account_id="1", link="x"),
        an_event("product:1", "product.updated", product_id="1"),
    )
    await settle(opened.relay)
    assert way.calls == []


async def test_topics_hold_each_other_up_in_nothing(shop: Shop, aws: Engine, way: Way) -> None:
    stock = await aws.topic()
    channels = channels_of(shop, way, f"{stock}-that-is-missing", stock)
    relay = await a_relay(shop, *channels.sinks)
    queue = await aws.subscribe(stock)
    await happen(shop, *(order_event(number) for number in range(30)))
    alert = an_event("product:1", "stock.low", product_id="1", available=1, threshold=2)
    await happen(shop, alert)
    await settle(relay)
    (got,) = await queue.drained()
    assert (got.body["id"], got.body["data"]["sku"]) == (alert.id, None)
    assert got.envelope["Subject"] == "Low stock: 1 left of product 1"
    await channels.close()
