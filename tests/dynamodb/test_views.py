"""Other programs read the shop's tables: what they are shown is the shop, and never more than it."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
import pytest

from storekeeper.app import Shop, copy_shop, create_tables, open_shop
from storekeeper.config import Settings
from storekeeper.domain.accounts import Account, Principal
from storekeeper.domain.catalog import ProductDetails
from storekeeper.domain.changes import ChangeSet, Put
from storekeeper.domain.errors import StoreUnavailable
from storekeeper.domain.money import Money
from storekeeper.domain.orders import Address, Order, OrderLine
from storekeeper.domain.types import MAX_LINES
from storekeeper.services.base import BY_SYSTEM, Call
from storekeeper.services.catalog import ProductPatch
from storekeeper.services.checkout import LineRequest, PlaceOrder
from storekeeper.services.inventory import AdjustRequest, ReceiveRequest
from storekeeper.store.dynamodb import items, tables
from storekeeper.store.dynamodb import remote as store_remote
from storekeeper.store.dynamodb.log import Log
from storekeeper.store.dynamodb.setup import create_tables as create_tables_at
from storekeeper.store.dynamodb.views import Views
from tests.dynamodb.looking import Looker, shop_and_looker
from tests.support import local_engines
from tests.support.builders import a_product, an_order, creating, moving, revised
from tests.support.role import OwnRemote
from tools.engines.launch import running

ADDRESS = Address(name="Ada Lovelace", line1="12 Square", city="London", country="GB")


async def a_mug(shop: Shop, stock: int = 100, sku: str = "MUG") -> str:
    details = ProductDetails(sku=sku, name="A mug", price=Money(amount=999, currency="GBP"))
    made = await shop.catalog.create(BY_SYSTEM, details)
    if stock:
        await shop.inventory.receive(BY_SYSTEM, ReceiveRequest(sku=sku, quantity=stock))
    return made.product.id


async def ada(shop: Shop) -> Account:
    return await shop.accounts.create(
        BY_SYSTEM,
        email="ada@example.com",
        name="Ada Lovelace",
        role="customer",
        password="correct horse battery",
    )


async def an_order_of(shop: Shop, account: Account | None = None, quantity: int = 3) -> Order:
    by = Call(principal=Principal(account_id=account.id, role="customer")) if account else BY_SYSTEM
    request = PlaceOrder(
        lines=(LineRequest(sku="MUG", quantity=quantity),),
        email="ada@example.com",
        shipping_address=ADDRESS,
        note="ring twice",
    )
    return (await shop.checkout.place(by, request)).order


async def up_to_date(shop: Shop) -> None:
    assert await shop.store.verify_views() == []


async def test_an_order_is_shown_at_every_step_as_the_shop_has_it(on_tables) -> None:
    async with shop_and_looker(on_tables) as (shop, looker):
        product_id = await a_mug(shop)
        account = await ada(shop)
        order = await an_order_of(shop, account)
        await up_to_date(shop)
        stock = await looker.item("products", product_id, "stock#main")
        assert (stock["on_hand"], stock["reserved"], stock["available"]) == (100, 3, 97)
        assert [one["number"] for one in await looker.by_index("by-state", "state", "pending")] == [
            order.number
        ]

        await shop.order_changes.confirm(BY_SYSTEM, order.id)
        shipped = await shop.order_changes.ship(BY_SYSTEM, order.id, lines=None)
        await shop.inventory.adjust(
            BY_SYSTEM, AdjustRequest(sku="MUG", quantity=-7, reason="damaged")
        )
        await shop.catalog.patch(BY_SYSTEM, product_id, ProductPatch(name="A better mug"))
        await up_to_date(shop)
        shown = await looker.item("orders", order.id, "order")
        told = json.loads(msgspec.json.encode(shipped))
        assert shown["state"] == "shipped"
        for name in ("number", "version", "email", "lines", "total", "shipments", "timeline"):
            assert shown[name] == told[name]
        assert "fingerprint" not in shown
        stock = await looker.item("products", product_id, "stock#main")
        assert (stock["on_hand"], stock["reserved"], stock["available"]) == (90, 0, 90)
        assert (await looker.item("products", product_id, "product"))["name"] == "A better mug"
        assert await looker.by_index("by-state", "state", "pending") == []
        (mine,) = await looker.by_index("by-customer", "customer_id", account.id)
        assert (mine["number"], mine["state"]) == (order.number, "shipped")


async def test_secrets_are_not_shown_and_who_left_is_forgotten(on_tables) -> None:
    async with shop_and_looker(on_tables) as (shop, looker):
        await a_mug(shop)
        account = await ada(shop)
        order = await an_order_of(shop, account)
        await up_to_date(shop)
        (shown,) = await looker.all("users")
        assert (shown["email"], shown["role"], shown["status"]) == (
            "ada@example.com",
            "customer",
            "active",
        )
        assert "argon2" not in json.dumps(await looker.all("users"))

        await shop.order_changes.cancel(BY_SYSTEM, order.id, "Ada Lovelace died")
        await shop.account_removal.remove(BY_SYSTEM, account.id)
        await up_to_date(shop)
        everything = json.dumps(
            [await looker.all(table) for table in ("products", "orders", "users")]
        )
        for personal in ("ada@example.com", "Lovelace", "12 Square", "ring twice"):
            assert personal not in everything
        assert (await looker.item("orders", order.id, "order"))["state"] == "cancelled"


async def test_a_deleted_product_is_shown_as_deleted_and_no_more(on_tables) -> None:
    async with shop_and_looker(on_tables) as (shop, looker):
        product_id = await a_mug(shop, stock=0)
        await up_to_date(shop)
        await shop.catalog.delete(BY_SYSTEM, product_id)
        await up_to_date(shop)
        shown = await looker.item("products", product_id, "product")
        assert shown.keys() == {"pk", "sk", "seq", "id", "status"}
        assert shown["status"] == "deleted"


async def test_what_is_shown_never_goes_backwards(on_tables) -> None:
    """A node that was away for a while must not write what it had read before."""
    async with shop_and_looker(on_tables) as (shop, looker):
        product_id = await a_mug(shop)
        replica: Any = shop.store
        slow = Views(looker.remote, looker.prefix, Log(looker.remote, looker.prefix), replica)
        before = await slow.state([(items.PRODUCT, product_id), (items.STOCK, product_id)])
        await shop.catalog.patch(BY_SYSTEM, product_id, ProductPatch(name="A better mug"))
        await shop.inventory.receive(BY_SYSTEM, ReceiveRequest(sku="MUG", quantity=1))
        await up_to_date(shop)
        await slow.write(before)
        assert (await looker.item("products", product_id, "product"))["name"] == "A better mug"
        assert (await looker.item("products", product_id, "stock#main"))["on_hand"] == 101


async def test_verify_finds_what_is_shown_wrongly(on_tables) -> None:
    async with shop_and_looker(on_tables) as (shop, looker):
        product_id = await a_mug(shop)
        lost = await a_mug(shop, sku="BOWL")
        await up_to_date(shop)
        key = {"pk": {"S": product_id}, "sk": {"S": "stock#main"}}
        await looker.do("put_item", "products", Item={**key, "seq": {"N": "9"}})
        await looker.do("delete_item", "products", Key={"pk": {"S": lost}, "sk": {"S": "product"}})
        stranger = {"pk": {"S": "nobody"}, "sk": {"S": "account"}, "email": {"S": "x@example.com"}}
        await looker.do("put_item", "users", Item={**stranger, "seq": {"N": "1"}})
        found = {(one.item, one.what) for one in await shop.store.verify_views()}
        assert found == {
            (f"{product_id} stock#main", "different"),
            (f"{lost} product", "missing"),
            ("nobody account", "extra"),
        }


async def test_a_shop_that_sells_on_while_it_is_looked_at_shows_no_differences(on_tables) -> None:
    """A check that cries wolf is switched off."""
    async with shop_and_looker(on_tables) as (shop, _):
        await a_mug(shop, stock=100_000)
        looks = asyncio.create_task(shop.store.verify_views())
        sold = 0
        while not looks.done():
            await an_order_of(shop, quantity=1)
            sold += 1
        assert await looks == []
        assert sold > 0


async def test_a_node_in_office_shows_changes_and_the_next_one_goes_on(on_tables) -> None:
    """Nobody has to ask for it: the node that holds the lease follows by itself."""
    async with shop_and_looker(on_tables) as (shop, looker):
        await shop.start()
        await a_mug(shop)
        first = await an_order_of(shop)
        assert await eventually(looker, first)
        await shop.stop()
        second = await an_order_of(shop)
        lag = await shop.store.gauges()
        async with open_shop(on_tables) as next_shop:
            await next_shop.start()
            assert await eventually(looker, second)
            await next_shop.stop()
        assert lag["storekeeper_views_lag_entries"] > 0


async def eventually(looker: Looker, order: Order) -> Any:
    async with asyncio.timeout(60):
        while not (found := await looker.item("orders", order.id, "order")):
            await asyncio.sleep(0.05)
    return found


async def test_a_copied_shop_is_shown_from_its_rows(settings, on_tables, source, tables) -> None:
    copied = await copy_shop(settings, source, tables, watch=lambda stage, done, total: None)
    async with shop_and_looker(on_tables) as (shop, looker):
        await up_to_date(shop)
        states = (await shop.store.summary()).orders
        assert copied.compared.rows["orders"] == sum(states.values())
        for state, count in states.items():
            assert len(await looker.by_index("by-state", "state", state)) == count


async def test_tables_that_were_lost_are_filled_anew(on_tables) -> None:
    async with shop_and_looker(on_tables) as (shop, looker):
        product_id = await a_mug(shop)
        await up_to_date(shop)
        await looker.do("delete_table", "products")
    async with shop_and_looker(on_tables) as (shop, looker):
        await up_to_date(shop)
        assert (await looker.item("products", product_id, "product"))["sku"] == "MUG"


async def test_switched_off_nothing_is_shown(on_tables) -> None:
    off = msgspec.structs.replace(on_tables, dynamodb_views=False)
    async with shop_and_looker(off) as (shop, looker):
        await a_mug(shop)
        assert "views" not in shop.store.loops()
        assert await shop.store.verify_views() == []
        assert await looker.all("products") == []


def long_order(product: Any, text: Any) -> tuple[Order, ChangeSet]:
    """An order of as many lines as there may be, with these names, and its change set."""
    order, change = an_order((product, 1))
    line = order.lines[0]
    lines = tuple(
        msgspec.structs.replace(line, id=number, name=text(number))
        for number in range(1, MAX_LINES + 1)
    )
    order = msgspec.structs.replace(order, lines=lines)
    return order, msgspec.structs.replace(change, puts=(Put(order),))


def test_the_longest_order_is_shown_in_items_that_dynamodb_takes() -> None:
    noise = random.Random(1)
    order, _ = long_order(a_product(), lambda number: noise.randbytes(100).hex())
    *parts, head = items.of_order(order)
    assert len(parts) > 1
    data = [part.attributes["data"]["B"] for part in parts]
    assert all(len(one) <= items.MOST_BYTES for one in data)
    assert head.attributes["packed_parts"] == {"N": str(len(parts))}
    fields = items.unpacked(head.attributes, data)
    assert msgspec.convert(fields["lines"], tuple[OrderLine, ...]) == order.lines
    plain, _ = long_order(a_product(), lambda number: "A mug")
    (alone,) = items.of_order(plain)
    fields = items.unpacked(alone.attributes)
    assert len(fields["lines"]) == MAX_LINES
    assert alone.attributes["state"] == {"S": "pending"}


async def test_parts_of_a_long_order_go_when_it_gets_shorter(on_tables) -> None:
    """A forgotten part could hold what somebody asked to be removed."""
    noise = random.Random(1)
    async with shop_and_looker(on_tables) as (shop, looker):
        product = a_product("LONG")
        await shop.store.commit(creating(product) + moving(product, 1))
        order, change = long_order(product, lambda number: noise.randbytes(100).hex())
        await shop.store.commit(change)
        await up_to_date(shop)
        assert await looker.item("orders", order.id, "order#packed#0001")
        shorter = msgspec.structs.replace(order, version=2, lines=order.lines[:1])
        await shop.store.commit(ChangeSet(puts=(Put(shorter),)))
        await up_to_date(shop)
        assert {item["sk"] for item in await looker.all("orders")} == {"order"}


async def test_parts_of_a_long_product_go_when_it_gets_shorter(on_tables) -> None:
    noise = random.Random(1)

    def text(letters: int) -> str:
        """In a script with so many letters that nothing makes it much smaller."""
        return "".join(chr(noise.randrange(0x20000, 0x2EBE0)) for _ in range(letters))

    attributes = {text(200): text(1_000) for _ in range(100)}
    product = a_product("LONG", attributes=attributes, description=text(20_000))
    async with shop_and_looker(on_tables) as (shop, looker):
        await shop.store.commit(creating(product))
        await up_to_date(shop)
        assert await looker.item("products", product.id, "product#packed#0001")
        shorter = revised(product, attributes={}, description="A mug")
        await shop.store.commit(ChangeSet(puts=(Put(shorter),)))
        await up_to_date(shop)
        assert {item["sk"] for item in await looker.all("products")} == {"product"}


async def test_init_adds_indexes_that_an_earlier_version_did_not_have(
    on_tables, monkeypatch
) -> None:
    local_engines.require("indexes that are added")
    # Whoever asks again, because an answer came late, finds the indexes there and tells of none.
    monkeypatch.setattr(store_remote, "READ_S", 30.0)
    # Of its own: among a thousand tables a local engine may never get to the index.
    with running("dynamodb") as engine:
        settings = msgspec.structs.replace(on_tables, aws_endpoint_url=engine.url)
        remote = OwnRemote(region="eu-west-1", endpoint=engine.url)
        bare = tables.creation(tables.ORDERS._replace(indexes=()), on_tables.dynamodb_prefix)
        try:
            await remote.ask(lambda client: client.create_table(**bare))
            done = await asyncio.to_thread(create_tables_at, remote, on_tables.dynamodb_prefix)
        finally:
            await asyncio.to_thread(remote.close)
        added = [sentence for sentence in done if "index" in sentence]
        assert [sentence.split()[3] for sentence in added] == ["by-customer", "by-state"]
        async with open_shop(settings) as shop:
            await shop.prepare()


async def test_an_index_of_another_shape_is_refused(on_tables) -> None:
    wrong = tables.ORDERS.indexes[0]._replace(sort="number")
    odd = tables.ORDERS._replace(indexes=(wrong, tables.ORDERS.indexes[1]))
    remote = OwnRemote(region="eu-west-1", endpoint=on_tables.aws_endpoint_url)
    try:
        for table in (odd, tables.COMMITS, tables.PRODUCTS, tables.USERS):
            made = tables.creation(table, on_tables.dynamodb_prefix)
            await remote.ask(partial(_create, made))
    finally:
        await asyncio.to_thread(remote.close)
    with pytest.raises(StoreUnavailable, match="by-customer"):
        await asyncio.to_thread(create_tables, on_tables)
    with pytest.raises(StoreUnavailable, match="by-customer"):
        async with open_shop(on_tables):
            pass


async def test_init_says_of_which_tables_it_switched_time_to_live_on(on_tables) -> None:
    done = await asyncio.to_thread(create_tables, on_tables)
    told = {table.name for table in tables.TABLES if _tells_expiry(done, on_tables, table.name)}
    remote = OwnRemote(region="eu-west-1", endpoint=on_tables.aws_endpoint_url)
    try:
        is_on = {
            table.name
            for table in tables.TABLES
            if await remote.ask(partial(_expires, on_tables.dynamodb_prefix + table.name))
        }
    finally:
        await asyncio.to_thread(remote.close)
    assert told == is_on == {"commits", "users"}


def _tells_expiry(done: Sequence[str], settings: Settings, table: str) -> bool:
    name = f"{settings.dynamodb_prefix}{table}"
    return any(sentence.startswith(f"time to live is on for {name}: ") for sentence in done)


async def _expires(table: str, client: Any) -> bool:
    found = await client.describe_time_to_live(TableName=table)
    return bool(found["TimeToLiveDescription"]["TimeToLiveStatus"] == "ENABLED")


async def _create(table: Any, client: Any) -> None:
    await client.create_table(**table)
