"""The tables, as numbered migrations, and what a file must be before it is used.

A product's movements, its order lines, and a customer's orders are chains: the total (the customer)
names the newest, each names the one before it. An index would be written in as many places as an
order has products and customers; a chain costs nothing but the row itself (benchmarks http_orders).

Constraints repeat the domain's invariants as the last line of defence; the ledger and the events
can't be changed or deleted even by hand.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import apsw

from storekeeper.domain.errors import StoreUnavailable
from storekeeper.store.sqlite.rows import scalar

APPLICATION_ID = 0x53544B50  # "STKP"

_FIRST = """
CREATE TABLE product (
    pk INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    sku TEXT NOT NULL,
    name_key TEXT NOT NULL,
    price INTEGER NOT NULL,
    category TEXT,
    status TEXT NOT NULL CHECK (status IN ('active', 'archived', 'deleted')),
    tracked INTEGER NOT NULL,
    parent_id TEXT,
    created_at INTEGER NOT NULL,
    doc TEXT NOT NULL
) STRICT;
CREATE INDEX product_name ON product (name_key, pk);
CREATE INDEX product_status_name ON product (status, name_key, pk);
CREATE INDEX product_status_price ON product (status, price, pk);
CREATE INDEX product_status_created ON product (status, created_at, pk);
CREATE INDEX product_category ON product (category, status, name_key, pk)
    WHERE category IS NOT NULL;
CREATE INDEX product_parent ON product (parent_id, name_key, pk) WHERE parent_id IS NOT NULL;
CREATE TABLE product_tag (
    tag TEXT NOT NULL,
    product_pk INTEGER NOT NULL REFERENCES product,
    PRIMARY KEY (tag, product_pk)
) STRICT, WITHOUT ROWID;
CREATE INDEX product_tag_product ON product_tag (product_pk);
CREATE VIRTUAL TABLE product_text USING fts5 (
    name, sku, description, category, tags,
    content = '', contentless_delete = 1,
    tokenize = 'unicode61 remove_diacritics 2'
);

CREATE TABLE total (
    product_pk INTEGER PRIMARY KEY REFERENCES product,
    on_hand INTEGER NOT NULL,
    reserved INTEGER NOT NULL CHECK (reserved >= 0),
    threshold INTEGER,
    is_low INTEGER NOT NULL,
    backorder INTEGER NOT NULL,
    last_movement INTEGER NOT NULL DEFAULT 0,
    last_line INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX total_low ON total (product_pk) WHERE is_low = 1;
CREATE TABLE stock (
    product_pk INTEGER NOT NULL REFERENCES product,
    location_id TEXT NOT NULL,
    on_hand INTEGER NOT NULL,
    reserved INTEGER NOT NULL CHECK (reserved >= 0),
    backorder INTEGER NOT NULL,
    PRIMARY KEY (product_pk, location_id),
    CHECK (on_hand >= reserved OR backorder = 1)
) STRICT, WITHOUT ROWID;
CREATE TABLE movement (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    product_pk INTEGER NOT NULL REFERENCES product,
    previous INTEGER NOT NULL,
    location_id TEXT NOT NULL,
    on_hand INTEGER NOT NULL,
    reserved INTEGER NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL,
    by TEXT NOT NULL,
    order_pk INTEGER REFERENCES orders,
    reference TEXT NOT NULL,
    note TEXT NOT NULL
) STRICT;
CREATE INDEX movement_order ON movement (order_pk, seq) WHERE order_pk IS NOT NULL;
CREATE INDEX movement_reference ON movement (reference, seq) WHERE reference <> '';
CREATE TRIGGER movement_is_kept BEFORE DELETE ON movement
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER movement_is_final BEFORE UPDATE ON movement
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

CREATE TABLE orders (
    pk INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    number TEXT NOT NULL UNIQUE,
    customer_id TEXT,
    previous INTEGER NOT NULL,
    state TEXT NOT NULL,
    placed_at INTEGER NOT NULL,
    expires_at INTEGER,
    doc TEXT NOT NULL
) STRICT;
CREATE TABLE customer (
    id TEXT PRIMARY KEY,
    last_order INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX orders_state ON orders (state, placed_at, pk);
CREATE INDEX orders_placed ON orders (placed_at, pk);
CREATE INDEX orders_expiry ON orders (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE order_line (
    pk INTEGER PRIMARY KEY,
    product_pk INTEGER NOT NULL REFERENCES product,
    previous INTEGER NOT NULL,
    order_pk INTEGER NOT NULL REFERENCES orders
) STRICT;

CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    at INTEGER NOT NULL,
    data TEXT NOT NULL
) STRICT;
CREATE TRIGGER event_is_kept BEFORE DELETE ON event
    BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER event_is_final BEFORE UPDATE ON event
    BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;

CREATE TABLE claim (
    scope TEXT NOT NULL,
    value TEXT NOT NULL,
    owner TEXT NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (scope, value)
) STRICT, WITHOUT ROWID;
CREATE TABLE record (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE record_index (
    kind TEXT NOT NULL,
    field TEXT NOT NULL,
    value TEXT NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (kind, field, value, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX record_index_id ON record_index (kind, id);
"""

# What a product shows, as the index of it has it; queries must say the same to use it. Nothing is
# left in the document of a deleted one.
PICTURE = "(CASE status WHEN 'deleted' THEN NULL ELSE doc ->> 'image_url' END)"
HAS_PICTURE = f"{PICTURE} IS NOT NULL"
_PICTURES = f"CREATE INDEX product_picture ON product ({PICTURE}) WHERE {HAS_PICTURE};"

MIGRATIONS: tuple[str, ...] = (_FIRST, _PICTURES)


def version_of(connection: apsw.Connection) -> int:
    return int(connection.pragma("user_version"))


def pending(connection: apsw.Connection, called: str | None = None) -> int:
    """How many migrations the file lacks; raises `StoreUnavailable` for a file not ours. `called` is
    its name for people, where that isn't its path."""
    name = called or connection.filename
    # All of one moment: another process may be making the tables right now.
    with connection:
        at = version_of(connection)
        made_by = connection.pragma("application_id")
        tables = scalar(connection, "SELECT count(*) FROM sqlite_schema")
    if made_by != APPLICATION_ID and tables:
        raise StoreUnavailable(
            f"{name} is a database, but not one of Storekeeper's; name another file with --database"
        )
    if made_by != APPLICATION_ID:
        raise StoreUnavailable(
            f"{name} is empty; it holds no shop. Put a backup in its place "
            "(`storekeeper restore BACKUP`), or remove the file if there never was a shop in it"
        )
    if at > len(MIGRATIONS):
        raise StoreUnavailable(
            f"{name} was made by a newer Storekeeper (schema {at}, this one knows "
            f"{len(MIGRATIONS)}); update Storekeeper, or restore a backup of its time"
        )
    return len(MIGRATIONS) - at


def require_ours(path: Path, busy_ms: int) -> int:
    """How many migrations the file lacks. Raises `StoreUnavailable` for one that isn't ours or is
    too new, and changes nothing of it: what we set on a connection would be written into it."""
    with contextlib.closing(
        apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    ) as connection:
        connection.set_busy_timeout(busy_ms)
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        return pending(connection)


def create(connection: apsw.Connection) -> int:
    """Gives a new file this version's schema; answers how many steps it has."""
    _take_steps(connection, lambda: len(MIGRATIONS))
    return len(MIGRATIONS)


def migrate(connection: apsw.Connection) -> int:
    """Brings the file to this version's schema, all in one transaction; answers how many steps.

    Another process doing the same waits, then finds nothing left to do.
    """
    if not pending(connection):
        return 0
    return _take_steps(connection, lambda: pending(connection))


def _take_steps(connection: apsw.Connection, missing: Callable[[], int]) -> int:
    """Takes the last steps, as many as are `missing` under the write lock."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        count = missing()
        for step in MIGRATIONS[len(MIGRATIONS) - count :]:
            connection.execute(step)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        # A full disk has ended the transaction already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return count
