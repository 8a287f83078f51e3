"""Sales and the worth of stock, added up by SQLite itself; on the lane for long work only.

SQLite adds up without Python's lock, so that orders go on meanwhile. Sales are read off the index
of the times of placing: a bucket of time costs its own orders, a grouping by product, category or
customer all orders of the range, for each page. The worth of stock costs a look at all levels.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from storekeeper.domain.catalog import Product
from storekeeper.domain.stock import Location
from storekeeper.store.port import (
    Page,
    SalesBy,
    SalesQuery,
    SalesRow,
    StockValueQuery,
    StockValueRow,
)
from storekeeper.store.sqlite import cursor, kinds
from storekeeper.store.sqlite.audit import SOLD
from storekeeper.store.sqlite.reader import Reader

_LAST = 2**63 - 1
_SOLD = "(" + ", ".join(f"'{state}'" for state in SOLD) + ")"
# The plus keeps it on the index of times: a state's own has most of all orders.
_WITHIN = f"o.placed_at >= ? AND o.placed_at < ? AND +o.state IN {_SOLD}"
_LINES = f"""
SELECT o.pk AS order_pk, o.customer_id, o.doc ->> 'currency' AS currency,
       l.value ->> 'product_id' AS product_id,
       l.value ->> '$.unit_price.amount' AS price,
       l.value ->> 'quantity' - coalesce(l.value ->> 'cancelled', 0) AS units,
       coalesce(l.value ->> 'returned', 0) AS returned
  FROM orders o CROSS JOIN json_each(o.doc, '$.lines') l
 WHERE {_WITHIN}
"""
_SUMS = """
count(DISTINCT s.order_pk), sum(s.units), sum(s.price * s.units), sum(s.returned),
sum(s.price * s.returned)
"""
# What rows are grouped by, and where that is found.
_KEYS: dict[SalesBy, tuple[str, str]] = {
    "product": ("s.product_id", ""),
    "customer": ("coalesce(s.customer_id, '')", ""),
    "category": (
        "coalesce(p.category, '')",
        "LEFT JOIN product p ON p.id = s.product_id",
    ),
}
_STOCK_KEYS = {"category": "coalesce(p.category, '')", "location": "s.location_id"}


def sales(reader: Reader, query: SalesQuery) -> Page[SalesRow]:
    """One page, all of one moment; raises `Invalid` for a cursor of another report."""
    with reader.at_one_moment():
        if query.by in _KEYS:
            if query.best_first:
                return _best_sales(reader, query)
            return _sales_by_key(reader, query)
        return _sales_by_time(reader, query)


def _sales_by_key(reader: Reader, query: SalesQuery) -> Page[SalesRow]:
    name = f"sales-{query.by}"
    after = cursor.decode(query.cursor, name, str, str) if query.cursor else ("", "")
    key, joined = _KEYS[query.by]
    found = reader.rows(
        f"WITH s AS ({_LINES}) SELECT {key} AS key, s.currency, {_SUMS} FROM s {joined} "
        "WHERE (key, s.currency) > (?, ?) GROUP BY key, s.currency ORDER BY key, s.currency LIMIT ?",
        (*_range(query), *after, query.limit + 1),
    )
    shown = found[: query.limit]
    return Page(
        items=_named(reader, query.by, shown),
        next=cursor.encode(name, *shown[-1][:2]) if len(found) > query.limit else None,
    )


def _best_sales(reader: Reader, query: SalesQuery) -> Page[SalesRow]:
    key, joined = _KEYS[query.by]
    found = reader.rows(
        f"WITH s AS ({_LINES}), sums AS (SELECT {key} AS key, s.currency AS currency, {_SUMS}, "
        "row_number() OVER (PARTITION BY s.currency ORDER BY sum(s.price * s.units) DESC, "
        f"{key}) AS place FROM s {joined} GROUP BY key, s.currency) "
        "SELECT * FROM sums WHERE place <= ? ORDER BY currency, place",
        (*_range(query), query.limit),
    )
    return Page(items=_named(reader, query.by, [row[:-1] for row in found]))


def _named(reader: Reader, by: SalesBy, rows: list[Any]) -> tuple[SalesRow, ...]:
    keys = [row[0] for row in rows]
    products = _products(reader, keys if by == "product" else [])
    names = _categories(reader, keys if by == "category" else [])
    return tuple(
        _row(
            row[0],
            row[1:],
            sku=products[row[0]].sku if row[0] in products else None,
            name=products[row[0]].name if row[0] in products else names.get(row[0]),
        )
        for row in rows
    )


def _sales_by_time(reader: Reader, query: SalesQuery) -> Page[SalesRow]:
    name = f"sales-{query.by}"
    first, before = _range(query)
    after: tuple[Any, ...] = ()
    if query.cursor:
        after = cursor.decode(query.cursor, name, int, str)
        first = max(first, after[0])
    found: list[tuple[tuple[int, str], SalesRow]] = []
    for bucket, start, end in _buckets(reader, query.by, first, before):
        rows = reader.rows(
            f"WITH s AS ({_LINES}) SELECT s.currency, {_SUMS} FROM s "
            "GROUP BY s.currency ORDER BY s.currency",
            (start, end),
        )
        for row in rows:
            place = (kinds.micros(bucket), row[0])
            if not after or place > after:
                found.append((place, _row(bucket.date().isoformat(), row)))
        if len(found) > query.limit:
            break
    shown = found[: query.limit]
    return Page(
        items=tuple(row for _, row in shown),
        next=cursor.encode(name, *shown[-1][0]) if len(found) > query.limit else None,
    )


def _buckets(
    reader: Reader, by: SalesBy, first: int, before: int
) -> Iterator[tuple[datetime, int, int]]:
    """Each day, week or month in which something was sold, in order, and what of it is within the
    range: from inclusive, before exclusive."""
    while True:
        found = reader.rows(
            f"SELECT o.placed_at FROM orders o WHERE {_WITHIN} ORDER BY o.placed_at LIMIT 1",
            (first, before),
        )
        if not found:
            return
        bucket, next_one = _bucket(by, kinds.from_micros(found[0][0]))
        end = min(kinds.micros(next_one), before)
        yield bucket, found[0][0], end
        first = end


def _bucket(by: SalesBy, at: datetime) -> tuple[datetime, datetime]:
    """Where the day, week (from Monday) or month of a time begins and ends, in UTC."""
    day = datetime(at.year, at.month, at.day, tzinfo=UTC)
    if by == "day":
        return day, day + timedelta(days=1)
    if by == "week":
        monday = day - timedelta(days=day.weekday())
        return monday, monday + timedelta(days=7)
    month = day.replace(day=1)
    return month, (month + timedelta(days=31)).replace(day=1)


def stock_value(reader: Reader, query: StockValueQuery) -> Page[StockValueRow]:
    """One page, all of one moment; raises `Invalid` for a cursor of another report."""
    name = f"stock-value-{query.by}"
    after = cursor.decode(query.cursor, name, str, str) if query.cursor else ("", "")
    key = _STOCK_KEYS[query.by]
    with reader.at_one_moment():
        found = reader.rows(
            f"SELECT {key} AS key, p.doc ->> '$.price.currency' AS currency, "
            "count(DISTINCT s.product_pk), sum(s.on_hand), sum(s.on_hand * p.price) "
            "FROM stock s JOIN product p ON p.pk = s.product_pk "
            "WHERE s.on_hand <> 0 AND (key, currency) > (?, ?) "
            "GROUP BY key, currency ORDER BY key, currency LIMIT ?",
            (*after, query.limit + 1),
        )
        shown = found[: query.limit]
        keys = [row[0] for row in shown]
        if query.by == "category":
            names = _categories(reader, keys)
        else:
            names = {id: place.name for id, place in reader.get_many(Location, keys).items()}
    return Page(
        items=tuple(
            StockValueRow(
                key=row[0],
                name=names.get(row[0]),
                currency=row[1],
                products=row[2],
                units=row[3],
                value=row[4],
            )
            for row in shown
        ),
        next=cursor.encode(name, *shown[-1][:2]) if len(found) > query.limit else None,
    )


def _range(query: SalesQuery) -> tuple[int, int]:
    start = 0 if query.placed_from is None else kinds.micros(query.placed_from)
    return start, _LAST if query.placed_before is None else kinds.micros(query.placed_before)


def _row(key: str, figures: Any, sku: str | None = None, name: str | None = None) -> SalesRow:
    currency, orders, units, revenue, returned_units, returned_value = figures
    return SalesRow(
        key=key,
        sku=sku,
        name=name,
        currency=currency,
        orders=orders,
        units=units,
        revenue=revenue,
        returned_units=returned_units,
        returned_value=returned_value,
    )


def _products(reader: Reader, ids: list[str]) -> dict[str, Product]:
    return reader.get_many(Product, ids) if ids else {}


def _categories(reader: Reader, keys: list[str]) -> dict[str, str]:
    """Categories as somebody wrote them, by their folded names."""
    found = reader.rows(
        "SELECT w.value, (SELECT p.doc ->> 'category' FROM product p WHERE p.category = w.value "
        "LIMIT 1) FROM json_each(?) w WHERE w.value <> ''",
        (msgspec.json.encode(keys).decode(),),
    )
    return dict(found)
