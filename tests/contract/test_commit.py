"""A change set happens all together or not at all, whichever of its guards says no."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import (
    ChangeSet,
    Check,
    Claim,
    Delete,
    Impossible,
    LevelIs,
    LevelMoved,
    Put,
    Referenced,
    Release,
    Short,
    Stale,
    Taken,
)
from storekeeper.domain.errors import NotFound
from storekeeper.domain.stock import MAIN
from storekeeper.domain.types import ProductId
from storekeeper.domain.work import Setting
from storekeeper.store.port import MovementQuery, OrderQuery, Store
from tests.support.builders import (
    a_movement,
    a_product,
    an_event,
    an_order,
    changing,
    creating,
    deleting,
    moving,
    revised,
)
from tests.support.shop import Shop

MUG = a_product("MUG")
TEA = a_product("TEA")


def a_setting(id: str = "theme", version: int = 1, value: str = "dark") -> Setting:
    return Setting(id=id, version=version, value=value)


async def prepare(store: Store) -> None:
    """MUG with 10 units, TEA that an order refers to, a setting at version 2."""
    await store.commit(creating(MUG, TEA) + moving(MUG, 10) + moving(TEA, 1))
    await store.commit(an_order((TEA, 1), confirm=True)[1])
    await store.commit(ChangeSet(puts=(Put(a_setting()),)))
    await store.commit(ChangeSet(puts=(Put(a_setting(version=2)),)))


@dataclass(frozen=True)
class Refused:
    """A guard that doesn't hold after `prepare`, and what the store answers."""

    name: str
    change: Callable[[], ChangeSet]
    error: type[Exception]
    says: dict[str, Any]


GUARDS = [
    Refused(
        "a record that is there already",
        lambda: ChangeSet(puts=(Put(a_setting()),)),
        Stale,
        {"kind": "Setting", "id": "theme", "expected": 0, "actual": 2},
    ),
    Refused(
        "a record that somebody else changed",
        lambda: ChangeSet(puts=(Put(a_setting(version=2)),)),
        Stale,
        {"expected": 1, "actual": 2},
    ),
    Refused(
        "a change of a record that isn't there",
        lambda: ChangeSet(puts=(Put(a_setting("font", version=2)),)),
        Stale,
        {"expected": 1, "actual": 0},
    ),
    Refused(
        "a new product under an id in use",
        lambda: changing(a_product("CUP", id=MUG.id)),
        Stale,
        {"kind": "Product", "expected": 0, "actual": 1},
    ),
    Refused(
        "a check of a version that is past",
        lambda: ChangeSet(checks=(Check("Setting", "theme", 1),)),
        Stale,
        {"expected": 1, "actual": 2},
    ),
    Refused(
        "a check that a product isn't there",
        lambda: ChangeSet(checks=(Check("Product", MUG.id, 0),)),
        Stale,
        {"expected": 0, "actual": 1},
    ),
    Refused(
        "a check of an order that isn't there",
        lambda: ChangeSet(checks=(Check("Order", "none", 1),)),
        Stale,
        {"expected": 1, "actual": 0},
    ),
    Refused(
        "the removal of what changed since",
        lambda: ChangeSet(deletes=(Delete("Setting", "theme", 1),)),
        Stale,
        {"expected": 1, "actual": 2},
    ),
    Refused(
        "a value that somebody holds",
        lambda: ChangeSet(claims=(Claim(scope="sku", value="mug", owner="another"),)),
        Taken,
        {"claim": Claim(scope="sku", value="mug", owner=MUG.id)},
    ),
    Refused(
        "one value claimed twice",
        lambda: ChangeSet(
            claims=(
                Claim(scope="email", value="a@b.c", owner="ada"),
                Claim(scope="email", value="a@b.c", owner="bob"),
            )
        ),
        Taken,
        {"claim": Claim(scope="email", value="a@b.c", owner="ada")},
    ),
    Refused(
        "a count that a sale overtook",
        lambda: ChangeSet(levels=(LevelIs(MUG.id, MAIN, 11),)),
        LevelMoved,
        {"actual": 10},
    ),
    Refused(
        "a count where there is nothing",
        lambda: ChangeSet(levels=(LevelIs(ProductId("nothing"), MAIN, 1),)),
        LevelMoved,
        {"actual": 0},
    ),
    Refused("more units than there are", lambda: moving(MUG, reserved=11), Short, {}),
    Refused("more released than was reserved", lambda: moving(MUG, reserved=-1), Impossible, {}),
    Refused("the removal of a product with orders", lambda: deleting(TEA), Referenced, {}),
    Refused("the removal of a product with stock", lambda: deleting(MUG), Referenced, {}),
    Refused("stock of no product", lambda: moving("nothing", 1), NotFound, {}),
]


@pytest.mark.parametrize("refused", GUARDS, ids=lambda refused: refused.name)
async def test_a_guard_that_fails_is_named(store: Store, refused: Refused) -> None:
    await prepare(store)
    with pytest.raises(refused.error) as caught:
        await store.commit(refused.change())
    assert {name: getattr(caught.value, name) for name in refused.says} == refused.says


@pytest.mark.parametrize("refused", GUARDS, ids=lambda refused: refused.name)
async def test_nothing_of_a_refused_change_set_is_written(store: Store, refused: Refused) -> None:
    """Half a change would be a wrong stock, a lost claim or an announcement of nothing."""
    await prepare(store)
    before = await everything(store)
    new = a_product("NEW")
    around = (
        creating(new)
        + moving(new, 5)
        + an_order((new, 2))[1]
        + ChangeSet(
            puts=(Put(a_setting("colour")),),
            releases=(Release("sku", "tea"),),
            events=(an_event(),),
        )
    )
    # The order checks the product at the version it gets here; that guard isn't the one tried.
    around = ChangeSet(
        **{name: getattr(around, name) for name in ChangeSet.__struct_fields__ if name != "checks"}
    )
    with pytest.raises(refused.error):
        await store.commit(around + refused.change())
    assert await everything(store) == before
    assert await store.verify() == []


async def everything(store: Store) -> Any:
    """All that a reader can see."""
    products = [page async for page in store.scan(Product)]
    orders = await store.orders(OrderQuery())
    return (
        products,
        await store.levels([MUG.id, TEA.id, ProductId("product-NEW")]),
        orders.items,
        await store.list_all(Setting),
        await store.claims("sku", ["mug", "tea", "new"]),
        await store.claims("email", ["a@b.c"]),
        (await store.movements(MovementQuery())).items,
        await store.events_after(0, 100),
    )


async def test_all_of_a_change_set_is_there_together(store: Store) -> None:
    event = an_event("product:product-MUG")
    movement = a_movement(MUG, 5)
    await store.commit(
        creating(MUG) + ChangeSet(puts=(Put(a_setting()),), movements=(movement,), events=(event,))
    )
    assert await store.get(Product, MUG.id) == MUG
    assert await store.get(Setting, "theme") == a_setting()
    assert (await store.levels([MUG.id]))[0].on_hand == 5
    assert (await store.movements(MovementQuery())).items == (movement,)
    assert [stored.event for stored in await store.events_after(0, 10)] == [event]
    assert await store.products_by_sku(["mug"]) == {"mug": MUG}


async def test_a_change_set_of_nothing_is_taken(store: Store) -> None:
    await store.commit(ChangeSet())


async def test_every_shortage_is_named_at_once(store: Store) -> None:
    """A customer who is told of one line at a time has to come back for each."""
    await store.commit(creating(MUG, TEA) + moving(MUG, 3) + moving(MUG, 1, location="attic"))
    _, order = an_order(
        (MUG, 2),
        (MUG, 2),
        (TEA, 1),
        (MUG, 5),
        at={
            1: {MAIN: 2},
            2: {MAIN: 2},
            3: {MAIN: 1},
            4: {"attic": 5},
        },
    )
    with pytest.raises(Short) as caught:
        await store.commit(order)
    named = {
        (short.product_id, short.location_id): (short.requested, short.available)
        for short in caught.value.lines
    }
    assert named == {(MUG.id, MAIN): (4, 3), (TEA.id, MAIN): (1, 0), (MUG.id, "attic"): (5, 1)}


async def test_a_value_changes_hands_in_one_change_set(store: Store) -> None:
    """Two products swap their SKUs; neither is ever without one."""
    await store.commit(creating(MUG, TEA))
    mug, tea = revised(MUG, sku="TEA"), revised(TEA, sku="MUG")
    await store.commit(
        ChangeSet(
            puts=(Put(mug), Put(tea)),
            releases=(Release("sku", "mug"), Release("sku", "tea")),
            claims=(
                Claim(scope="sku", value="tea", owner=MUG.id),
                Claim(scope="sku", value="mug", owner=TEA.id),
            ),
        )
    )
    assert await store.products_by_sku(["mug", "tea"]) == {"mug": tea, "tea": mug}


async def test_a_released_value_can_be_claimed_by_another(store: Store) -> None:
    await store.commit(ChangeSet(claims=(Claim(scope="email", value="a@b.c", owner="ada"),)))
    await store.commit(ChangeSet(releases=(Release("email", "a@b.c"),)))
    assert await store.claim("email", "a@b.c") is None
    bob = Claim(scope="email", value="a@b.c", owner="bob", note="second")
    await store.commit(ChangeSet(claims=(bob,)))
    assert await store.claim("email", "a@b.c") == bob


async def test_the_same_value_in_two_scopes_is_two_claims(store: Store) -> None:
    first = Claim(scope="email", value="x", owner="ada")
    second = Claim(scope="sku", value="x", owner="mug")
    await store.commit(ChangeSet(claims=(first, second)))
    assert await store.claims("email", ["x"]) == {"x": first}
    assert await store.claims("sku", ["x"]) == {"x": second}


async def test_a_removed_record_is_gone_and_can_come_back(store: Store) -> None:
    await store.commit(ChangeSet(puts=(Put(a_setting()),)))
    await store.commit(ChangeSet(deletes=(Delete("Setting", "theme", 1),)))
    assert await store.get(Setting, "theme") is None
    await store.commit(ChangeSet(puts=(Put(a_setting(value="light")),)))
    assert await store.get(Setting, "theme") == a_setting(value="light")


async def test_a_deleted_product_leaves_no_trace_but_its_ledger(shop: Shop) -> None:
    """Its SKU is free, no list shows it, and what once happened to it can still be read."""
    store = shop.store
    mug = await shop.sell("MUG", stock=3, tags=("new",), low_stock_threshold=5)
    await store.commit(moving(mug, -3))
    await store.commit(deleting(mug))
    assert await store.get(Product, mug.id) is None
    assert await store.listed([mug.id]) == {}
    assert await store.products_by_sku(["mug"]) == {}
    assert await store.low_count() == 0
    assert (await store.low_stock()).items == ()
    assert [page async for page in store.scan(Product)] == []
    moved = await store.movements(MovementQuery(product_id=mug.id))
    assert [movement.on_hand for movement in moved.items] == [-3, 3]
    with pytest.raises(NotFound):
        await store.commit(moving(mug, 1))
    again = await shop.sell("MUG", id="another-id")
    assert await store.products_by_sku(["mug"]) == {"mug": again}
    assert await store.verify() == []


async def test_a_count_that_still_stands_is_taken(store: Store) -> None:
    await store.commit(creating(MUG) + moving(MUG, 10))
    await store.commit(ChangeSet(levels=(LevelIs(MUG.id, MAIN, 10),)) + moving(MUG, -2))
    assert (await store.levels([MUG.id]))[0].on_hand == 8
