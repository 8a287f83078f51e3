"""Shops of a size that takes hours to sell one's way to, written into the tables at once.

Products go through the store's own writer, without waiting for the disk. Orders are written as
rows, each with its line, its ledger entry and its effect on stock, so that `verify` agrees; their
events are left out, as nothing that is measured looks at old ones.
"""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw

from benchmarks import shops
from benchmarks.run import Run
from storekeeper.app import uuid7_text
from storekeeper.domain import catalog, ordering
from storekeeper.domain.allocation import from_one
from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import ChangeSet, Claim, Put
from storekeeper.domain.ordering import Placing, Step, WantedLine
from storekeeper.domain.stock import MAIN, Movement
from storekeeper.domain.types import AccountId, OrderId, ProductId
from storekeeper.services.order_numbers import new_number
from storekeeper.store.sqlite import kinds
from storekeeper.store.sqlite.connect import connect
from storekeeper.store.sqlite.stamps import Stamps
from storekeeper.store.sqlite.writer import Writer

PRODUCTS_AT_ONCE = 500
ORDERS_AT_ONCE = 20_000
CACHE_MIB = 2_048
STOCKED = 1_000
# The first customer ordered this often in every shop, whatever its size.
REGULARS_ORDERS = 200
# The second customer made one order in so many.
HEAVY_SHARE = 5
START = datetime(2020, 1, 1, tzinfo=UTC)


def shop_with_products(count: int, run: Run) -> Path:
    """A shop with so many products and no orders; made once."""
    return _kept(f"products-{count}", run, lambda path: _add_products(path, count, run))


def shop_with_orders(count: int, run: Run) -> Path:
    """A shop with so many orders of 1,000 products; made once."""
    return _kept(f"orders-{count}", run, lambda path: _add_orders(path, count, run))


def _kept(name: str, run: Run, fill: Any) -> Path:
    kept = shops.FOLDER / f"{name}-{shops.schema_name()}" / "shop.db"
    if not kept.exists():
        _make(kept, name, run, fill)
    _warm(kept)
    return kept


def _warm(path: Path) -> None:
    """Reads the file once: a shop that has been open for a while is in the system's memory."""
    with path.open("rb", buffering=0) as file:
        while file.read(1 << 22):
            pass


def _make(kept: Path, name: str, run: Run, fill: Any) -> None:
    run.say(f"making the shop {name}; later runs use it again")
    started = time.perf_counter()
    draft = shops.copy_of(shops.small_shop(), shops.folder_of(f"draft-{name}"))
    fill(draft)
    if differences := shops.verify(draft):
        raise RuntimeError(f"the shop {name} was made wrongly: {differences} differences")
    shutil.rmtree(kept.parent, ignore_errors=True)
    draft.parent.rename(kept.parent)
    draft.parent.parent.rmdir()
    run.say(f"made in {time.perf_counter() - started:.0f} s, {kept.stat().st_size >> 20:,} MiB")


def _add_products(path: Path, count: int, run: Run) -> None:
    stamps = Stamps(Path(f"{path}-stamps"))
    writer = Writer(path, stamps, lambda: datetime.now(UTC), uuid7_text)
    writer.open()
    connection = writer._connection
    _hurry(connection)
    for start in range(shops.SMALL, count, PRODUCTS_AT_ONCE):
        numbers = range(start, min(count, start + PRODUCTS_AT_ONCE))
        outcomes = writer.commit([_stocked(numbers)])
        if outcomes != [None]:
            raise RuntimeError(f"the store refused the products: {outcomes}")
        if (start - shops.SMALL) % 100_000 == 0:
            run.say(f"{start:,} of {count:,} products")
    _finish(connection)
    writer.close()
    stamps.close()


def _stocked(numbers: range) -> ChangeSet:
    """Products, each with its opening stock."""
    now = START + timedelta(milliseconds=numbers.start)
    products = [shops.a_product(number, ProductId(uuid7_text()), now) for number in numbers]
    return ChangeSet(
        puts=tuple(Put(product) for product in products),
        claims=tuple(
            Claim(scope=scope, value=value, owner=product.id)
            for product in products
            for scope, value in catalog.claims(product).items()
        ),
        movements=tuple(
            Movement(
                id=uuid7_text(),
                product_id=product.id,
                location_id=MAIN,
                on_hand=shops.PLENTY,
                reserved=0,
                reason="received",
                at=now,
                by="system",
            )
            for product in products
        ),
    )


def _add_orders(path: Path, count: int, run: Run) -> None:
    connection = connect(path, cache_mib=CACHE_MIB)
    _hurry(connection)
    customers = [
        id
        for (id,) in connection.execute(
            "SELECT owner FROM claim WHERE scope = 'email' AND value LIKE 'customer%' ORDER BY value"
        )
    ]
    products = [
        (pk, kinds.decode(Product, doc))
        for pk, doc in connection.execute(
            "SELECT pk, doc FROM product ORDER BY pk LIMIT ?", (STOCKED,)
        )
    ]
    if len(customers) != shops.CUSTOMERS or len(products) != STOCKED:
        raise RuntimeError(f"found {len(customers)} customers and {len(products)} products")
    rows = _orders(count, customers, products)
    tables = Tables(connection)
    done = 0
    while chunk := list(itertools.islice(rows, ORDERS_AT_ONCE)):
        with connection:
            tables.insert(chunk)
        done += len(chunk)
        if done % 500_000 == 0:
            run.say(f"{done:,} of {count:,} orders")
    with connection:
        tables.settle()
    _finish(connection)
    connection.close()


class Tables:
    """Writes orders as rows and keeps the chains of products and customers."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._order = self._last("pk", "orders")
        self._line = self._last("pk", "order_line")
        self._movement = self._last("seq", "movement")
        self._chains: dict[int, list[int]] = {
            pk: [movement, line]
            for pk, movement, line in connection.execute(
                "SELECT product_pk, last_movement, last_line FROM total"
            )
        }
        self._customers: dict[str, int] = {}
        self._sold: Counter[int] = Counter()

    def insert(self, rows: list[tuple[Any, ...]]) -> None:
        orders, lines, movements = [], [], []
        for id, number, customer, at, doc, product, by in rows:
            self._order += 1
            self._line += 1
            self._movement += 1
            chain = self._chains[product]
            before = self._customers.get(customer, 0)
            orders.append((self._order, id, number, customer, before, at, doc))
            self._customers[customer] = self._order
            lines.append((self._line, product, chain[1], self._order))
            movements.append(
                (self._movement, f"m-{id}", product, chain[0], MAIN, at, by, self._order)
            )
            chain[:] = self._movement, self._line
            self._sold[product] += 1
        run = self._connection.executemany
        run(
            "INSERT INTO orders (pk, id, version, number, customer_id, previous, state, placed_at, "
            "expires_at, doc) VALUES (?, ?, 1, ?, ?, ?, 'confirmed', ?, NULL, ?)",
            orders,
        )
        run(
            "INSERT INTO order_line (pk, product_pk, previous, order_pk) VALUES (?, ?, ?, ?)",
            lines,
        )
        run(
            "INSERT INTO movement (seq, id, product_pk, previous, location_id, on_hand, reserved, "
            "reason, at, by, order_pk, reference, note) "
            "VALUES (?, ?, ?, ?, ?, -1, 0, 'sold', ?, ?, ?, '', '')",
            movements,
        )

    def settle(self) -> None:
        """Takes what was sold from the stock, and names the ends of the chains."""
        run = self._connection.executemany
        run("INSERT INTO customer (id, last_order) VALUES (?, ?)", list(self._customers.items()))
        run(
            "UPDATE stock SET on_hand = on_hand - ? WHERE product_pk = ?",
            [(units, pk) for pk, units in self._sold.items()],
        )
        run(
            "UPDATE total SET on_hand = on_hand - ?, last_movement = ?, last_line = ? "
            "WHERE product_pk = ?",
            [(units, *self._chains[pk], pk) for pk, units in self._sold.items()],
        )

    def _last(self, key: str, table: str) -> int:
        found: int = self._connection.execute(f"SELECT coalesce(max({key}), 0) FROM {table}").get
        return found


def _orders(
    count: int, customers: list[str], products: list[tuple[int, Product]]
) -> Iterator[tuple[Any, ...]]:
    """(id, number, customer, placed, doc, product, movement) of each order, oldest first."""
    templates = {
        (customer, pk): _template(AccountId(customer), product)
        for customer in customers
        for pk, product in products
    }
    every = max(1, count // REGULARS_ORDERS)
    micros = kinds.micros(START)
    step = 5 * 365 * 86_400 * 1_000_000 // count
    others = itertools.cycle(customers[2:])
    for number in range(count):
        if number % every == every - 1 and number // every < REGULARS_ORDERS:
            customer = customers[0]
        elif number % HEAVY_SHARE == 0:
            customer = customers[1]
        else:
            customer = next(others)
        pk, _ = products[number * 7 % STOCKED]
        micros += step
        at = f"{kinds.from_micros(micros).isoformat().removesuffix('+00:00')}Z"
        digits = os.urandom(16).hex()
        id = f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
        name = new_number()
        doc = templates[customer, pk].replace("@ID", id).replace("@NUMBER", name)
        doc = doc.replace("@AT", at)
        yield id, name, customer, micros, doc, pk, f"customer:{customer}"


def _template(customer: AccountId, product: Product) -> str:
    """The document of a confirmed order of one unit, with marks for what differs."""
    order, _ = ordering.place(
        Placing(
            id=OrderId("@ID"),
            number="@NUMBER",
            lines=[WantedLine(product=product, quantity=1)],
            expires_at=START,
            confirm=True,
            customer_id=customer,
            fingerprint="0" * 64,
        ),
        lambda lines: from_one(lines, MAIN),
        Step(now=START, by=f"customer:{customer}", new_id=uuid7_text),
    )
    started = START.isoformat().replace("+00:00", "Z")
    return kinds.encode(order).replace(started, "@AT")


def _hurry(connection: apsw.Connection) -> None:
    """No waiting for the disk, no way back, much memory: what isn't whole is thrown away."""
    connection.pragma("synchronous", "off")
    connection.pragma("cache_size", -CACHE_MIB * 1_024)
    connection.pragma("journal_mode", "off")


def _finish(connection: apsw.Connection) -> None:
    """As the shop leaves its file: in WAL mode, safely on the disk."""
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.execute("PRAGMA optimize = 0x10002")
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    os.sync()
