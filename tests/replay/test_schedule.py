"""Playing many happenings at once may never need stock that isn't there yet."""

from __future__ import annotations

import random
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from storekeeper.replay.happenings import (
    Adjustment,
    Bookkeeping,
    Happening,
    Line,
    Return,
    Sale,
    stock_changes,
)
from storekeeper.replay.matching import returned_claims
from storekeeper.replay.opening import opening_stock
from storekeeper.replay.schedule import Schedule

AT = datetime(2011, 1, 1, tzinfo=UTC)
SKUS = st.sampled_from(["10001", "10002", "10003", "POST"])
GOODS = st.sampled_from(["10001", "10002", "10003"])
CUSTOMERS = st.sampled_from(["a", "b", None])


@st.composite
def histories(draw) -> list[Happening]:
    """Sales, returns and corrections in any order, each with an invoice number of its own."""
    count = draw(st.integers(1, 30))
    return [draw(happening(f"{number:06}")) for number in range(count)]


def happening(invoice_no: str):
    def line(skus):
        return st.builds(Line, sku=skus, quantity=st.integers(1, 5), unit_price_pence=st.just(100))

    head = {
        "invoice_no": st.just(invoice_no),
        "at": st.just(AT),
        "customer_id": CUSTOMERS,
        "country": st.just("United Kingdom"),
    }
    return st.one_of(
        st.builds(Sale, **head, lines=st.lists(line(SKUS), min_size=1, max_size=3).map(tuple)),
        st.builds(
            Return,
            **head,
            lines=st.lists(line(GOODS), min_size=1, max_size=2).map(tuple),
            credits=st.just(()),
        ),
        st.builds(
            Adjustment,
            invoice_no=st.just(invoice_no),
            line=st.just(1),
            at=st.just(AT),
            sku=GOODS,
            quantity=st.integers(-5, 5).filter(bool),
            unit_price_pence=st.just(0),
            note=st.none(),
        ),
        st.just(Bookkeeping(invoice_no=invoice_no, at=AT, customer_id=None, lines=())),
    )


@given(histories(), st.integers(1, 8), st.randoms(use_true_random=False))
def test_on_hand_never_falls_below_zero_in_whatever_order_a_batch_is_played(
    history, size, chance: random.Random
):
    opening = opening_stock(history)
    on_hand = dict(opening)
    schedule = Schedule(opening, returned_claims(history), size=size)
    for batch in schedule.batches(history):
        chance.shuffle(batch)
        for act in batch:
            for sku, units in stock_changes(act.happening):
                on_hand[sku] = on_hand.get(sku, 0) + units
                assert on_hand[sku] >= 0


@given(histories(), st.integers(1, 8), st.integers(0, 30))
def test_a_resumed_schedule_goes_on_with_the_same_acts(history, size, skip):
    """Nothing is left out, nothing is played twice, and returns find the same orders."""
    opening, claims = opening_stock(history), returned_claims(history)
    whole = [
        act for batch in Schedule(opening, claims, size=size).batches(history) for act in batch
    ]
    resumed = Schedule(opening, claims, size=size)
    rest = [act for batch in resumed.batches(history, skip=skip) for act in batch]
    assert [act.happening for act in whole] == history
    assert rest == whole[skip:]


@given(histories(), st.integers(1, 8))
def test_a_return_is_played_after_the_orders_it_takes_back(history, size):
    schedule = Schedule(opening_stock(history), returned_claims(history), size=size)
    played: set[str] = set()
    for batch in schedule.batches(history):
        for act in batch:
            assert act.takes_back <= played
            assert act.takes_back <= set(schedule.sold)
        played.update(act.happening.invoice_no for act in batch)
        assert len(batch) <= size


def test_sales_that_the_stock_covers_are_played_together():
    sales = [
        Sale(
            invoice_no=f"{number}",
            at=AT,
            customer_id=None,
            country="France",
            lines=(Line(sku="10001", quantity=2, unit_price_pence=5),),
        )
        for number in range(100)
    ]
    schedule = Schedule(opening_stock(sales), frozenset(), size=64)
    assert [len(batch) for batch in schedule.batches(sales)] == [64, 36]
