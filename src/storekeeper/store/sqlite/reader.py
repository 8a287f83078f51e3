"""Questions asked of one read-only connection; every one is a look-up by key or index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from storekeeper.domain.accounts import Account
from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import Claim
from storekeeper.domain.events import Event
from storekeeper.domain.orders import Order
from storekeeper.domain.stock import Level, Movement, StockTotal
from storekeeper.domain.types import ProductId
from storekeeper.domain.work import Delivery
from storekeeper.store.port import Listed, MovementQuery, OrderQuery, Page, StoredEvent
from storekeeper.store.sqlite import cursor, kinds
from storekeeper.store.sqlite.connect import BUSY_MS, connect
from storekeeper.store.sqlite.schema import HAS_PICTURE, PICTURE

_LISTED = """
SELECT p.doc, t.product_pk, t.on_hand, t.reserved, t.threshold, t.is_low, t.backorder
  FROM product p JOIN total t ON t.product_pk = p.pk
"""
# What `Listed.in_stock` says of a product that is no parent, and of the variants of one.
SELLS = "({total}.on_hand > {total}.reserved OR {total}.backorder = 1 OR {product}.tracked = 0)"
A_VARIANT_SELLS = f"""
EXISTS (SELECT 1 FROM product v JOIN total vt ON vt.product_pk = v.pk
         WHERE v.parent_id = {{parent}} AND v.status = 'active'
           AND {SELLS.format(product="v", total="vt")})
"""
_SELLING_PARENTS = f"""
SELECT w.value FROM json_each(?) w WHERE {A_VARIANT_SELLS.format(parent="w.value")}
"""
_MOVED = """
SELECT m.seq, m.id, p.id, m.location_id, m.on_hand, m.reserved, m.reason, m.at, m.by,
       CASE WHEN m.order_pk IS NULL THEN m.reference ELSE 'order:' || o.id END, m.note
"""
_MOVEMENT = f"""{_MOVED}
  FROM movement m JOIN product p ON p.pk = m.product_pk LEFT JOIN orders o ON o.pk = m.order_pk
"""
# A product's movements and order lines are chains, walked from the newest as far as is asked for.
_CHAIN = """
WITH RECURSIVE chain (at, previous) AS (
    SELECT {key}, previous FROM {table} WHERE {key} = ?
    UNION ALL
    SELECT t.{key}, t.previous FROM chain c JOIN {table} t ON t.{key} = c.previous
    ORDER BY 1 DESC
)
"""
_MOVEMENT_CHAIN = _CHAIN.format(table="movement", key="seq")
_LINE_CHAIN = _CHAIN.format(table="order_line", key="pk")
_ORDER_CHAIN = _CHAIN.format(table="orders", key="pk")
# Kinds whose records are removed when their time is over.
_EXPIRING = (
    *("Session", "ResetLink", "Attempts", "Cart", "StockTake", "CountLine", "Delivery"),
    *("Traffic", "Picture", "AuditEntry"),
)
_EVENT = "SELECT seq, id, kind, subject, at, data FROM event"

_EVENTS_AFTER = """
SELECT json_group_array(json_array(seq, id, kind, subject, at, json(data))) FROM (
    SELECT * FROM event WHERE seq > ? ORDER BY seq LIMIT ?
)
"""
_event_rows = msgspec.json.Decoder(list[tuple[int, str, str, str, int, dict[str, Any]]])


class Reader:
    """One connection for reading. Methods run on a reader thread, never on the event loop."""

    def __init__(self, path: Path, busy_ms: int = BUSY_MS) -> None:
        self._path = path
        self._busy_ms = busy_ms

    def open(self) -> None:
        self.connection = connect(self._path, read_only=True, busy_ms=self._busy_ms)

    def close(self) -> None:
        self.connection.close()

    def shrink(self) -> None:
        """Lets go of the pages in its cache."""
        self.connection.execute("PRAGMA shrink_memory")

    def rows(self, sql: str, bindings: Sequence[Any] = ()) -> list[Any]:
        return self.connection.execute(sql, tuple(bindings)).fetchall()

    def get_many(self, kind: type[Any], ids: Sequence[str]) -> dict[str, Any]:
        wanted = msgspec.json.encode(ids).decode()
        if kind is Product:
            found = self.rows(
                "SELECT p.id, p.doc FROM json_each(?) w CROSS JOIN product p ON p.id = w.value "
                "WHERE p.version > 0",
                (wanted,),
            )
        elif kind is Order:
            found = self.rows(
                "SELECT o.id, o.doc FROM json_each(?) w CROSS JOIN orders o ON o.id = w.value",
                (wanted,),
            )
        else:
            found = self.rows(
                "SELECT r.id, r.doc FROM json_each(?2) w "
                "CROSS JOIN record r ON r.kind = ?1 AND r.id = w.value",
                (kind.__name__, wanted),
            )
        return {id: kinds.decode(kind, doc) for id, doc in found}

    def find(
        self,
        kind: type[Any],
        index: str,
        value: str,
        limit: int,
        after: str | None,
        newest_first: bool = False,
        also: Mapping[str, str] | None = None,
    ) -> Page[Any]:
        name = f"{'-' if newest_first else ''}{kind.__name__}.{index}"
        start = cursor.decode(after, name, str)[0] if after else ""
        beyond, order = ("<", "DESC") if newest_first else (">", "ASC")
        bindings: list[Any] = [kind.__name__, index, value]
        where = "i.kind = ? AND i.field = ? AND i.value = ?"
        if start:
            where += f" AND i.id {beyond} ?"
            bindings.append(start)
        for field, wanted in (also or {}).items():
            where += (
                " AND EXISTS (SELECT 1 FROM record_index o WHERE o.kind = i.kind AND o.field = ? "
                "AND o.value = ? AND o.id = i.id)"
            )
            bindings += (field, wanted)
        found = self.rows(
            "SELECT r.id, r.doc FROM record_index i JOIN record r ON r.kind = i.kind AND r.id = i.id"
            f" WHERE {where} ORDER BY i.id {order} LIMIT ?",
            (*bindings, limit + 1),
        )
        return _page(
            found,
            limit,
            lambda row: kinds.decode(kind, row[1]),
            lambda row: cursor.encode(name, row[0]),
        )

    def list_all(
        self, kind: type[Any], limit: int, after: str | None, newest_first: bool = False
    ) -> Page[Any]:
        name = f"{'-' if newest_first else ''}{kind.__name__}"
        beyond, order = ("<", "DESC") if newest_first else (">", "ASC")
        bindings: list[Any] = [kind.__name__]
        where = "kind = ?"
        if after:
            where += f" AND id {beyond} ?"
            bindings.append(cursor.decode(after, name, str)[0])
        found = self.rows(
            f"SELECT id, doc FROM record WHERE {where} ORDER BY id {order} LIMIT ?",
            (*bindings, limit + 1),
        )
        return _page(
            found,
            limit,
            lambda row: kinds.decode(kind, row[1]),
            lambda row: cursor.encode(name, row[0]),
        )

    def count(self, kind: type[Any], index: str, value: str, at_most: int) -> int:
        sql = "SELECT 1 FROM record_index WHERE kind = ? AND field = ? AND value = ? LIMIT ?"
        found = self.rows(f"SELECT count(*) FROM ({sql})", (kind.__name__, index, value, at_most))
        return int(found[0][0])

    def claims(self, scope: str, values: Sequence[str]) -> dict[str, Claim]:
        found = self.rows(
            "SELECT c.scope, c.value, c.owner, c.note FROM json_each(?2) w "
            "CROSS JOIN claim c ON c.scope = ?1 AND c.value = w.value",
            (scope, msgspec.json.encode(values).decode()),
        )
        return {
            row[1]: Claim(scope=row[0], value=row[1], owner=row[2], note=row[3]) for row in found
        }

    def products_by_sku(self, skus: Sequence[str]) -> dict[str, Product]:
        found = self.rows(
            "SELECT c.value, p.doc FROM json_each(?) w "
            "CROSS JOIN claim c ON c.scope = 'sku' AND c.value = w.value "
            "JOIN product p ON p.id = c.owner",
            (msgspec.json.encode(skus).decode(),),
        )
        return {sku: kinds.decode(Product, doc) for sku, doc in found}

    def listed(self, ids: Sequence[ProductId]) -> dict[ProductId, Listed]:
        with self.at_one_moment():
            found = self.rows(
                f"{_LISTED} WHERE p.version > 0 AND p.id IN (SELECT value FROM json_each(?))",
                (msgspec.json.encode(ids).decode(),),
            )
            return {item.product.id: item for item in self.with_variants(found)}

    @contextmanager
    def at_one_moment(self) -> Iterator[None]:
        """What is read inside is of one moment, however many questions it takes."""
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            self.connection.execute("COMMIT")

    def with_variants(self, rows: Sequence[Any]) -> list[Listed]:
        """What the rows list; one more question where there are parents, for all of them."""
        items = [listed_of(row) for row in rows]
        parents = [item.product.id for item in items if item.product.is_parent]
        if not parents:
            return items
        found = self.rows(_SELLING_PARENTS, (msgspec.json.encode(parents).decode(),))
        selling = {id for (id,) in found}
        return [
            msgspec.structs.replace(item, variant_in_stock=item.product.id in selling)
            for item in items
        ]

    def low_stock(self, limit: int, after: str | None) -> Page[Listed]:
        start = cursor.decode(after, "low", int)[0] if after else 0
        found = self.rows(
            "SELECT p.doc, t.product_pk, t.on_hand, t.reserved, t.threshold, t.is_low, t.backorder "
            "FROM total t CROSS JOIN product p ON p.pk = t.product_pk "
            "WHERE t.is_low = 1 AND p.status = 'active' AND t.product_pk > ? "
            "ORDER BY t.product_pk LIMIT ?",
            (start, limit + 1),
        )
        return _page(found, limit, listed_of, lambda row: cursor.encode("low", row[1]))

    def pictures_in_use(self, addresses: Sequence[str]) -> set[str]:
        found = self.rows(
            "SELECT w.value FROM json_each(?) w WHERE EXISTS (SELECT 1 FROM product p "
            f"WHERE {PICTURE} = w.value AND {HAS_PICTURE})",
            (msgspec.json.encode(addresses).decode(),),
        )
        return {row[0] for row in found}

    def holds_stock(self, location_id: str) -> bool:
        found = self.rows(
            "SELECT 1 FROM stock WHERE location_id = ? AND (on_hand <> 0 OR reserved <> 0) LIMIT 1",
            (location_id,),
        )
        return bool(found)

    def levels(self, product_ids: Sequence[ProductId]) -> list[Level]:
        found = self.rows(
            "SELECT p.id, s.location_id, s.on_hand, s.reserved FROM json_each(?) w "
            "CROSS JOIN product p ON p.id = w.value JOIN stock s ON s.product_pk = p.pk",
            (msgspec.json.encode(product_ids).decode(),),
        )
        return [
            Level(product_id=row[0], location_id=row[1], on_hand=row[2], reserved=row[3])
            for row in found
        ]

    def movements(self, query: MovementQuery) -> Page[Movement]:
        where: list[str] = ["1"]
        bindings: list[Any] = []

        def also(condition: str, *values: Any) -> None:
            if None not in values:
                where.append(condition)
                bindings.extend(values)

        before = cursor.decode(query.cursor, "movements", int)[0] if query.cursor else None
        sql = _MOVEMENT
        product_id: str | None = query.product_id
        if query.sku is not None:
            claim = self.claims("sku", [query.sku]).get(query.sku)
            if claim is None or product_id not in (None, claim.owner):
                return Page(items=())
            product_id = claim.owner
        if product_id is not None:
            start = self._chain_start("movement", "seq", "last_movement", product_id, before)
            if start is None:
                return Page(items=())
            sql = (
                f"{_MOVEMENT_CHAIN} {_MOVED} FROM chain c CROSS JOIN movement m ON m.seq = c.at "
                "JOIN product p ON p.pk = m.product_pk LEFT JOIN orders o ON o.pk = m.order_pk"
            )
            bindings.append(start)
        else:
            also("m.seq < ?", before)
        also("m.location_id = ?", query.location_id)
        also("m.reason = ?", query.reason)
        if query.reference is not None:
            # The terms of the partial indexes are said again, so that these are used.
            is_order = query.reference.startswith("order:")
            also(
                "m.seq IN (SELECT seq FROM movement WHERE reference <> '' AND reference = ? "
                "UNION ALL SELECT seq FROM movement WHERE order_pk IS NOT NULL "
                "AND order_pk = (SELECT pk FROM orders WHERE id = ?))",
                query.reference,
                query.reference.removeprefix("order:") if is_order else "",
            )
        also("m.at >= ?", query.at_from and kinds.micros(query.at_from))
        also("m.at < ?", query.at_before and kinds.micros(query.at_before))
        order = "" if product_id is not None else "ORDER BY m.seq DESC"
        found = self.rows(
            f"{sql} WHERE {' AND '.join(where)} {order} LIMIT ?", (*bindings, query.limit + 1)
        )
        return _page(
            found, query.limit, movement_of, lambda row: cursor.encode("movements", row[0])
        )

    def _chain_start(
        self, table: str, key: str, newest: str, product_id: str, before: int | None
    ) -> int | None:
        """Where a page of a product's chain begins; None where there is nothing (more)."""
        if before is None:
            sql = f"SELECT t.{newest} FROM total t JOIN product p ON p.pk = t.product_pk"
            found = self.rows(f"{sql} WHERE p.id = ?", (product_id,))
        else:
            sql = f"SELECT t.previous FROM {table} t JOIN product p ON p.pk = t.product_pk"
            found = self.rows(f"{sql} WHERE p.id = ? AND t.{key} = ?", (product_id, before))
        return (found[0][0] or None) if found else None

    def orders(self, query: OrderQuery) -> Page[Order]:
        where: list[str] = ["1"]
        bindings: list[Any] = []

        def also(condition: str, *values: Any) -> None:
            if None not in values:
                where.append(condition)
                bindings.extend(values)

        also("o.state = ?", query.state)
        also("o.number = ?", query.number)
        also("o.placed_at >= ?", query.placed_from and kinds.micros(query.placed_from))
        also("o.placed_at < ?", query.placed_before and kinds.micros(query.placed_before))
        if query.sku is not None and query.customer_id is not None:
            # A customer has few orders, a product may have been sold a million times.
            also(
                "EXISTS (SELECT 1 FROM json_each(o.doc, '$.lines') l WHERE l.value ->> 'product_id'"
                " = (SELECT owner FROM claim WHERE scope = 'sku' AND value = ?))",
                query.sku,
            )
        elif query.sku is not None:
            return self._orders_of_sku(query.sku, query, where, bindings)
        if query.customer_id is not None:
            return self._orders_of_customer(query.customer_id, query, where, bindings)
        if query.cursor:
            also("(o.placed_at, o.pk) < (?, ?)", *cursor.decode(query.cursor, "orders", int, int))
        found = self.rows(
            f"SELECT o.doc, o.placed_at, o.pk FROM orders o WHERE {' AND '.join(where)} "
            "ORDER BY o.placed_at DESC, o.pk DESC LIMIT ?",
            (*bindings, query.limit + 1),
        )
        return _page(
            found,
            query.limit,
            lambda row: kinds.decode(Order, row[0]),
            lambda row: cursor.encode("orders", row[1], row[2]),
        )

    def _orders_of_customer(
        self, customer_id: str, query: OrderQuery, where: list[str], bindings: list[Any]
    ) -> Page[Order]:
        """In the order of their commits, newest first, which is that of their placing."""
        if query.cursor:
            (before,) = cursor.decode(query.cursor, "orders-customer", int)
            sql = "SELECT previous FROM orders WHERE customer_id = ? AND pk = ?"
            start = self.rows(sql, (customer_id, before))
        else:
            start = self.rows("SELECT last_order FROM customer WHERE id = ?", (customer_id,))
        if not start or not start[0][0]:
            return Page(items=())
        found = self.rows(
            f"{_ORDER_CHAIN} SELECT o.doc, o.pk FROM chain c CROSS JOIN orders o ON o.pk = c.at "
            f"WHERE {' AND '.join(where)} LIMIT ?",
            (start[0][0], *bindings, query.limit + 1),
        )
        return _page(
            found,
            query.limit,
            lambda row: kinds.decode(Order, row[0]),
            lambda row: cursor.encode("orders-customer", row[1]),
        )

    def _orders_of_sku(
        self, sku: str, query: OrderQuery, where: list[str], bindings: list[Any]
    ) -> Page[Order]:
        """In the order of their commits, newest first, which is that of their placing."""
        before = cursor.decode(query.cursor, "orders-sku", int)[0] if query.cursor else None
        claim = self.claims("sku", [sku]).get(sku)
        start = claim and self._chain_start("order_line", "pk", "last_line", claim.owner, before)
        if not start:
            return Page(items=())
        found = self.rows(
            f"{_LINE_CHAIN} SELECT o.doc, l.pk FROM chain c CROSS JOIN order_line l ON l.pk = c.at "
            f"CROSS JOIN orders o ON o.pk = l.order_pk WHERE {' AND '.join(where)} LIMIT ?",
            (start, *bindings, query.limit + 1),
        )
        return _page(
            found,
            query.limit,
            lambda row: kinds.decode(Order, row[0]),
            lambda row: cursor.encode("orders-sku", row[1]),
        )

    def expired_orders(self, now: datetime, limit: int) -> list[Order]:
        found = self.rows(
            "SELECT doc FROM orders WHERE expires_at IS NOT NULL AND expires_at <= ? "
            # The plus keeps it from reading all pending orders by their state.
            "AND +state = 'pending' ORDER BY expires_at LIMIT ?",
            (kinds.micros(now), limit),
        )
        return [kinds.decode(Order, doc) for (doc,) in found]

    def events_after(self, seq: int, limit: int) -> list[StoredEvent]:
        # One row for all of them: each row that is fetched gives up Python's lock once.
        found = self.rows(_EVENTS_AFTER, (seq, limit))
        return [_event_of(*row) for row in _event_rows.decode(found[0][0])]

    def event_at(self, seq: int) -> StoredEvent | None:
        found = self.rows(f"{_EVENT} WHERE seq = ?", (seq,))
        return _event(found[0]) if found else None

    def events_at(self, seqs: Sequence[int]) -> dict[int, StoredEvent]:
        found = self.rows(
            f"{_EVENT} WHERE seq IN (SELECT value FROM json_each(?))",
            (msgspec.json.encode(seqs).decode(),),
        )
        return {row[0]: _event(row) for row in found}

    def last_event_seq(self) -> int:
        return int(self.rows("SELECT coalesce(max(seq), 0) FROM event")[0][0])

    def due_deliveries(self, sink: str, now: datetime, limit: int) -> list[Delivery]:
        found = self.rows(
            "SELECT r.doc FROM record_index i JOIN record r ON r.kind = i.kind AND r.id = i.id "
            "WHERE i.kind = 'Delivery' AND i.field = 'due' AND i.value >= ?1 AND i.value <= ?2 "
            "ORDER BY r.doc ->> 'event_seq' LIMIT ?3",
            (f"{sink}|", f"{sink}|{kinds.sortable(now)}", limit),
        )
        return [kinds.decode(Delivery, doc) for (doc,) in found]

    def blocked_subjects(self, sink: str, subjects: Sequence[str]) -> set[str]:
        wanted = msgspec.json.encode([f"{sink}|{subject}" for subject in subjects]).decode()
        found = self.rows(
            "SELECT DISTINCT i.value FROM json_each(?) w CROSS JOIN record_index i "
            "ON i.kind = 'Delivery' AND i.field = 'blocked' AND i.value = w.value",
            (wanted,),
        )
        return {value.removeprefix(f"{sink}|") for (value,) in found}

    def failing_deliveries(self, sink: str, subjects: Sequence[str], each: int) -> list[Delivery]:
        wanted = msgspec.json.encode([f"{sink}|{subject}" for subject in subjects]).decode()
        found = self.rows(
            "SELECT doc FROM (SELECT r.doc, r.doc ->> 'event_seq' AS seq, row_number() OVER "
            "(PARTITION BY i.value ORDER BY r.doc ->> 'event_seq') AS place "
            "FROM json_each(?1) w CROSS JOIN record_index i "
            "ON i.kind = 'Delivery' AND i.field = 'blocked' AND i.value = w.value "
            "CROSS JOIN record r ON r.kind = i.kind AND r.id = i.id) "
            "WHERE place <= ?2 ORDER BY seq",
            (wanted, each),
        )
        return [kinds.decode(Delivery, doc) for (doc,) in found]

    def expired_records(self, now: datetime, limit: int) -> list[tuple[str, str, int]]:
        """Kind, id and version of records whose time is over."""
        found: list[tuple[str, str, int]] = []
        for kind in _EXPIRING:
            found += self.rows(
                "SELECT r.kind, r.id, r.version FROM record_index i "
                "JOIN record r ON r.kind = i.kind AND r.id = i.id "
                "WHERE i.kind = ? AND i.field = 'expires' AND i.value <= ? LIMIT ?",
                (kind, kinds.sortable(now), limit - len(found)),
            )
        return found

    def admins(self) -> list[Account]:
        return list(self.find(Account, "role", "active:admin", 1_000, None).items)

    def customer_count(self) -> int:
        return int(self.rows("SELECT count(*) FROM record WHERE kind = 'Account'")[0][0])

    def order_count(self, state: str, at_most: int) -> int:
        return int(
            self.rows(
                "SELECT count(*) FROM (SELECT 1 FROM orders WHERE state = ? LIMIT ?)",
                (state, at_most),
            )[0][0]
        )

    def low_count(self) -> int:
        return int(
            self.rows(
                "SELECT count(*) FROM total t CROSS JOIN product p ON p.pk = t.product_pk "
                "WHERE t.is_low = 1 AND p.status = 'active'"
            )[0][0]
        )

    def docs_after(self, kind: type[Any], after: Any, limit: int) -> list[tuple[Any, str]]:
        """Documents in the order of their keys, for scans."""
        if kind is Product:
            return self.rows(
                "SELECT pk, doc FROM product WHERE version > 0 AND pk > ? ORDER BY pk LIMIT ?",
                (after or 0, limit),
            )
        if kind is Order:
            return self.rows(
                "SELECT pk, doc FROM orders WHERE pk > ? ORDER BY pk LIMIT ?", (after or 0, limit)
            )
        return self.rows(
            "SELECT id, doc FROM record WHERE kind = ? AND id > ? ORDER BY id LIMIT ?",
            (kind.__name__, after or "", limit),
        )

    def movements_after(self, seq: int, limit: int) -> list[Any]:
        return self.rows(f"{_MOVEMENT} WHERE m.seq > ? ORDER BY m.seq LIMIT ?", (seq, limit))

    def stream(self, sql: str, bindings: Sequence[Any] = ()) -> Iterator[Any]:
        yield from self.connection.execute(sql, tuple(bindings))


def listed_of(row: Sequence[Any]) -> Listed:
    product: Product = kinds.decode(Product, row[0])
    return Listed(
        product=product,
        stock=StockTotal(
            product_id=product.id,
            on_hand=row[2],
            reserved=row[3],
            threshold=row[4],
            is_low=bool(row[5]),
            allow_backorder=bool(row[6]),
        ),
    )


def movement_of(row: Sequence[Any]) -> Movement:
    return Movement(
        id=row[1],
        product_id=row[2],
        location_id=row[3],
        on_hand=row[4],
        reserved=row[5],
        reason=row[6],
        at=kinds.from_micros(row[7]),
        by=row[8],
        reference=row[9],
        note=row[10],
    )


def _event(row: Sequence[Any]) -> StoredEvent:
    seq, id, kind, subject, at, data = row
    return _event_of(seq, id, kind, subject, at, msgspec.json.decode(data))


def _event_of(
    seq: int, id: str, kind: str, subject: str, at: int, data: dict[str, Any]
) -> StoredEvent:
    event = Event(id=id, kind=kind, subject=subject, at=kinds.from_micros(at), data=data)
    return StoredEvent(seq=seq, event=event)


def _page(rows: list[Any], limit: int, item: Any, position: Any) -> Page[Any]:
    """`rows` has one more than `limit` where there is a next page."""
    shown = rows[:limit]
    return Page(
        items=tuple(item(row) for row in shown),
        next=position(shown[-1]) if len(rows) > limit else None,
    )
