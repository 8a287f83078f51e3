"""Which records an entry of the log touched, as far as other programs are shown them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from storekeeper.domain.accounts import Account
from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import ChangeSet
from storekeeper.domain.orders import Order
from storekeeper.store.dynamodb import items
from storekeeper.store.dynamodb.entries import Copied, Entry
from storekeeper.store.sqlite.reader import Reader
from storekeeper.store.sqlite.transfer import Rows

# The kind of item and the record's id; stock at all locations goes by its product's.
Key = tuple[str, str]
_KINDS: dict[type[Any], str] = {Product: items.PRODUCT, Order: items.ORDER, Account: items.ACCOUNT}


def touched_by(reader: Reader, found: Sequence[Entry | Copied]) -> dict[Key, int]:
    """The records of entries that the replica holds already, each with its last entry's number."""
    touched: dict[Key, int] = {}
    for entry in found:
        if isinstance(entry, Entry):
            touched.update((key, entry.seq) for one in entry.changes for key in _changed(one))
        elif entry.found is not None:
            touched.update((key, entry.seq) for key in _copied(reader, entry.found))
    return touched


def _changed(change: ChangeSet) -> Iterator[Key]:
    for (record,) in change.puts:
        if kind := _KINDS.get(type(record)):
            yield kind, record.id
    for delete in change.deletes:
        if delete.kind == Product.__name__:
            yield items.PRODUCT, delete.id
    for movement in change.movements:
        yield items.STOCK, movement.product_id


def _copied(reader: Reader, found: Rows) -> Iterator[Key]:
    rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
    if found.table in ("product", "orders"):
        kind = items.PRODUCT if found.table == "product" else items.ORDER
        for row in rows:
            yield kind, str(row["id"])
    elif found.table == "stock":
        pks = sorted({row["product_pk"] for row in rows if row["product_pk"] is not None})
        ids = reader.rows(
            "SELECT p.id FROM json_each(?) w JOIN product p ON p.pk = w.value",
            (msgspec.json.encode(pks).decode(),),
        )
        for (id,) in ids:
            yield items.STOCK, id
    elif found.table == "record":
        for row in rows:
            if row["kind"] == Account.__name__:
                yield items.ACCOUNT, str(row["id"])
