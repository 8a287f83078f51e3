"""The one writer of a process: whatever has arrived is decided together and flushed once."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import apsw

from storekeeper.domain.admission import Admitted, State, Total, admit, touched
from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import ChangeSet, Claim, Impossible, Taken
from storekeeper.domain.errors import Overloaded, StoreUnavailable
from storekeeper.domain.events import Event
from storekeeper.domain.orders import Order
from storekeeper.domain.stock import Movement
from storekeeper.store.port import ANY_PRODUCT
from storekeeper.store.sqlite import kinds
from storekeeper.store.sqlite.connect import BUSY_MS, connect, explain
from storekeeper.store.sqlite.known import Known
from storekeeper.store.sqlite.products import write_products
from storekeeper.store.sqlite.rows import insert, lookup, scalar
from storekeeper.store.sqlite.stamps import Stamps

CHECKPOINT_PAGES = 4_000
ORDER = "order:"
# What a batch or two may need; with less the shop says that it can't be written.
SPARE_BYTES = 1 << 20
# Products whose stock is remembered between batches, about 1 KiB each.
MOST_KNOWN = 4_000

_PRODUCTS = """
SELECT json_group_array(json_array(p.id, p.pk, p.version, t.on_hand, t.reserved, t.threshold,
                                   t.is_low, t.backorder, t.last_movement, t.last_line))
  FROM json_each(?) wanted
 CROSS JOIN product p ON p.id = wanted.value
  JOIN total t ON t.product_pk = p.pk
"""
_LEVELS = """
SELECT json_group_array(json_array(s.product_pk, s.location_id, s.on_hand, s.reserved))
  FROM json_each(?) wanted
 CROSS JOIN stock s ON s.product_pk = wanted.value
"""
_ORDERS = """
SELECT json_group_array(json_array(o.id, o.version, o.pk))
  FROM json_each(?) wanted
 CROSS JOIN orders o ON o.id = wanted.value
"""
_CUSTOMERS = """
SELECT json_group_array(json_array(c.id, c.last_order))
  FROM json_each(?) wanted
 CROSS JOIN customer c ON c.id = wanted.value
"""
_RECORDS = """
SELECT json_group_array(json_array(r.kind, r.id, r.version))
  FROM json_each(?) wanted
 CROSS JOIN record r ON r.kind = wanted.value ->> 0 AND r.id = wanted.value ->> 1
"""
_CLAIMS = """
SELECT json_group_array(json_array(c.scope, c.value, c.owner, c.note))
  FROM json_each(?) wanted
 CROSS JOIN claim c ON c.scope = wanted.value ->> 0 AND c.value = wanted.value ->> 1
"""
_REFERENCED = """
SELECT json_group_array(json_array(p.id))
  FROM json_each(?) wanted
 CROSS JOIN product p ON p.id = wanted.value
  JOIN total t ON t.product_pk = p.pk
 WHERE t.last_line > 0
    OR EXISTS (SELECT 1 FROM product v WHERE v.parent_id = p.id)
"""


class Counters:
    """What the writer has done, for metrics. Written by its thread, read by any."""

    def __init__(self) -> None:
        self.batches = 0
        self.changes = 0
        self.observe_batch: Callable[[int], None] = lambda size: None


# What SQLite itself raises, for engines that keep a file of ours and not its driver.
FileFailure = apsw.Error


class Writer:
    """Commits batches of change sets. All methods run on the writer's own thread."""

    def __init__(
        self,
        path: Path,
        stamps: Stamps,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
        busy_ms: int = BUSY_MS,
    ) -> None:
        self._path = path
        self._busy_ms = busy_ms
        self._stamps = stamps
        self._clock = clock
        self._new_id = new_id
        self.counters = Counters()
        self._known = Known()
        self._order_pks: dict[str, int] = {}

    def open(self) -> None:
        self._connection = connect(self._path, cache_mib=24, busy_ms=self._busy_ms)
        self._connection.wal_autocheckpoint(CHECKPOINT_PAGES)
        # What is deleted is overwritten, so that no copy of the file holds what somebody had removed.
        self._connection.pragma("secure_delete", True)
        # SQLite's own lock is polled ever more slowly, which starves one of two busy processes.
        self._turn = os.open(f"{self._path}-turn", os.O_RDWR | os.O_CREAT, 0o600)
        with self._own_turn():
            self._stamps.bump_all(self._last_moment())

    def close(self) -> None:
        self._connection.close()
        os.close(self._turn)

    def commit(self, changes: Sequence[ChangeSet]) -> list[Exception | None]:
        """Commits all that can be; answers None or the reason for each, in order."""
        try:
            with self._own_turn():
                return self._commit(changes)
        except apsw.Error as error:
            if isinstance(error, apsw.ConstraintError):
                # One of them broke a constraint that admission doesn't know; find it by itself.
                return self._one_by_one(changes, _of_constraint(error))
            reason = explain(error, self._path)
            return [reason] * len(changes)
        except (StoreUnavailable, Overloaded) as error:
            return [error] * len(changes)
        except Exception as error:  # one faulty change set fails alone
            return self._one_by_one(changes, error)

    def _one_by_one(self, changes: Sequence[ChangeSet], error: Exception) -> list[Exception | None]:
        if len(changes) == 1:
            return [error]
        return [outcome for change in changes for outcome in self.commit([change])]

    def probe(self) -> None:
        """Raises what a write would meet now; writes nothing."""
        disk = os.statvfs(self._path.parent)
        if disk.f_bavail * disk.f_frsize < SPARE_BYTES:
            raise apsw.FullError("there is hardly room left")
        with self._own_turn():
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute("ROLLBACK")

    def shrink(self) -> None:
        """Lets go of the pages in its cache."""
        self._connection.execute("PRAGMA shrink_memory")

    @contextlib.contextmanager
    def _own_turn(self) -> Iterator[None]:
        self._await_turn()
        try:
            yield
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)

    def _await_turn(self) -> None:
        """Raises `apsw.BusyError` when another process keeps its turn for too long."""
        until = time.monotonic() + self._busy_ms / 1_000
        rest = 0.0002
        while True:
            try:
                fcntl.flock(self._turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > until:
                    raise apsw.BusyError("another process doesn't end its turn") from None
            time.sleep(rest)
            rest = min(0.002, rest * 2)

    def _commit(self, changes: Sequence[ChangeSet]) -> list[Exception | None]:
        connection = self._connection
        bumps = stamps_of(changes)
        slots = self._stamps.slots(bumps)
        connection.execute("BEGIN IMMEDIATE")
        try:
            writes_products = ("catalog", ANY_PRODUCT) in bumps
            if writes_products:
                self._known = Known()
            state = self._load(changes)
            now = self._clock()
            moment = self._next_moment()
            results = admit(changes, state, now, self._new_id)
            admitted = [result for result in results if isinstance(result, Admitted)]
            if admitted:
                self._write(admitted, state)
                self._stamps.bump(slots, moment - 1)
            self._seal(admitted, now)
            is_kept = self._end("COMMIT" if admitted else "ROLLBACK")
        except BaseException:
            self._roll_back()
            raise
        if writes_products:
            self._known = Known()
        if admitted:
            if is_kept:
                self._stamps.bump(slots, moment)
                self._stamps.reach(moment)
            self.counters.batches += 1
            self.counters.changes += len(admitted)
            self.counters.observe_batch(len(admitted))
        return [result if isinstance(result, Exception) else None for result in results]

    def _seal(self, admitted: Sequence[Admitted], now: datetime) -> None:
        """The last step before the commit, or before nothing was admitted and all is refused.

        Here an engine that keeps this file as its replica has its say; the file alone is ours.
        """

    def _end(self, statement: str) -> bool:
        """Commits or rolls back; whether the file holds what was admitted, which stands in any case
        where this returns."""
        self._connection.execute(statement)
        return True

    def _last_moment(self) -> int:
        """When what the file holds at its opening was written, at the latest; always even."""
        return self._next_moment()

    def _next_moment(self) -> int:
        """That of the commit which is under way; the odd number before it is its beginning."""
        return self._stamps.moment + 2

    def _roll_back(self) -> None:
        self._known = Known()
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _load(self, changes: Sequence[ChangeSet]) -> State:
        records, claims, product_ids, references = touched(changes)
        connection = self._connection
        versions = dict.fromkeys(records, 0)
        wanted: set[str] = {id for kind, id in records if kind == "Product"}
        wanted |= product_ids
        wanted |= references
        known = self._know(wanted)
        orders = []
        others = []
        for key in records:
            kind, id = key
            if kind == "Product":
                versions[key] = known.versions.get(id, 0)
            elif kind == "Order":
                orders.append(id)
            else:
                others.append(key)
        self._order_pks = {}
        if orders:
            for id, version, pk in lookup(connection, _ORDERS, orders):
                versions["Order", id] = version
                self._order_pks[id] = pk
        if others:
            for kind, id, version in lookup(connection, _RECORDS, others):
                versions[kind, id] = version
        held: dict[tuple[str, str], Claim | None] = dict.fromkeys(claims)
        if claims:
            for scope, value, owner, note in lookup(connection, _CLAIMS, claims):
                held[scope, value] = Claim(scope=scope, value=value, owner=owner, note=note)
        referenced = set()
        if references:
            referenced = {row[0] for row in lookup(connection, _REFERENCED, references)}
        return State(versions, held, known.levels, known.totals, referenced)

    def _know(self, wanted: set[str]) -> Known:
        """What is known of `wanted` and maybe of others; looked up where it isn't."""
        connection = self._connection
        known = self._known
        # Changes when another connection has committed, and never by our own commits.
        data_version = scalar(connection, "PRAGMA data_version")
        if known.data_version != data_version or len(known.pks) > MOST_KNOWN:
            known = self._known = Known(data_version)
        missing = wanted - known.pks.keys()
        if not missing:
            return known
        ids: dict[int, str] = {}
        for row in lookup(connection, _PRODUCTS, missing):
            id, pk, version, on_hand, reserved, threshold, low, backorder, *ends = row
            known.pks[id] = pk
            known.versions[id] = version
            known.chains[id] = ends
            ids[pk] = id
            if version:
                known.totals[id] = Total(on_hand, reserved, threshold, bool(low), bool(backorder))
        if ids:
            for pk, location, on_hand, reserved in lookup(connection, _LEVELS, ids):
                known.levels[ids[pk], location] = (on_hand, reserved)
        return known

    def _write(self, admitted: Sequence[Admitted], state: State) -> None:
        products: dict[str, Product] = {}
        orders: dict[str, Order] = {}
        created: set[str] = set()
        records: dict[tuple[str, str], Any] = {}
        movements: list[Movement] = []
        told: list[Event] = []
        for result in admitted:
            change = result.change
            for delete in change.deletes:
                records[delete.kind, delete.id] = None
            for (record,) in change.puts:
                if type(record) is Order:
                    orders[record.id] = record
                    if record.version == 1:
                        created.add(record.id)
                elif type(record) is Product:
                    products[record.id] = record
                    records.pop(("Product", record.id), None)
                else:
                    records[type(record).__name__, record.id] = record
            movements.extend(change.movements)
            told.extend(change.events)
            told.extend(result.events)
        connection = self._connection
        gone = [id for (kind, id), record in records.items() if kind == "Product" and not record]
        if products or gone:
            write_products(connection, products.values(), gone, self._known.pks)
        if records:
            _write_records(connection, records)
        if orders:
            self._write_orders(orders.values(), created, state)
        if movements:
            self._write_movements(movements)
        _write_events(connection, told)
        self._write_stock(state)
        _write_claims(connection, state)

    def _write_orders(self, orders: Any, created: set[str], state: State) -> None:
        connection = self._connection
        pk = scalar(connection, "SELECT coalesce(max(pk), 0) FROM orders")
        new: list[tuple[Any, ...]] = []
        lines: list[tuple[int, int, int, int]] = []
        line_pk = scalar(connection, "SELECT coalesce(max(pk), 0) FROM order_line")
        changed: list[tuple[Any, ...]] = []
        customers = {
            order.customer_id: 0
            for order in orders
            if order.id in created and order.customer_id is not None
        }
        if customers:
            customers.update((id, last) for id, last in lookup(connection, _CUSTOMERS, customers))
        for order in orders:
            expires = kinds.micros(order.expires_at) if order.expires_at else None
            doc = kinds.encode(order)
            if order.id not in created:
                changed.append((order.version, order.state, expires, doc, order.id))
                continue
            pk += 1
            placed = kinds.micros(order.placed_at)
            new.append(
                (
                    pk,
                    order.id,
                    order.version,
                    order.number,
                    order.customer_id,
                    customers.get(order.customer_id, 0),
                    order.state,
                    placed,
                    expires,
                    doc,
                )
            )
            self._order_pks[order.id] = pk
            if order.customer_id is not None:
                customers[order.customer_id] = pk
            for product_id in dict.fromkeys([line.product_id for line in order.lines]):
                line_pk += 1
                ends = self._known.chains[product_id]
                lines.append((line_pk, self._known.pks[product_id], ends[1], pk))
                ends[1] = line_pk
                state.dirty_totals.add(product_id)
        insert(
            connection,
            "INSERT INTO orders (pk, id, version, number, customer_id, previous, state, "
            "placed_at, expires_at, doc)",
            new,
        )
        insert(
            connection,
            "INSERT INTO customer (id, last_order)",
            list(customers.items()),
            "ON CONFLICT DO UPDATE SET last_order = excluded.last_order",
        )
        insert(connection, "INSERT INTO order_line (pk, product_pk, previous, order_pk)", lines)
        if changed:
            connection.executemany(
                "UPDATE orders SET version = ?, state = ?, expires_at = ?, doc = ? WHERE id = ?",
                changed,
            )

    def _write_movements(self, movements: list[Movement]) -> None:
        pks = self._known.pks
        chains = self._known.chains
        seq = scalar(self._connection, "SELECT coalesce(max(seq), 0) FROM movement")
        rows: list[tuple[Any, ...]] = []
        # The movements of one change set share their time and their reference.
        at = reference = None
        at_micros = 0
        order_pk: int | None = None
        kept_reference = ""
        for m in movements:
            seq += 1
            if m.at is not at:
                at = m.at
                at_micros = kinds.micros(at)
            if m.reference is not reference:
                reference = kept_reference = m.reference
                order_pk = None
                if reference.startswith(ORDER):
                    order_pk = self._order_pks.get(reference.removeprefix(ORDER))
                    kept_reference = reference if order_pk is None else ""
            product_id = m.product_id
            ends = chains.get(product_id)
            if ends is None:
                ends = chains[product_id] = [0, 0]
            rows.append(
                (
                    seq,
                    m.id,
                    pks[product_id],
                    ends[0],
                    m.location_id,
                    m.on_hand,
                    m.reserved,
                    m.reason,
                    at_micros,
                    m.by,
                    order_pk,
                    kept_reference,
                    m.note,
                )
            )
            ends[0] = seq
        insert(
            self._connection,
            "INSERT INTO movement (seq, id, product_pk, previous, location_id, on_hand, reserved, "
            "reason, at, by, order_pk, reference, note)",
            rows,
        )

    def _write_stock(self, state: State) -> None:
        pks = self._known.pks
        totals = state.totals
        insert(
            self._connection,
            "INSERT INTO stock (product_pk, location_id, on_hand, reserved, backorder)",
            [
                (
                    pks[product_id],
                    location_id,
                    *state.levels[product_id, location_id],
                    int(totals[product_id].allow_backorder),
                )
                for product_id, location_id in state.dirty_levels
            ],
            "ON CONFLICT DO UPDATE SET on_hand = excluded.on_hand, reserved = excluded.reserved, "
            "backorder = excluded.backorder",
        )
        insert(
            self._connection,
            "INSERT INTO total (product_pk, on_hand, reserved, threshold, is_low, backorder, "
            "last_movement, last_line)",
            [
                (
                    pks[id],
                    total.on_hand,
                    total.reserved,
                    total.threshold,
                    int(total.is_low),
                    int(total.allow_backorder),
                    *self._known.chains.get(id, (0, 0)),
                )
                for id, total in ((id, totals[id]) for id in state.dirty_totals)
            ],
            "ON CONFLICT DO UPDATE SET on_hand = excluded.on_hand, reserved = excluded.reserved, "
            "threshold = excluded.threshold, is_low = excluded.is_low, "
            "backorder = excluded.backorder, last_movement = excluded.last_movement, "
            "last_line = excluded.last_line",
        )


def _write_events(connection: apsw.Connection, told: Sequence[Event]) -> None:
    rows: list[tuple[Any, ...]] = []
    # The events of one moment share their time, and may share what they tell.
    at = data = None
    at_micros = 0
    text = ""
    for event in told:
        if event.at is not at:
            at = event.at
            at_micros = kinds.micros(at)
        if event.data is not data:
            data = event.data
            text = kinds.encode(data)
        rows.append((event.id, event.kind, event.subject, at_micros, text))
    insert(connection, "INSERT INTO event (id, kind, subject, at, data)", rows)


def _write_records(connection: apsw.Connection, records: dict[tuple[str, str], Any]) -> None:
    others = {key: record for key, record in records.items() if key[0] != "Product"}
    if not others:
        return
    connection.executemany("DELETE FROM record_index WHERE kind = ? AND id = ?", list(others))
    rows = []
    indexes = []
    for (kind, id), record in others.items():
        if record is None:
            connection.execute("DELETE FROM record WHERE kind = ? AND id = ?", (kind, id))
            continue
        rows.append((kind, id, record.version, kinds.encode(record)))
        for field, value in kinds.INDEXES[type(record)](record).items():
            indexes.append((kind, field, value, id))
    insert(
        connection,
        "INSERT INTO record (kind, id, version, doc)",
        rows,
        "ON CONFLICT DO UPDATE SET version = excluded.version, doc = excluded.doc",
    )
    insert(connection, "INSERT INTO record_index (kind, field, value, id)", indexes)


def _write_claims(connection: apsw.Connection, state: State) -> None:
    kept = []
    for key in state.dirty_claims:
        claim = state.claims[key]
        if claim is None:
            connection.execute("DELETE FROM claim WHERE scope = ? AND value = ?", key)
        else:
            kept.append((claim.scope, claim.value, claim.owner, claim.note))
    insert(
        connection,
        "INSERT INTO claim (scope, value, owner, note)",
        kept,
        "ON CONFLICT DO UPDATE SET owner = excluded.owner, note = excluded.note",
    )


def stamps_of(changes: Iterable[ChangeSet]) -> set[tuple[str, str]]:
    """The counters that tell of these changes."""
    found: set[tuple[str, str]] = set()
    for change in changes:
        for put in change.puts:
            record = put[0]
            if type(record) is not Order:
                _add_stamps(found, type(record).__name__, record.id)
        for delete in change.deletes:
            _add_stamps(found, delete.kind, delete.id)
        for movement in change.movements:
            found.add(("stock", movement.product_id))
    return found


def _add_stamps(found: set[tuple[str, str]], kind: str, id: str) -> None:
    if kind in kinds.ACCOUNT_KINDS:
        found.add(("accounts", id))
    elif kind == "Product":
        found.add(("catalog", id))
        found.add(("catalog", ANY_PRODUCT))
    elif kind == "Location":
        found.add(("catalog", "locations"))
    elif kind == "ShopSettings":
        found.add(("catalog", "settings"))


def _of_constraint(error: apsw.ConstraintError) -> Exception:
    text = str(error)
    if "orders.number" in text:
        return Taken(Claim(scope="order_number", value="", owner=""))
    return Impossible(f"the store refused what the domain had allowed: {text}")
