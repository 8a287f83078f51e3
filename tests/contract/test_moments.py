"""Moments: how caches of several processes and machines know which of their values are good."""

from __future__ import annotations

from pathlib import Path

from storekeeper.domain.changes import ChangeSet, Put
from tests.support.builders import a_session, an_account, an_order, changing, moving, revised
from tests.support.shop import Engine, Shop, shop_at


async def moment_of(shop: Shop) -> int:
    await shop.store.catch_up()
    found = shop.store.moment()
    assert found is not None
    return found


async def test_a_change_has_a_later_moment_than_all_that_was_read_before(shop: Shop) -> None:
    mug = await shop.sell("MUG", stock=5)
    await shop.store.commit(ChangeSet(puts=(Put(an_account("ada")),)))
    before = await moment_of(shop)
    for change, topic, key in (
        (moving(mug, 3), "stock", mug.id),
        (an_order((mug, 1))[1], "stock", mug.id),
        (changing(revised(mug, price=5)), "catalog", mug.id),
        (ChangeSet(puts=(Put(a_session("s1")),)), "accounts", "s1"),
        (ChangeSet(puts=(Put(an_account("ada", version=2)),)), "accounts", "ada"),
    ):
        assert shop.store.touched(topic, key) <= before  # type: ignore[arg-type]
        await shop.store.commit(change)
        after = await moment_of(shop)
        assert before < shop.store.touched(topic, key) <= after  # type: ignore[arg-type]
        before = after


async def test_what_has_not_changed_keeps_its_moment(shop: Shop) -> None:
    """Or nothing could be remembered for as long as anything is sold."""
    mug, lamp = await shop.sell("MUG", stock=5), await shop.sell("LAMP", stock=5)
    before = await moment_of(shop)
    for _ in range(3):
        await shop.store.commit(an_order((mug, 1))[1])
    assert shop.store.touched("stock", lamp.id) <= before
    assert shop.store.touched("catalog", mug.id) <= before


async def test_all_who_see_one_shop_count_alike(engine: Engine, tmp_path: Path) -> None:
    async with (
        shop_at(engine, tmp_path, node=1) as first,
        shop_at(engine, tmp_path, node=2) as second,
    ):
        mug = await first.sell("MUG", stock=5)
        await second.store.catch_up()
        await second.store.commit(moving(mug, 3))
        assert await moment_of(first) == await moment_of(second)
        assert first.store.identity == second.store.identity
        assert first.store.touched("stock", mug.id) == second.store.touched("stock", mug.id)


async def test_whoever_opens_the_shop_anew_believes_nothing_older(
    engine: Engine, tmp_path: Path
) -> None:
    """The process that was there before may have died before it told of its last change."""
    async with shop_at(engine, tmp_path, node=1) as first:
        mug = await first.sell("MUG", stock=5)
        earlier = await moment_of(first)
        await first.store.commit(moving(mug, 3))
        told = first.store.identity
    async with shop_at(engine, tmp_path, node=2) as second:
        assert await moment_of(second) > earlier
        assert second.store.touched("stock", mug.id) > earlier
        assert second.store.identity == told
