"""The whole life of orders and stock, in every order that Hypothesis can think of.

After each step: (1) nothing is promised that isn't there, (2) levels, ledger and orders agree,
(3) a refusal changed nothing, (5) one key is one order, (8) one alert per crossing.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections import Counter
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from storekeeper.domain import events
from storekeeper.domain.changes import ChangeSet, Put, Short
from storekeeper.domain.errors import (
    InsufficientStock,
    KeyReused,
    OrderExpired,
    OrderState,
    TooMany,
)
from storekeeper.domain.orders import LineQuantity, Order
from storekeeper.domain.types import LocationId, OrderId, ProductId
from storekeeper.services.base import Call
from storekeeper.services.checkout import Placed, PlaceOrder
from tests.contract.engines import ENGINES
from tests.contract.order_model import Model, ModelLine, ModelProduct
from tests.support.builders import (
    BY_STAFF,
    a_call,
    a_customer,
    a_location,
    a_product,
    a_request,
    an_order,
    creating,
    moving,
)
from tests.support.shop import Engine, outcomes, shop_at

T = TypeVar("T")
LOCATIONS = ("attic", "main")
PRODUCTS = {
    "product-MUG": ModelProduct(threshold=3),
    "product-TEA": ModelProduct(threshold=0),
    "product-LATER": ModelProduct(backorder=True, threshold=2),
    "product-VOUCHER": ModelProduct(tracked=False),
}
SKUS = tuple(id.removeprefix("product-") for id in PRODUCTS)
TRACKED = tuple(id for id, product in PRODUCTS.items() if product.tracked)
RESERVATION = timedelta(minutes=15)

baskets = st.lists(st.tuples(st.sampled_from(SKUS), st.integers(1, 4)), min_size=1, max_size=4)
places = st.sampled_from(LOCATIONS)
some = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), min_size=1, max_size=3)


class OrderLife(RuleBasedStateMachine):
    """The shop beside its model. Rules do the same to both and compare what comes of it."""

    orders: Bundle[str] = Bundle("orders")
    keys: Bundle[tuple[str, PlaceOrder, str]] = Bundle("keys")

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.stack = AsyncExitStack()
        place = Path(self.folder.name)
        self.shop = self.run(self.stack.enter_async_context(shop_at(engine, place)))
        self.checkout = self.shop.checkout
        self.order_changes = self.shop.order_changes
        self.model = Model(PRODUCTS, LOCATIONS)
        self.key_numbers = itertools.count()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()
        self.folder.cleanup()

    @initialize()
    def open_the_shop(self) -> None:
        self.products = {
            id: a_product(
                id.removeprefix("product-"),
                track_stock=product.tracked,
                allow_backorder=product.backorder,
                low_stock_threshold=product.threshold,
            )
            for id, product in PRODUCTS.items()
        }
        locations = tuple(
            Put(a_location(place, priority)) for priority, place in enumerate(LOCATIONS)
        )
        self.run(
            self.shop.store.commit(creating(*self.products.values()) + ChangeSet(puts=locations))
        )

    @rule(product=st.sampled_from(TRACKED), place=places, units=st.integers(1, 9))
    def receive(self, product: str, place: str, units: int) -> None:
        self.run(self.shop.store.commit(moving(product, units, location=place)))
        self.model.receive(product, place, units)

    @rule(product=st.sampled_from(TRACKED), place=places, units=st.integers(1, 5))
    def write_off(self, product: str, place: str, units: int) -> None:
        """Breakage: refused where it would take what is promised."""
        work = self.shop.store.commit(moving(product, -units, location=place))
        if self.model.can_move(product, place, -units):
            self.run(work)
            self.model.receive(product, place, -units)
        else:
            self.expect(Short, work)

    @rule(target=orders, basket=baskets, confirm=st.booleans())
    def place(self, basket: list[tuple[str, int]], confirm: bool) -> Any:
        placed = self.try_to_place(a_call(), basket, confirm)
        return placed.order.id if placed else multiple()

    @rule(target=keys, basket=baskets, confirm=st.booleans())
    def place_with_a_key(self, basket: list[tuple[str, int]], confirm: bool) -> Any:
        key = f"key-{next(self.key_numbers)}"
        placed = self.try_to_place(a_call(key, "hash"), basket, confirm)
        if placed is None:
            return multiple()
        return key, a_request(*basket, confirm=confirm), placed.order.id

    @rule(target=orders, made=consumes(keys))
    def go_on_with(self, made: tuple[str, PlaceOrder, str]) -> str:
        return made[2]

    @rule(made=keys)
    def try_again(self, made: tuple[str, PlaceOrder, str]) -> None:
        """The answer was lost on the way: the same order is the answer again."""
        key, request, id = made
        again = self.run(self.checkout.place(a_call(key, "hash"), request))
        assert again.is_replay
        assert again.order.id == id

    @rule(made=keys, basket=baskets)
    def send_something_else_with_the_same_key(
        self, made: tuple[str, PlaceOrder, str], basket: list[tuple[str, int]]
    ) -> None:
        self.expect(KeyReused, self.checkout.place(a_call(made[0], "other"), a_request(*basket)))

    @rule(
        target=orders,
        id=st.sampled_from(TRACKED),
        place=places,
        wanted=st.lists(st.integers(1, 4), max_size=6),
        confirm=st.booleans(),
    )
    def place_many_at_once(self, id: str, place: str, wanted: list[int], confirm: bool) -> Any:
        """One batch at one location: who comes first is served, each with all or nothing."""
        product = self.products[id]
        step = self.shop.tools.step(a_customer())
        expires_at = self.shop.clock() + RESERVATION
        placings = [
            an_order(
                (product, units),
                step=step,
                location=place,
                confirm=confirm,
                expires_at=expires_at,
            )
            for units in wanted
        ]
        answers = self.run(outcomes(self.shop.store, [change for _, change in placings]))
        placed = []
        for (order, _), units, answer in zip(placings, wanted, answers, strict=True):
            if self.model.can_move(id, place, -units):
                assert answer is None
                self.model.place(order, confirm=confirm, expires_at=self.expiry())
                placed.append(order.id)
            else:
                assert isinstance(answer, Short)
        return multiple(*placed)

    @rule(id=orders)
    def confirm(self, id: str) -> None:
        order = self.model.orders[id]
        work = self.order_changes.confirm(BY_STAFF, OrderId(id))
        if order.state == "pending" and order.expires_at <= self.now():
            self.expect(OrderExpired, work)
        elif order.state == "pending":
            self.run(work)
            self.model.confirm(id)
        elif order.state == "expired":
            self.expect(OrderExpired, work)
        elif order.state == "cancelled":
            self.expect(OrderState, work)
        else:
            self.changes_nothing(id, work)

    @rule(id=orders)
    def cancel(self, id: str) -> None:
        state = self.model.orders[id].state
        work = self.order_changes.cancel(BY_STAFF, OrderId(id))
        if state in ("pending", "confirmed", "partially_shipped"):
            self.run(work)
            self.model.cancel(id)
        elif state == "cancelled":
            self.changes_nothing(id, work)
        else:
            self.expect(OrderState, work)

    @rule(id=orders, place=st.one_of(st.none(), places))
    def ship_all(self, id: str, place: str | None) -> None:
        units = {n: line.unshipped for n, line in self.model.orders[id].lines.items()}
        self.ship(id, place, None, units, self.model.parcels(id, units, place))

    @rule(id=orders, place=st.one_of(st.none(), places), some=some)
    def ship_some(self, id: str, place: str | None, some: list[tuple[int, int]]) -> None:
        lines, units = self.pick(id, some)
        parcels = {place: units} if place else self.model.parcels(id, units)
        self.ship(id, place, lines, units, parcels)

    @rule(id=orders)
    def deliver(self, id: str) -> None:
        order = self.model.orders[id]
        work = self.order_changes.deliver(BY_STAFF, OrderId(id))
        if order.state in ("partially_shipped", "shipped", "partially_returned"):
            self.run(work)
            self.model.deliver(id)
        elif order.state == "delivered":
            self.changes_nothing(id, work)
        else:
            self.expect(OrderState, work)

    @rule(id=orders, place=places, some=some, restock=st.booleans())
    def take_back(self, id: str, place: str, some: list[tuple[int, int]], restock: bool) -> None:
        lines, units = self.pick(id, some)
        order = self.model.orders[id]
        work = self.order_changes.take_back(
            BY_STAFF, OrderId(id), lines=lines, location_id=LocationId(place), restock=restock
        )
        if order.state not in ("partially_shipped", "shipped", "delivered", "partially_returned"):
            self.expect(OrderState, work)
        elif any(n > left_to_return(order.lines[line]) for line, n in units.items()):
            self.expect(TooMany, work)
        else:
            self.run(work)
            self.model.take_back(id, place, units, restock=restock)

    @rule(minutes=st.integers(1, 20))
    def wait(self, minutes: int) -> None:
        self.shop.clock.advance(minutes=minutes)

    @rule()
    def sweep(self) -> None:
        """What was reserved too long is for sale again."""
        due = [
            id
            for id, order in self.model.orders.items()
            if order.state == "pending" and order.expires_at <= self.now()
        ]
        assert self.run(self.order_changes.expire_due()) == len(due)
        for id in due:
            self.model.release(id, "expired")

    @invariant()
    def levels_are_what_the_model_says_and_nothing_is_promised_twice(self) -> None:
        """Invariants 1 and 3."""
        kept = self.run(self.shop.store.levels([ProductId(id) for id in PRODUCTS]))
        told: dict[tuple[str, str], tuple[int, int]] = {
            (level.product_id, level.location_id): (level.on_hand, level.reserved) for level in kept
        }
        for key in itertools.product(TRACKED, LOCATIONS):
            on_hand, reserved = told.pop(key, (0, 0))
            assert (on_hand, reserved) == (self.model.on_hand[key], self.model.reserved[key])
            assert reserved >= 0
            assert on_hand >= reserved or PRODUCTS[key[0]].backorder
        assert not told

    @invariant()
    def ledger_and_orders_add_up(self) -> None:
        """Invariant 2."""
        assert self.run(self.shop.store.verify()) == []

    @invariant()
    def orders_are_what_the_model_says_and_each_is_there_once(self) -> None:
        """Invariants 3 and 5."""
        summary = self.run(self.shop.store.summary())
        states = Counter(order.state for order in self.model.orders.values())
        assert summary.orders == dict(states)
        kept = self.run(self.shop.store.get_many(Order, list(self.model.orders)))
        for id, order in self.model.orders.items():
            assert kept[id].state == order.state
            for line in kept[id].lines:
                expected = order.lines[line.id]
                found = (line.fulfilled, line.cancelled, line.returned)
                assert found == (expected.shipped, expected.cancelled, expected.returned)
                assert 0 <= line.returned <= line.fulfilled <= line.quantity - line.cancelled

    @invariant()
    def each_crossing_was_told_once(self) -> None:
        """Invariant 8."""
        stored = self.run(self.shop.store.events_after(0, 100_000))
        told = Counter(
            found.event.data["product_id"]
            for found in stored
            if found.event.kind == events.STOCK_LOW
        )
        assert told == self.model.alerts

    def ship(
        self,
        id: str,
        place: str | None,
        lines: list[LineQuantity] | None,
        units: dict[int, int],
        parcels: dict[str, dict[int, int]],
    ) -> None:
        order = self.model.orders[id]
        work = self.order_changes.ship(
            BY_STAFF, OrderId(id), lines=lines, location_id=LocationId(place) if place else None
        )
        if order.state not in ("confirmed", "partially_shipped"):
            self.expect(OrderState, work)
        elif not parcels or any(n > order.lines[line].unshipped for line, n in units.items()):
            self.expect(TooMany, work)
        elif not all(
            self.model.can_move(product, origin, -count)
            for origin, parcel in parcels.items()
            for product, count in self.model.relocations(id, origin, parcel).items()
        ):
            self.expect(InsufficientStock, work)
        else:
            sent = self.run(work).shipments[-len(parcels) :]
            assert [
                (one.location_id, {part.line_id: part.quantity for part in one.lines})
                for one in sent
            ] == list(parcels.items())
            for origin, parcel in parcels.items():
                self.model.ship(id, origin, parcel)

    def pick(
        self, id: str, some: list[tuple[int, int]]
    ) -> tuple[list[LineQuantity], dict[int, int]]:
        """Some units of some of the order's lines; one line may be named twice."""
        count = len(self.model.orders[id].lines)
        picked = [LineQuantity(line_id=n % count + 1, quantity=units) for n, units in some]
        units: Counter[int] = Counter()
        for line in picked:
            units[line.line_id] += line.quantity
        return picked, dict(units)

    def try_to_place(
        self, call: Call, basket: list[tuple[str, int]], confirm: bool
    ) -> Placed | None:
        wanted: Counter[str] = Counter()
        for sku, units in basket:
            wanted[f"product-{sku}"] += units
        work = self.checkout.place(call, a_request(*basket, confirm=confirm))
        if not self.model.can_place(wanted):
            self.expect(InsufficientStock, work)
            return None
        placed = self.run(work)
        assert not placed.is_replay
        self.model.place(placed.order, confirm=confirm, expires_at=self.expiry())
        return placed

    def now(self) -> float:
        return self.shop.clock().timestamp()

    def expiry(self) -> float:
        return (self.shop.clock() + RESERVATION).timestamp()

    def expect(self, error: type[Exception], work: Coroutine[Any, Any, Any]) -> None:
        with pytest.raises(error):
            self.run(work)

    def changes_nothing(self, id: str, work: Coroutine[Any, Any, Order]) -> None:
        before = self.run(self.shop.store.get(Order, id))
        assert self.run(work) == before


def left_to_return(line: ModelLine) -> int:
    return line.shipped - line.returned


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES.keys())
def test_orders_and_stock_live_as_the_model_says(engine: Engine) -> None:
    class Life(OrderLife):
        def __init__(self) -> None:
            super().__init__(engine)

    # The rules are one; on tables each step takes twenty times as long. `make soak` lives more.
    lives = settings().max_examples * (2 if engine is ENGINES["sqlite"] else 1)
    run_state_machine_as_test(Life, settings=settings(max_examples=lives))
