"""A node of a shop on DynamoDB that nobody asks looks seldom; whoever asks it then must not notice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.errors import StoreUnavailable
from storekeeper.store.dynamodb import store as module
from storekeeper.store.dynamodb.log import Log
from storekeeper.store.port import ProductQuery, Store
from tests.contract.engines import dynamodb
from tests.support.shop import Shop, shop_at

PATIENCE_S = 30.0


@pytest.fixture(autouse=True)
def _nodes_rest_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is seen then was looked for because somebody asked."""
    monkeypatch.setattr(module, "IDLE_S", 3_600.0)
    monkeypatch.setattr(module, "TRUSTED_S", 3_600.0)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Shop]:
    async with shop_at(dynamodb, tmp_path) as shop:
        yield shop


@pytest.fixture
async def there(here: Shop, tmp_path: Path) -> AsyncIterator[Shop]:
    async with shop_at(dynamodb, tmp_path, clock=here.clock, node=1) as shop:
        yield shop


async def edited(shop: Shop, product: Product, name: str) -> Product:
    """The product under another name, committed."""
    after = msgspec.structs.replace(product, name=name, version=product.version + 1)
    await shop.store.commit(ChangeSet(puts=(Put(after),)))
    return after


async def names(store: Store) -> list[str]:
    return [listed.product.name for listed in (await store.products(ProductQuery())).items]


async def long_enough() -> None:
    """Nobody asks the node for twice as long as it goes on looking."""
    await asyncio.sleep(2 * module.FOLLOW_S)


async def test_the_first_page_after_a_rest_shows_what_other_nodes_did(
    here: Shop, there: Shop
) -> None:
    mug = await here.sell("MUG")
    await there.store.catch_up()
    await edited(here, mug, "The new mug")
    await long_enough()
    assert await names(there.store) == ["The new mug"]


async def test_a_node_trusts_nothing_that_it_remembers_from_before_a_rest(
    here: Shop, there: Shop
) -> None:
    """An account that lost its rights elsewhere would keep them here until somebody looks."""
    mug = await here.sell("MUG")
    await there.store.catch_up()
    async with asyncio.timeout(PATIENCE_S):
        while there.store.stamp("catalog", mug.id) == there.store.stamp("catalog", mug.id):
            await long_enough()
    await there.store.catch_up()

    async def trusted() -> bool:
        await asyncio.sleep(0.01)
        return there.store.stamp("catalog", mug.id) == there.store.stamp("catalog", mug.id)

    async with asyncio.timeout(PATIENCE_S):
        while not await trusted():
            pass


async def test_pages_are_shown_while_the_log_cannot_be_asked(
    here: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Customers who only look around lose nothing by an outage."""

    async def away(*_: object) -> None:
        raise StoreUnavailable("DynamoDB is away")

    mug = await here.sell("MUG")
    monkeypatch.setattr(Log, "fetch", away)
    await long_enough()
    assert await names(here.store) == [mug.name]
    with pytest.raises(StoreUnavailable):
        await here.store.get(Product, mug.id)
