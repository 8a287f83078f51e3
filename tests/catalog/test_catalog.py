"""What an admin keeps in the catalogue is what customers find, and nothing is in it twice."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storekeeper.domain.errors import (
    AlreadyExists,
    Forbidden,
    InUse,
    Invalid,
    KeyReused,
    NotFound,
    PreconditionFailed,
)
from storekeeper.services.base import Call
from storekeeper.services.catalog import PricePatch, ProductPatch, merge_patch
from storekeeper.store.port import ProductQuery
from tests.catalog.desk import ADMIN, BY_ADMIN, CUSTOMER, STAFF, Desk
from tests.support.builders import details


async def test_a_sku_belongs_to_one_product_whatever_its_case(desk: Desk) -> None:
    await desk.create("Mug")
    with pytest.raises(AlreadyExists) as refusal:
        await desk.create("mUG")
    assert refusal.value.field == "sku"
    assert (await desk.catalog.by_sku(CUSTOMER, "MUG")).product.sku == "Mug"


async def test_a_renamed_product_gives_its_sku_back(desk: Desk) -> None:
    mug = await desk.create("MUG")
    await desk.catalog.patch(BY_ADMIN, mug.id, ProductPatch(sku="CUP"))
    again = await desk.create("MUG")
    assert again.id != mug.id
    with pytest.raises(AlreadyExists):
        await desk.catalog.patch(BY_ADMIN, mug.id, ProductPatch(sku="mug"))


async def test_a_sku_may_change_its_case(desk: Desk) -> None:
    mug = await desk.create("mug")
    listed = await desk.catalog.patch(BY_ADMIN, mug.id, ProductPatch(sku="MUG"))
    assert listed.product.sku == "MUG"


async def test_a_retry_with_the_same_key_makes_one_product(desk: Desk) -> None:
    call = Call(principal=ADMIN, key="once", fingerprint="a")
    first, second = await asyncio.gather(
        desk.catalog.create(call, details("MUG")), desk.catalog.create(call, details("MUG"))
    )
    assert first.product.id == second.product.id
    with pytest.raises(KeyReused):
        await desk.catalog.create(
            Call(principal=ADMIN, key="once", fingerprint="b"), details("CUP")
        )


async def test_two_admins_who_edit_the_same_version_do_not_overwrite_each_other(
    desk: Desk,
) -> None:
    mug = await desk.create("MUG")
    await desk.catalog.patch(BY_ADMIN, mug.id, ProductPatch(name="Blue mug"), if_match=1)
    with pytest.raises(PreconditionFailed) as refusal:
        await desk.catalog.patch(BY_ADMIN, mug.id, ProductPatch(name="Red mug"), if_match=1)
    assert refusal.value.members["current"] == 2


async def test_edits_at_the_same_time_all_arrive(desk: Desk) -> None:
    mug = await desk.create("MUG")
    patches = [ProductPatch(attributes={f"key {number}": "x"}) for number in range(8)]
    await asyncio.gather(*(desk.catalog.patch(BY_ADMIN, mug.id, patch) for patch in patches))
    product = (await desk.catalog.product(ADMIN, mug.id)).product
    assert len(product.attributes) == 8
    assert product.version == 9


async def test_a_change_that_changes_nothing_makes_no_new_version(desk: Desk) -> None:
    mug = await desk.create("MUG", category="Kitchen")
    same = await desk.catalog.replace(BY_ADMIN, mug.id, details("MUG", category="Kitchen"))
    assert same.product.version == 1
    assert (await desk.events()).count("product.updated") == 0


async def test_a_patch_keeps_what_it_does_not_name_and_null_takes_the_default(desk: Desk) -> None:
    mug = await desk.create(
        "MUG",
        description="Nice",
        category="Kitchen",
        tags=("new", "red"),
        attributes={"colour": "red", "size": "L"},
        low_stock_threshold=5,
    )
    patch = ProductPatch(
        description=None,
        category=None,
        tags=("sale",),
        attributes={"colour": None, "weight": "300 g"},
        low_stock_threshold=None,
        price=PricePatch(amount=1_250),
    )
    product = (await desk.catalog.patch(BY_ADMIN, mug.id, patch)).product
    assert product.name == mug.name
    assert (product.description, product.category, product.tags) == ("", None, ("sale",))
    assert product.attributes == {"size": "L", "weight": "300 g"}
    assert product.low_stock_threshold is None
    assert (product.price.amount, product.price.currency) == (1_250, "GBP")


async def test_a_patch_is_refused_when_the_whole_would_not_be_sound(desk: Desk) -> None:
    mug = await desk.create("MUG")
    with pytest.raises(Invalid) as refusal:
        await desk.catalog.patch(
            BY_ADMIN, mug.id, ProductPatch(track_stock=False, allow_backorder=True)
        )
    assert refusal.value.field == "allow_backorder"


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merging_gives_what_rfc_7396_appendix_a_says(target, patch, result) -> None:
    assert merge_patch(target, patch) == result


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(target=JSON, patch=JSON)
def test_merging_the_same_patch_again_changes_nothing_more(target, patch) -> None:
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once


async def test_customers_never_see_an_archived_product(desk: Desk) -> None:
    mug = await desk.create("MUG")
    await desk.catalog.archive(BY_ADMIN, mug.id)
    with pytest.raises(NotFound):
        await desk.catalog.product(CUSTOMER, mug.id)
    with pytest.raises(NotFound):
        await desk.catalog.by_sku(CUSTOMER, "MUG")
    with pytest.raises(Forbidden):
        await desk.catalog.list_products(CUSTOMER, ProductQuery(status=None))
    assert not (await desk.catalog.list_products(CUSTOMER, ProductQuery())).items
    assert (await desk.catalog.product(STAFF, mug.id)).product.status == "archived"
    await desk.catalog.unarchive(BY_ADMIN, mug.id)
    assert (await desk.catalog.product(CUSTOMER, mug.id)).product.status == "active"


async def test_staff_may_not_change_products(desk: Desk) -> None:
    mug = await desk.create("MUG")
    with pytest.raises(Forbidden):
        await desk.catalog.patch(Call(principal=STAFF), mug.id, ProductPatch(name="x"))
    with pytest.raises(Forbidden):
        await desk.catalog.delete(Call(principal=STAFF), mug.id)


async def test_every_change_is_announced_once(desk: Desk) -> None:
    mug = await desk.create("MUG")
    await desk.catalog.patch(BY_ADMIN, mug.id, ProductPatch(name="Blue"))
    await desk.catalog.archive(BY_ADMIN, mug.id)
    await desk.catalog.delete(BY_ADMIN, mug.id)
    assert await desk.events() == [
        "product.created",
        "product.updated",
        "product.archived",
        "product.deleted",
    ]


async def test_a_deleted_product_is_gone_and_its_sku_is_free(desk: Desk) -> None:
    mug = await desk.create("MUG")
    await desk.catalog.delete(BY_ADMIN, mug.id)
    with pytest.raises(NotFound):
        await desk.catalog.product(ADMIN, mug.id)
    assert (await desk.create("MUG")).id != mug.id


async def test_a_product_that_orders_refer_to_can_only_be_archived(desk: Desk) -> None:
    voucher = await desk.create("VOUCHER", track_stock=False)
    await desk.order("VOUCHER")
    with pytest.raises(InUse, match="archive it instead"):
        await desk.catalog.delete(BY_ADMIN, voucher.id)


async def test_a_product_with_units_on_hand_can_not_be_deleted(desk: Desk) -> None:
    mug = await desk.create("MUG", stock=3)
    with pytest.raises(InUse, match="3 units"):
        await desk.catalog.delete(BY_ADMIN, mug.id)
    await desk.count("MUG", 0)
    await desk.catalog.delete(BY_ADMIN, mug.id)


async def test_a_variant_needs_a_parent_that_is_one(desk: Desk) -> None:
    mug = await desk.create("MUG")
    with pytest.raises(Invalid) as refusal:
        await desk.create("MUG-L", parent_id=mug.id, options={"size": "L"})
    assert refusal.value.field == "parent_id"
    with pytest.raises(Invalid):
        await desk.create("MUG-L", parent_id="nowhere", options={"size": "L"})


async def test_no_two_variants_of_a_parent_have_the_same_options(desk: Desk) -> None:
    shirt = await desk.create("SHIRT", is_parent=True)
    large = await desk.create("SHIRT-L", parent_id=shirt.id, options={"size": "L"})
    with pytest.raises(AlreadyExists) as refusal:
        await desk.create("SHIRT-XL", parent_id=shirt.id, options={"Size": "l"})
    assert refusal.value.field == "options"
    await desk.catalog.patch(BY_ADMIN, large.id, ProductPatch(options={"size": "M"}))
    await desk.create("SHIRT-XL", parent_id=shirt.id, options={"size": "L"})
    variants = await desk.catalog.list_products(CUSTOMER, ProductQuery(parent_id=shirt.id))
    assert len(variants.items) == 2


async def test_a_parent_with_variants_can_not_be_deleted(desk: Desk) -> None:
    shirt = await desk.create("SHIRT", is_parent=True)
    large = await desk.create("SHIRT-L", parent_id=shirt.id, options={"size": "L"})
    with pytest.raises(InUse, match="variants"):
        await desk.catalog.delete(BY_ADMIN, shirt.id)
    await desk.catalog.delete(BY_ADMIN, large.id)
    await desk.catalog.delete(BY_ADMIN, shirt.id)


async def test_no_variant_is_left_without_its_parent_when_both_change_at_once(desk: Desk) -> None:
    for number in range(10):
        shirt = await desk.create(f"SHIRT{number}", is_parent=True)
        await asyncio.gather(
            desk.create(f"V{number}", parent_id=shirt.id, options={"size": "L"}),
            desk.catalog.delete(BY_ADMIN, shirt.id),
            return_exceptions=True,
        )
        variants = await desk.store.products_by_sku([f"v{number}"])
        parents = await desk.store.products_by_sku([f"shirt{number}"])
        assert len(variants) <= len(parents)


async def test_a_product_keeps_its_stock_when_it_is_to_have_none(desk: Desk) -> None:
    mug = await desk.create("MUG", stock=2)
    with pytest.raises(InUse) as refusal:
        await desk.catalog.patch(BY_ADMIN, mug.id, ProductPatch(track_stock=False))
    assert refusal.value.field == "track_stock"
    await desk.count("MUG", 0)
    await desk.catalog.patch(BY_ADMIN, mug.id, ProductPatch(track_stock=False))


async def test_categories_are_those_of_active_products_each_once(desk: Desk) -> None:
    for sku, category in (("A", "Zoo"), ("B", "garden"), ("C", "Garden"), ("D", "Old")):
        await desk.create(sku, category=category)
    gone = await desk.catalog.by_sku(ADMIN, "D")
    await desk.catalog.archive(BY_ADMIN, gone.product.id)
    first = await desk.catalog.categories(limit=1)
    assert len(first.items) == 1
    assert first.items[0].casefold() == "garden"
    rest = await desk.catalog.categories(limit=10, cursor=first.next)
    assert rest.items == ("Zoo",)
    assert rest.next is None
