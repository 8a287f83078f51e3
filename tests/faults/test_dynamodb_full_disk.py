"""A replica whose disk is full: what the log took stands, is told so, and is seen when there is room.

Otherwise a customer who was told that nothing was done would order again, and be charged twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from storekeeper.domain.errors import StoreUnavailable
from storekeeper.domain.orders import Order
from tests.support.builders import an_order, moving
from tests.support.nodes import node
from tests.support.shop import Shop


@contextmanager
def full_disk(shop: Shop) -> Iterator[None]:
    """The replica's file takes no commit."""
    connection = shop.store._follower._connection  # type: ignore[attr-defined]

    def refuse() -> bool:
        raise apsw.FullError("database or disk is full")

    connection.set_commit_hook(refuse)
    try:
        yield
    finally:
        connection.set_commit_hook(None)


async def test_what_stands_in_the_log_is_done_though_the_replica_has_no_room(tmp_path: Path):
    async with node(tmp_path, 0) as full, node(tmp_path, 1) as other:
        mug = await full.sell("MUG", stock=10)
        first, change = an_order((mug, 4), id="first")
        second, refused = an_order((mug, 4), id="second")
        with full_disk(full):
            await full.store.commit(change)
            assert await other.store.get(Order, first.id) is not None
            # It can't know of itself what it holds, and so decides and tells nothing.
            with pytest.raises(StoreUnavailable, match="full"):
                await full.store.commit(refused)
            with pytest.raises(StoreUnavailable, match="full"):
                await full.store.get(Order, first.id)
            assert await other.store.get(Order, second.id) is None
        for shop in (full, other):
            assert await shop.store.get(Order, first.id) is not None
            assert (await shop.level(mug)).reserved == 4
            assert await shop.store.verify() == []
        await other.store.commit(moving(mug, 1))
        assert await full.on_hand(mug) == 11
        await full.store.commit(refused)
        assert (await other.level(mug)).reserved == 8
