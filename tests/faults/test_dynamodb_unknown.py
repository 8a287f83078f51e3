"""Who was not answered is told what is true: that it may have been done, or that it was not.

A customer who is told that nothing was done orders again.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from storekeeper.domain.errors import OutcomeUnknown, Overloaded, ShopError, StoreUnavailable
from storekeeper.domain.orders import Order
from storekeeper.store.dynamodb import follower, remote
from tests.api.shopfront import front_at, seed_shop
from tests.support import faulty_dynamodb as dynamo
from tests.support import local_engines
from tests.support.builders import an_order
from tests.support.faulty_dynamodb import Fault, FaultyDynamo
from tests.support.nodes import node
from tests.web.browser import visitor_at


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long here; what is waited for is the same."""
    monkeypatch.setattr(remote, "READ_S", 0.3)
    monkeypatch.setattr(remote, "PATIENCE_S", 1.0)
    monkeypatch.setattr(remote, "LONGEST_REST_S", 0.05)
    monkeypatch.setattr(follower, "REFUSING_S", 0.3)


@pytest.mark.parametrize(
    ("fault", "told", "is_done"),
    [
        (dynamo.SILENT_AFTER, OutcomeUnknown, True),
        (dynamo.RESET_AFTER, OutcomeUnknown, True),
        (dynamo.SILENT, OutcomeUnknown, False),
        (dynamo.BROKEN, OutcomeUnknown, False),
        (dynamo.THROTTLED, Overloaded, False),
        (dynamo.DENIED, StoreUnavailable, False),
    ],
    ids=lambda one: getattr(one, "name", ""),
)
async def test_an_order_without_an_answer_is_told_for_what_it_is(
    tmp_path: Path, fault: Fault, told: type[ShopError], is_done: bool
):
    with FaultyDynamo() as proxy:
        async with node(tmp_path, 0, proxy.url) as shop:
            mug = await shop.sell("MUG", stock=10)
            order, change = an_order((mug, 4), id="asked")
            late, waiting = an_order((mug, 4), id="never asked")
            proxy.fail("PutItem", fault, table="commits")
            with pytest.raises(told) as refused:
                await shop.store.commit(change)
            assert type(refused.value) is told
            # What comes shortly after isn't even sent, and that is known.
            with pytest.raises((StoreUnavailable, Overloaded)) as held_back:
                await shop.store.commit(waiting)
            assert not isinstance(held_back.value, OutcomeUnknown)
            proxy.heal()
            assert (await shop.store.get(Order, order.id) is not None) is is_done
            assert await shop.store.get(Order, late.id) is None


async def test_a_customer_is_told_to_look_before_ordering_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    local_engines.use_local_credentials(monkeypatch)
    for name in ("seed", "node"):
        (tmp_path / name).mkdir()
    seed = await asyncio.to_thread(seed_shop, tmp_path / "seed", "dynamodb")
    with FaultyDynamo() as proxy:
        async with (
            front_at(tmp_path / "node", seed, aws_endpoint_url=proxy.url) as front,
            visitor_at(front) as visitor,
        ):
            await visitor.log_in("ada")
            await visitor.go("/shop/account")
            proxy.fail("PutItem", dynamo.SILENT_AFTER, table="commits")
            answer = await front.place("ada")
            assert (answer.status_code, answer.json()["code"]) == (503, "outcome_unknown")
            assert "isn't known" in answer.json()["detail"]
            await asyncio.sleep(follower.REFUSING_S)
            page = await visitor.send("/shop/account", name="Ada L")
            assert page.status_code == 503
            assert "tell yet whether this was done" in page.text
            proxy.heal()
            orders = await front.http.get("/orders", headers=front.who("ada"))
            assert len(orders.json()["items"]) == 1, "the order that was asked for"
            assert "Ada L" in (await visitor.go("/shop/account")).text
