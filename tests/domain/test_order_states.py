"""The table of an order's states: what may happen in each, where it leads, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import get_args

import pytest

from storekeeper.domain import events, fulfilment, ordering
from storekeeper.domain.changes import ChangeSet
from storekeeper.domain.errors import NotFound, OrderExpired, OrderState, TooMany
from storekeeper.domain.ordering import Step
from storekeeper.domain.orders import LineQuantity, Order
from storekeeper.domain.orders import OrderState as State
from storekeeper.domain.stock import MAIN
from tests.support.builders import a_product, a_step, an_order
from tests.support.clock import START

MUG = a_product("MUG")
NOW = a_step(START + timedelta(minutes=1))
LATE = a_step(START + timedelta(minutes=15))
STATES: tuple[State, ...] = get_args(State)
Verb = Callable[[Order, Step], tuple[Order, ChangeSet]]


def units(count: int) -> list[LineQuantity]:
    return [LineQuantity(line_id=1, quantity=count)]


def ship(order: Order, step: Step, count: int = 2) -> tuple[Order, ChangeSet]:
    return fulfilment.ship(order, units(count), MAIN, step)


def take_back(order: Order, step: Step, count: int = 1) -> tuple[Order, ChangeSet]:
    return fulfilment.take_back(order, units(count), MAIN, step, restock=True)


def deliver(order: Order, step: Step) -> tuple[Order, ChangeSet]:
    return fulfilment.deliver(order, None, step)


def order_in(state: State) -> Order:
    """An order of four mugs that went the shortest way to `state`."""
    pending, _ = an_order((MUG, 4))
    if state == "pending":
        return pending
    if state == "expired":
        return ordering.expire(pending, LATE)[0]
    if state == "cancelled":
        return ordering.cancel(pending, NOW)[0]
    confirmed, _ = ordering.confirm(pending, NOW)
    if state == "confirmed":
        return confirmed
    if state == "partially_shipped":
        return ship(confirmed, NOW)[0]
    shipped, _ = ship(confirmed, NOW, 4)
    if state == "shipped":
        return shipped
    if state == "partially_returned":
        return take_back(shipped, NOW)[0]
    if state == "returned":
        return take_back(shipped, NOW, 4)[0]
    return deliver(shipped, NOW)[0]


VERBS: dict[str, Verb] = {
    "confirm": ordering.confirm,
    "cancel": ordering.cancel,
    "expire in time": ordering.expire,
    "expire late": lambda order, _: ordering.expire(order, LATE),
    "ship two": ship,
    "ship all": lambda order, step: fulfilment.ship(order, None, MAIN, step),
    "deliver": deliver,
    "return one": take_back,
    "return all": lambda order, step: fulfilment.take_back(order, None, MAIN, step, restock=True),
}
# Where each verb leads from each state; what isn't here is refused.
LEADS: dict[tuple[State, str], State] = {
    ("pending", "confirm"): "confirmed",
    ("pending", "cancel"): "cancelled",
    ("pending", "expire late"): "expired",
    ("confirmed", "cancel"): "cancelled",
    ("confirmed", "ship two"): "partially_shipped",
    ("confirmed", "ship all"): "shipped",
    ("partially_shipped", "cancel"): "shipped",
    ("partially_shipped", "ship two"): "shipped",
    ("partially_shipped", "ship all"): "shipped",
    ("partially_shipped", "deliver"): "partially_shipped",
    ("partially_shipped", "return one"): "partially_shipped",
    ("partially_shipped", "return all"): "partially_shipped",
    ("shipped", "deliver"): "delivered",
    ("shipped", "return one"): "partially_returned",
    ("shipped", "return all"): "returned",
    ("delivered", "return one"): "partially_returned",
    ("delivered", "return all"): "returned",
    ("partially_returned", "deliver"): "partially_returned",
    ("partially_returned", "return one"): "partially_returned",
    ("partially_returned", "return all"): "returned",
}


@pytest.mark.parametrize("state", STATES)
def test_every_state_can_be_reached(state: State) -> None:
    assert order_in(state).state == state


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("state", STATES)
def test_a_verb_leads_where_the_table_says_or_is_refused(state: State, verb: str) -> None:
    order = order_in(state)
    if (state, verb) in LEADS:
        changed, change = VERBS[verb](order, NOW)
        assert changed.state == LEADS[state, verb]
        assert change.puts[0].record == changed
        assert changed.version == order.version + 1
        assert len(change.events) == 1
        assert len(changed.timeline) == len(order.timeline) + 1
        assert changed.timeline[: len(order.timeline)] == order.timeline
    else:
        with pytest.raises((OrderState, OrderExpired)) as caught:
            VERBS[verb](order, NOW)
        assert caught.value.members["state"] == state


def test_the_last_moment_of_a_reservation_is_its_end() -> None:
    pending = order_in("pending")
    ordering.confirm(pending, a_step(LATE.now - timedelta(microseconds=1)))
    with pytest.raises(OrderExpired):
        ordering.confirm(pending, LATE)
    with pytest.raises(OrderState):
        ordering.expire(pending, a_step(LATE.now - timedelta(microseconds=1)))
    assert ordering.expire(pending, LATE)[0].state == "expired"


def test_a_confirmed_order_never_expires() -> None:
    assert order_in("confirmed").expires_at is None
    order, _ = an_order((MUG, 1), confirm=True)
    assert (order.state, order.expires_at) == ("confirmed", None)


def test_the_timeline_says_who_did_what_when() -> None:
    delivered = order_in("delivered")
    assert [(entry.kind, entry.by) for entry in delivered.timeline] == [
        (kind, "tester") for kind in ("placed", "confirmed", "shipped", "delivered")
    ]
    assert delivered.timeline[0].at == START
    assert delivered.timeline[1].at == NOW.now


def test_placing_with_confirm_tells_both() -> None:
    _, change = an_order((MUG, 1), confirm=True)
    assert [event.kind for event in change.events] == [
        events.ORDER_PLACED,
        events.ORDER_CONFIRMED,
    ]


def test_events_hold_nothing_personal() -> None:
    order, change = an_order((MUG, 1), email="ada@example.com", note="ring twice")
    assert "ada@example.com" not in str(change.events)
    assert "ring twice" not in str(change.events)
    assert change.events[0].subject == f"order:{order.id}"


def test_an_order_forgets_the_customer_once_and_keeps_what_it_was_sent_with() -> None:
    order, _ = ordering.cancel(order_in("confirmed"), NOW, "I moved")
    forgotten = ordering.without_personal_data(order, NOW)
    assert "I moved" not in repr(forgotten)
    assert ordering.without_personal_data(forgotten, NOW) is forgotten
    sent, _ = fulfilment.ship(order_in("confirmed"), None, MAIN, NOW, tracking_number="RM1")
    assert ordering.without_personal_data(sent, NOW) is sent


def test_one_of_two_shipments_delivered_leaves_the_order_on_its_way() -> None:
    half, _ = ship(order_in("confirmed"), NOW)
    whole, _ = ship(half, NOW)
    first, second = whole.shipments
    one_there, _ = fulfilment.deliver(whole, first.id, NOW)
    assert one_there.state == "shipped"
    assert fulfilment.deliver(one_there, first.id, NOW) == (one_there, ChangeSet())
    assert fulfilment.deliver(one_there, second.id, NOW)[0].state == "delivered"
    with pytest.raises(NotFound):
        fulfilment.deliver(whole, "none", NOW)


def test_more_units_than_there_are_can_t_be_shipped_or_returned() -> None:
    with pytest.raises(TooMany):
        ship(order_in("confirmed"), NOW, 5)
    with pytest.raises(TooMany):
        fulfilment.ship(order_in("confirmed"), [*units(3), *units(2)], MAIN, NOW)
    with pytest.raises(TooMany):
        take_back(order_in("partially_shipped"), NOW, 3)
    with pytest.raises(TooMany):
        take_back(order_in("partially_returned"), NOW, 4)
