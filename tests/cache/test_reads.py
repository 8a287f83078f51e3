"""What is remembered is what the node's own store would say, on one machine and on several."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from storekeeper.cache.memory import MemoryCache
from storekeeper.cache.port import Cache, Outcome, What
from storekeeper.domain.errors import NotFound
from storekeeper.services.product_reads import ProductReads
from storekeeper.store.port import Listed, ProductQuery
from storekeeper.store.sqlite.stamps import Stamps
from tests.contract.engines import ENGINES
from tests.support.builders import a_product, changing, creating, deleting, moving, revised
from tests.support.shop import Engine, Shop, shop_at

QUERY = ProductQuery()


@pytest.fixture(params=sorted(ENGINES))
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]


@dataclass
class Node:
    """One process of a shop, its reads, and where their answers came from."""

    shop: Shop
    reads: ProductReads
    outcomes: Counter[str]

    async def price(self, id: str = "product-MUG") -> int:
        return (await self.reads.product(id)).product.price.amount  # type: ignore[arg-type]

    async def true(self, id: str) -> Listed:
        return (await self.shop.store.listed([id]))[id]  # type: ignore[list-item,index]


@asynccontextmanager
async def node(
    engine: Engine, place: Path, number: int, *, far: Cache | None, near: Cache | None = None
) -> AsyncIterator[Node]:
    outcomes: Counter[str] = Counter()

    def count(what: What, outcome: Outcome) -> None:
        outcomes[outcome] += 1

    async with shop_at(engine, place, node=number) as shop:
        # A log is followed from the first question on.
        await shop.store.catch_up()
        reads = ProductReads(shop.store, shop.clock, near=near, far=far, count=count)
        yield Node(shop, reads, outcomes)
        await reads.settle()


async def test_what_one_node_has_read_the_other_need_not_ask_for(
    engine: Engine, tmp_path: Path
) -> None:
    shared = MemoryCache()
    async with (
        node(engine, tmp_path, 0, far=shared) as first,
        node(engine, tmp_path, 1, far=shared) as second,
    ):
        mug = await first.shop.sell("MUG", stock=5)
        await second.shop.store.catch_up()
        told = await first.reads.product(mug.id)
        await first.reads.settle()
        assert await second.reads.product(mug.id) == told == await second.true(mug.id)
        assert second.outcomes == {"far": 1}


async def test_a_change_on_one_node_is_never_hidden_by_what_was_kept(
    engine: Engine, tmp_path: Path
) -> None:
    """At once where it was made; elsewhere as soon as that node's own store knows."""
    shared = MemoryCache()
    async with (
        node(engine, tmp_path, 0, far=shared, near=MemoryCache()) as first,
        node(engine, tmp_path, 1, far=shared, near=MemoryCache()) as second,
    ):
        mug = await first.shop.sell("MUG", stock=5, price=999)
        await second.shop.store.catch_up()
        for one in (first, second, first, second):
            assert await one.price() == 999
        await first.shop.store.commit(changing(revised(mug, price=1_500)))
        assert await first.price() == 1_500
        await second.shop.store.catch_up()
        assert await second.price() == 1_500
        await second.shop.store.commit(moving(mug, 7))
        assert (await second.reads.product(mug.id)).stock.on_hand == 12
        await first.shop.store.catch_up()
        assert (await first.reads.product(mug.id)).stock.on_hand == 12


async def test_an_old_value_that_comes_back_is_not_believed(engine: Engine, tmp_path: Path) -> None:
    """A cache that was away while a price changed comes back with the old one."""
    shared = MemoryCache()
    async with node(engine, tmp_path, 0, far=shared) as first:
        mug = await first.shop.sell("MUG", stock=5, price=999)
        assert await first.price() == 999
        await first.reads.settle()
        old = await shared.get(f"product:id:{mug.id}")
        assert old is not None
        await first.shop.store.commit(changing(revised(mug, price=1_500)))
        assert await first.price() == 1_500
        await first.reads.settle()
        await shared.put(f"product:id:{mug.id}", old, 60)
        assert await first.price() == 1_500
        assert first.outcomes["stale"] >= 1


async def test_any_mix_of_changes_and_looks_shows_what_the_store_says(
    engine: Engine, tmp_path: Path
) -> None:
    shared = MemoryCache()
    draw = random.Random(7)
    async with AsyncExitStack() as nodes:
        shops = [
            await nodes.enter_async_context(
                node(engine, tmp_path, number, far=shared, near=MemoryCache())
            )
            for number in range(2)
        ]
        products = [await shops[0].shop.sell(sku, stock=50) for sku in ("MUG", "LAMP", "CHAIR")]
        for _ in range(150):
            one = draw.choice(shops)
            place = draw.randrange(len(products))
            await one.shop.store.catch_up()
            kind = draw.randrange(4)
            if kind == 0:
                products[place] = revised(products[place], price=draw.randint(1, 5_000))
                await one.shop.store.commit(changing(products[place]))
            elif kind == 1:
                await one.shop.store.commit(moving(products[place], draw.randint(1, 5)))
            id = products[place].id
            assert await one.reads.product(id) == await one.true(id)
            assert await one.reads.page(QUERY) == await one.shop.store.products(QUERY)
        for one in shops:
            assert {"near", "far", "miss"} <= set(one.outcomes), one.outcomes


async def test_a_product_that_is_gone_is_gone(engine: Engine, tmp_path: Path) -> None:
    async with node(engine, tmp_path, 0, far=None, near=MemoryCache()) as first:
        product = a_product("MUG")
        await first.shop.store.commit(creating(product))
        assert await first.price() == 999
        await first.shop.store.commit(deleting(product))
        with pytest.raises(NotFound):
            await first.price()
        await first.shop.store.commit(creating(a_product("MUG", id="another", price=5)))
        assert (await first.reads.by_sku("mug", "MUG")).product.id == "another"


async def test_a_sku_that_goes_to_another_product_takes_its_page_along(
    engine: Engine, tmp_path: Path
) -> None:
    async with node(engine, tmp_path, 0, far=None, near=MemoryCache()) as first:
        product = a_product("MUG")
        await first.shop.store.commit(creating(product))
        assert (await first.reads.by_sku("mug", "MUG")).product.id == product.id
        await first.shop.store.commit(deleting(product) + creating(a_product("MUG", id="another")))
        assert (await first.reads.by_sku("mug", "MUG")).product.id == "another"


async def test_who_asks_at_the_same_time_asks_the_store_once(
    engine: Engine, tmp_path: Path
) -> None:
    async with node(engine, tmp_path, 0, far=None, near=MemoryCache()) as first:
        mug = await first.shop.sell("MUG", stock=5)
        await asyncio.gather(*(first.reads.product(mug.id) for _ in range(50)))
        assert first.outcomes == {"miss": 1}


async def test_who_waits_for_anothers_answer_misses_nothing_that_was_told_before(
    engine: Engine, tmp_path: Path
) -> None:
    """The answer under way was read before the change; whoever asks after it must see it."""
    async with node(engine, tmp_path, 0, far=None) as first:
        mug = await first.shop.sell("MUG", price=999)
        slow = _Slow(first.shop)
        reads = ProductReads(slow, first.shop.clock)  # type: ignore[arg-type]
        early = asyncio.create_task(reads.product(mug.id))
        await slow.has_read.wait()
        await first.shop.store.commit(changing(revised(mug, price=1_500)))
        late = asyncio.create_task(reads.product(mug.id))
        await asyncio.sleep(0)
        slow.may_answer.set()
        assert (await early).product.price.amount == 999
        assert (await late).product.price.amount == 1_500


class _Slow:
    """A store whose answers about products take until `may_answer`."""

    def __init__(self, shop: Shop) -> None:
        self._store = shop.store
        self.moment = shop.store.moment
        self.touched = shop.store.touched
        self.has_read = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def listed(self, ids: list[str]) -> object:
        found = await self._store.listed(ids)  # type: ignore[arg-type]
        self.has_read.set()
        await self.may_answer.wait()
        return found


@pytest.mark.parametrize(
    "lie",
    [
        b"",
        b"\xc1",
        b"{}",
        msgspec.msgpack.encode([9**15, 9e15, {"product": 1}]),
        msgspec.msgpack.encode(["1", 9e15, None]),
        msgspec.msgpack.encode([9**15, 9e15]),
        b"\x91" * 40_000,
    ],
)
async def test_what_can_not_be_read_is_a_miss(tmp_path: Path, lie: bytes) -> None:
    shared = MemoryCache()
    async with node(ENGINES["sqlite"], tmp_path, 0, far=shared) as first:
        mug = await first.shop.sell("MUG", price=999)
        await shared.put(f"product:id:{mug.id}", lie, 60)
        assert await first.price() == 999
        assert first.outcomes == {"stale": 1}


async def test_a_node_that_may_have_missed_something_remembers_nothing(tmp_path: Path) -> None:
    async with node(ENGINES["sqlite"], tmp_path, 0, far=None, near=MemoryCache()) as first:
        mug = await first.shop.sell("MUG", price=999)
        await first.price()
        first.shop.store.moment = lambda: None  # type: ignore[method-assign]
        assert (await first.reads.product(mug.id)).product.price.amount == 999
        assert first.outcomes == {"miss": 1}


async def test_near_its_end_an_answer_is_read_anew_by_one_and_given_to_the_rest(
    tmp_path: Path,
) -> None:
    """Otherwise all nodes would ask in the moment in which it ends."""
    async with node(ENGINES["sqlite"], tmp_path, 0, far=None, near=MemoryCache()) as first:
        await first.shop.sell("MUG", price=999)
        await first.price()
        first.shop.clock.advance(seconds=45)
        await first.price()
        assert first.outcomes == {"miss": 1, "near": 1}
        first.shop.clock.advance(seconds=14.9)
        await first.price()
        for _ in range(20):
            await first.price()
        assert first.outcomes["miss"] == 2


async def test_a_process_that_dies_before_it_has_told_of_a_change_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the commit and the word of it: others must not go on with what they have."""
    near = MemoryCache()
    async with (
        node(ENGINES["sqlite"], tmp_path, 0, far=None, near=near) as first,
        node(ENGINES["sqlite"], tmp_path, 1, far=None) as dying,
    ):
        mug = await first.shop.sell("MUG", price=999)
        assert await first.price() == 999
        tell = Stamps.bump

        def only_the_beginning(self: Stamps, slots: set[int], moment: int) -> None:
            if moment % 2:
                tell(self, slots, moment)

        monkeypatch.setattr(Stamps, "bump", only_the_beginning)
        monkeypatch.setattr(Stamps, "reach", lambda self, moment: None)
        await dying.shop.store.commit(changing(revised(mug, price=1_500)))
        monkeypatch.undo()
        assert await first.price() == 1_500
        await first.shop.sell("LAMP")
        assert await first.price() == 1_500


async def test_a_copy_of_a_shop_is_another_shop(tmp_path: Path) -> None:
    """Or yesterday's copy, tried out beside the shop, would answer from the shop's cache."""
    async with node(ENGINES["sqlite"], tmp_path / "one", 0, far=None) as first:
        await first.shop.sell("MUG")
        identity = first.shop.store.identity
        async with node(ENGINES["sqlite"], tmp_path / "one", 1, far=None) as worker:
            assert worker.shop.store.identity == identity
    copy = tmp_path / "two"
    copy.mkdir()
    for file in (tmp_path / "one").iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    async with node(ENGINES["sqlite"], copy, 0, far=None) as copied:
        assert copied.shop.store.identity != identity
