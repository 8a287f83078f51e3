"""The proof is no formality: `verify` names every figure that somebody bent by hand."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from storekeeper.domain.errors import Invalid
from storekeeper.store.port import MovementQuery, OrderQuery, ProductQuery
from storekeeper.store.sqlite.store import SqliteStore
from tests.support.builders import an_order
from tests.support.clock import Clock
from tests.support.ids import Ids
from tests.support.shop import Shop

BENT = [
    ("UPDATE stock SET on_hand = on_hand + 1", {"on_hand"}),
    ("UPDATE stock SET reserved = reserved - 1", {"reserved", "ledger_reserved"}),
    ("UPDATE total SET on_hand = on_hand - 1", {"total_on_hand"}),
    ("UPDATE total SET reserved = 0", {"total_reserved"}),
    ("UPDATE total SET is_low = 1 - is_low", {"low"}),
    ("UPDATE total SET threshold = 1000", {"low"}),
    ("DELETE FROM stock", {"on_hand", "reserved", "ledger_reserved"}),
    # The level and the total that it adds up to, bent alike, agree with each other alone.
    (
        "UPDATE stock SET on_hand = on_hand + 1; UPDATE total SET on_hand = on_hand + 1",
        {"on_hand", "total_on_hand"},
    ),
    ("DELETE FROM orders", {"reserved", "total_reserved"}),
    ("UPDATE orders SET state = 'confirmed'", {"reserved", "total_reserved"}),
    (
        "DROP TRIGGER movement_is_kept; DELETE FROM movement WHERE reason = 'received'",
        {"on_hand", "total_on_hand"},
    ),
    (
        "CREATE TEMP TABLE forged AS SELECT * FROM movement WHERE reason = 'received';"
        "UPDATE forged SET seq = NULL, id = 'forged', location_id = 'attic';"
        "INSERT INTO movement SELECT * FROM forged",
        {"on_hand", "total_on_hand"},
    ),
]


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    file = tmp_path / "shop.db"
    shop = shop_in(file)
    mug = await shop.sell("MUG", stock=10, low_stock_threshold=3)
    await shop.store.commit(an_order((mug, 4))[1])
    assert await shop.store.verify() == []
    await shop.store.close()
    return file


def shop_in(path: Path) -> Shop:
    clock, new_id = Clock(), Ids()
    return Shop(SqliteStore(path, clock=clock, new_id=new_id), clock, new_id)


@pytest.mark.parametrize(("sql", "found"), BENT, ids=[sql[:40] for sql, _ in BENT])
async def test_verify_finds_what_was_bent(path: Path, sql: str, found: set[str]) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(sql)
    shop = shop_in(path)
    differences = await shop.store.verify()
    await shop.store.close()
    assert {difference.what for difference in differences} == found
    assert all(difference.product_id == "product-MUG" for difference in differences)
    assert all(difference.kept != difference.recomputed for difference in differences)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE movement SET on_hand = 99",
        "DELETE FROM movement",
        "UPDATE event SET data = '{}'",
        "DELETE FROM event",
        "UPDATE stock SET on_hand = reserved - 1",
        "UPDATE stock SET reserved = -1",
    ],
)
def test_the_file_itself_refuses_what_no_commit_may_do(path: Path, sql: str) -> None:
    """The ledger and the events are append-only, and stock is never oversold, even by hand."""
    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute(sql)


@pytest.mark.parametrize(
    "forged", [["price", 2**63, 1], ["orders", 1, 2**64 - 1], ["movements", 2**63], ["low", 2**63]]
)
async def test_a_forged_cursor_past_all_numbers_is_refused(
    path: Path, forged: list[object]
) -> None:
    """A number that SQLite can't hold may not become a fault of the server."""
    cursor = base64.urlsafe_b64encode(msgspec.msgpack.encode(forged)).decode().rstrip("=")
    store = shop_in(path).store
    questions: list[Callable[[], Awaitable[object]]] = [
        lambda: store.products(ProductQuery(sort="price", cursor=cursor)),
        lambda: store.orders(OrderQuery(cursor=cursor)),
        lambda: store.movements(MovementQuery(cursor=cursor)),
        lambda: store.low_stock(cursor=cursor),
    ]
    for question in questions:
        with pytest.raises(Invalid):
            await question()
    await store.close()
