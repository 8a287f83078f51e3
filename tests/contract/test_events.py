"""Events are told in the order of their commits; stamps tell caches when to look again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from storekeeper.domain.accounts import Account, Session
from storekeeper.domain.changes import ChangeSet, Delete, Put, Stale
from storekeeper.store.port import Store
from tests.support.builders import (
    a_location,
    a_product,
    a_session,
    an_account,
    an_event,
    changing,
    creating,
    deleting,
    moving,
    revised,
)
from tests.support.shop import Engine, Shop, outcomes, shop_at


def telling(*numbers: int) -> ChangeSet:
    return ChangeSet(events=tuple(an_event("order:1", number=number) for number in numbers))


async def numbers_of(store: Store, after: int = 0, limit: int = 1_000) -> list[int]:
    return [stored.event.data["number"] for stored in await store.events_after(after, limit)]


async def test_events_come_in_the_order_of_their_commits(store: Store) -> None:
    """A customer who hears of the delivery before the shipment is rightly confused."""
    await store.commit(telling(1, 2))
    await outcomes(store, [telling(3), telling(4, 5), telling(6)])
    await store.commit(telling(7))
    assert await numbers_of(store) == [1, 2, 3, 4, 5, 6, 7]
    places = [stored.seq for stored in await store.events_after(0, 100)]
    assert places == sorted(set(places))


async def test_a_reader_goes_on_where_it_stopped(store: Store) -> None:
    await store.commit(telling(*range(10)))
    read: list[int] = []
    at = 0
    while batch := await store.events_after(at, 3):
        read += [stored.event.data["number"] for stored in batch]
        at = batch[-1].seq
    assert read == list(range(10))
    assert at == await store.last_event_seq()


async def test_a_reader_beside_writers_misses_nothing(store: Store) -> None:
    """Events that appear behind the reader's place would never be delivered."""
    read: list[int] = []

    async def follow() -> None:
        at = 0
        while len(read) < 300:
            for stored in await store.events_after(at, 7):
                read.append(stored.event.data["number"])
                at = stored.seq

    async def write(start: int) -> None:
        for number in range(start, start + 30):
            await store.commit(telling(number))

    async with asyncio.timeout(30):
        await asyncio.gather(follow(), *(write(start) for start in range(0, 300, 30)))
    assert sorted(read) == list(range(300))
    assert read == await numbers_of(store)


async def test_an_event_is_kept_as_it_was_told(store: Store) -> None:
    event = an_event("product:x", kind="stock.low", available=3, nested={"a": [1, None, "é"]})
    await store.commit(ChangeSet(events=(event,)))
    (stored,) = await store.events_after(0, 10)
    assert stored.event == event
    assert await store.event_at(stored.seq) == stored
    assert await store.events_at([stored.seq, stored.seq + 1]) == {stored.seq: stored}
    assert await store.event_at(stored.seq + 1) is None


async def test_a_shop_without_events_says_so(store: Store) -> None:
    assert await store.last_event_seq() == 0
    assert await store.events_after(0, 10) == []


async def test_a_refused_change_set_announces_nothing(store: Store) -> None:
    with pytest.raises(Stale):
        await store.commit(telling(1) + changing(revised(a_product("MUG"))))
    assert await store.events_after(0, 10) == []


STAMPED: list[tuple[str, str, str, Any]] = [
    ("a new product", "catalog", "product-CUP", lambda mug: creating(a_product("CUP"))),
    ("a changed product", "catalog", "product-MUG", lambda mug: changing(revised(mug, price=1))),
    ("a deleted product", "catalog", "product-MUG", deleting),
    ("a location", "catalog", "locations", lambda _: ChangeSet(puts=(Put(a_location("attic")),))),
    ("an account", "accounts", "ada", lambda _: ChangeSet(puts=(Put(an_account()),))),
    ("a session", "accounts", "s1", lambda _: ChangeSet(puts=(Put(a_session("s1")),))),
]


@pytest.mark.parametrize(("what", "topic", "key", "change"), STAMPED, ids=[s[0] for s in STAMPED])
async def test_a_stamp_moves_on_every_node_before_the_commit_is_answered(
    engine: Engine, tmp_path: Path, what: str, topic: Any, key: str, change: Any
) -> None:
    """A price that was changed may not be sold at the old one by the node next door."""
    async with shop_at(engine, tmp_path) as shop, shop_at(engine, tmp_path, node=1) as neighbour:
        mug = await shop.sell("MUG")
        here, there = shop.store.stamp(topic, key), neighbour.store.stamp(topic, key)
        await shop.store.commit(change(mug))
        assert shop.store.stamp(topic, key) != here
        await neighbour.store.catch_up()
        assert neighbour.store.stamp(topic, key) != there


async def test_the_end_of_a_session_moves_its_stamp(store: Store) -> None:
    await store.commit(ChangeSet(puts=(Put(a_session("s1")),)))
    before = store.stamp("accounts", "s1")
    await store.commit(ChangeSet(deletes=(Delete(Session.__name__, "s1", 1),)))
    assert store.stamp("accounts", "s1") != before


async def test_selling_does_not_move_the_catalogue_s_stamps(shop: Shop) -> None:
    """Otherwise a flash sale would have every node read its products anew for each order."""
    mug = await shop.sell("MUG")
    before = shop.store.stamp("catalog", mug.id)
    await shop.store.commit(moving(mug, 5))
    assert shop.store.stamp("catalog", mug.id) == before


async def test_what_a_neighbour_commits_is_seen_at_once(engine: Engine, tmp_path: Path) -> None:
    async with shop_at(engine, tmp_path) as shop, shop_at(engine, tmp_path, node=1) as neighbour:
        mug = await shop.sell("MUG", stock=3)
        assert (await neighbour.level(mug)).on_hand == 3
        await neighbour.store.commit(moving(mug, -1))
        assert (await shop.level(mug)).on_hand == 2
        account = an_account()
        await neighbour.store.commit(ChangeSet(puts=(Put(account),)))
        assert await shop.store.get(Account, "ada") == account
