"""A shop's rows as they lie in its tables: read in chunks, written as they were, and compared.

A row keeps its key, its number and its version, so that cursors, ids and positions of the copy mean
what they meant before.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import msgspec

from storekeeper.domain.catalog import Product
from storekeeper.domain.errors import StoreUnavailable
from storekeeper.domain.types import Struct
from storekeeper.domain.work import Lease
from storekeeper.store.sqlite import kinds
from storekeeper.store.sqlite.connect import told_clearly
from storekeeper.store.sqlite.products import index_words
from storekeeper.store.sqlite.reader import Reader
from storekeeper.store.sqlite.rows import insert, scalar

Row = tuple[int | str | None, ...]
# Each with its key, in an order in which rows refer only to earlier ones. What is searched for
# is made anew from the products.
TABLES: dict[str, tuple[str, ...]] = {
    "product": ("pk",),
    "product_tag": ("tag", "product_pk"),
    "total": ("product_pk",),
    "stock": ("product_pk", "location_id"),
    "orders": ("pk",),
    "customer": ("id",),
    "order_line": ("pk",),
    "movement": ("seq",),
    "event": ("seq",),
    "claim": ("scope", "value"),
    "record": ("kind", "id"),
    "record_index": ("kind", "field", "value", "id"),
}
# Leases end by themselves and mean nothing elsewhere: their rows, which another engine needn't
# have, are neither read for a copy nor compared.
_COPIED = {"record": f"kind <> '{Lease.__name__}'"}
_INTEGER_BYTES = 8


class Rows(NamedTuple):
    """Some rows of one table, in the order of its key."""

    table: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def end(self) -> tuple[str, Row]:
        """The table and the key of the last row: where the next chunk goes on."""
        last = dict(zip(self.columns, self.rows[-1], strict=True))
        return self.table, tuple(last[name] for name in TABLES[self.table])


class Digest(Struct, frozen=True, kw_only=True):
    """A table's contents: how many rows, and a hash over all of them in the order of the key."""

    rows: int
    sha256: str


@contextlib.contextmanager
def snapshot_at(path: Path) -> Iterator[apsw.Connection]:
    """A file that nobody writes any more, for reading."""
    with (
        told_clearly(path),
        contextlib.closing(
            apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        ) as connection,
    ):
        yield connection


def chunks(
    connection: apsw.Connection, size: int, after: tuple[str, Row] | None = None
) -> Iterator[Rows]:
    """All rows after a place, in chunks of about `size` bytes; one row may be larger."""
    tables = list(TABLES)
    start = tables.index(after[0]) if after else 0
    for table in tables[start:]:
        columns = _columns(connection, table)
        found: list[Row] = []
        filled = 0
        for row in _read(connection, table, columns, after[1] if after else None):
            found.append(row)
            filled += sum(len(v) if isinstance(v, str) else _INTEGER_BYTES for v in row)
            if filled >= size:
                yield Rows(table, columns, tuple(found))
                found, filled = [], 0
        if found:
            yield Rows(table, columns, tuple(found))
        after = None


def count(connection: apsw.Connection) -> int:
    """The rows of all tables together."""
    return sum(
        scalar(connection, f"SELECT count(*) FROM {table} WHERE {_COPIED.get(table, 'true')}")
        for table in TABLES
    )


def write(connection: apsw.Connection, found: Rows) -> None:
    """Inserts rows as they are; raises `StoreUnavailable` for a table or column that this version
    doesn't know."""
    table, columns, rows = found
    if table not in TABLES or not set(columns) <= set(_columns(connection, table)):
        raise StoreUnavailable(
            f"the copied shop has rows of {table} that this Storekeeper doesn't know; update "
            "Storekeeper on this machine"
        )
    insert(connection, f"INSERT INTO {table} ({', '.join(columns)})", rows)
    if table == "product":
        pk, version, doc = (columns.index(name) for name in ("pk", "version", "doc"))
        index_words(
            connection,
            [(row[pk], kinds.decode(Product, str(row[doc]))) for row in rows if row[version]],
        )


def digests(reader: Reader) -> dict[str, Digest]:
    """What every table holds, in one snapshot."""
    connection = reader.connection
    connection.execute("BEGIN")
    try:
        return {table: _digest(connection, table) for table in TABLES}
    finally:
        connection.execute("COMMIT")


def _digest(connection: apsw.Connection, table: str) -> Digest:
    told = hashlib.sha256()
    encode = msgspec.msgpack.Encoder().encode
    number = 0
    for row in _read(connection, table, _columns(connection, table)):
        told.update(encode(row))
        number += 1
    return Digest(rows=number, sha256=told.hexdigest())


def _read(
    connection: apsw.Connection, table: str, columns: Sequence[str], after: Row | None = None
) -> Iterator[Row]:
    keys = ", ".join(TABLES[table])
    start = f"AND ({keys}) > ({', '.join('?' * len(after))})" if after else ""
    which = f"{_COPIED.get(table, 'true')} {start}"
    sql = f"SELECT {', '.join(columns)} FROM {table} WHERE {which} ORDER BY {keys}"
    rows: Any = connection.execute(sql, after or ())
    yield from rows


def _columns(connection: apsw.Connection, table: str) -> tuple[str, ...]:
    return tuple(sorted(row[1] for row in connection.execute(f"PRAGMA table_info({table})")))
