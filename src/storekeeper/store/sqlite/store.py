"""The embedded store: answers the port with one writer thread and a few reader threads."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import apsw
import msgspec

from storekeeper.domain.catalog import Product
from storekeeper.domain.changes import ChangeSet, Claim, Delete, Put, Refusal, Stale
from storekeeper.domain.errors import ShopError, StoreUnavailable
from storekeeper.domain.orders import Order, OrderState
from storekeeper.domain.stock import Level, Movement
from storekeeper.domain.types import LocationId, ProductId
from storekeeper.domain.work import Lease
from storekeeper.store.lane import Lane
from storekeeper.store.port import (
    Difference,
    Listed,
    Loop,
    MovementQuery,
    OrderQuery,
    Page,
    ProductQuery,
    SalesQuery,
    SalesRow,
    StockValueQuery,
    StockValueRow,
    StoredEvent,
    StoreFacts,
    Summary,
    Topic,
    ViewDifference,
)
from storekeeper.store.sqlite import audit, kinds, making, memory, reports, schema
from storekeeper.store.sqlite.connect import BUSY_MS, connect, explain, told_clearly
from storekeeper.store.sqlite.listing import is_quick, list_categories, list_products
from storekeeper.store.sqlite.reader import Reader, movement_of
from storekeeper.store.sqlite.stamps import Stamps
from storekeeper.store.sqlite.streaming import state as streaming
from storekeeper.store.sqlite.transfer import Digest, digests
from storekeeper.store.sqlite.writer import Writer

R = TypeVar("R")
Question = Callable[[Reader], Any]
Errand = Callable[[], None]
READ_BATCH = 64


class SqliteStore:
    """A shop in one file. `open` it with a path; nothing else may replace the file meanwhile.

    `batch` change sets at most are flushed together, `capacity` at most may wait. `busy_ms` is how
    long a write waits for a foreign program that holds the file.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
        batch: int = 256,
        capacity: int = 4_096,
        readers: int = 2,
        busy_ms: int = BUSY_MS,
    ) -> None:
        self.path = path
        self._clock = clock
        with told_clearly(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._in_use = _use(path)
            try:
                self._open(clock, new_id, batch, capacity, readers, busy_ms)
            except BaseException:
                os.close(self._in_use)
                raise

    def _open(
        self,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
        batch: int,
        capacity: int,
        readers: int,
        busy_ms: int,
    ) -> None:
        path = self.path
        self.migrated = making.make(Path(os.path.realpath(path)))
        schema.require_ours(path, busy_ms)
        if not self.migrated:
            with contextlib.closing(connect(path, busy_ms=busy_ms)) as connection:
                # After a crash a continuous backup may still need what is in the -wal.
                connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
                self.migrated = schema.migrate(connection)
        self._stamps = Stamps(Path(f"{path}-stamps"))
        self._writer = self._make_writer(path, self._stamps, clock, new_id, busy_ms)
        self._write_lane = Lane(
            "writer", self._write, batch=batch, capacity=capacity, on_start=self._writer.open
        )
        # One more for questions that may have to look at many rows, and one for those that read
        # the whole shop: neither may hold up the short ones.
        self._readers = [Reader(path, busy_ms) for _ in range(readers + 2)]
        self._read_lanes = [
            Lane(
                f"reader-{number}",
                self._answerer(reader),
                batch=READ_BATCH,
                capacity=capacity,
                on_start=reader.open,
            )
            for number, reader in enumerate(self._readers)
        ]
        *short, self._search_lane, self._long_lane = self._read_lanes
        self._turns = itertools.cycle(short)
        self.counters = self._writer.counters

    def _make_writer(
        self,
        path: Path,
        stamps: Stamps,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
        busy_ms: int,
    ) -> Writer:
        return Writer(path, stamps, clock, new_id, busy_ms)

    async def commit(self, change: ChangeSet) -> None:
        await self._write_lane.ask(change)

    def stamp(self, topic: Topic, key: str) -> int:
        return self._stamps.read(topic, key)

    @property
    def identity(self) -> str:
        return self._stamps.identity

    def moment(self) -> int | None:
        return self._stamps.moment

    def touched(self, topic: Topic, key: str) -> int:
        return self._stamps.touched(topic, key)

    async def catch_up(self) -> None:
        """The file always knows."""

    def lag(self) -> float:
        return 0.0

    async def ask(
        self,
        question: Callable[[Reader], R],
        *,
        search: bool = False,
        long: bool = False,
        fresh: bool = True,
    ) -> R:
        """The answer of a reader, from the lane for searches or for long work where it is one.

        `fresh`: whether it has to know what was committed before it was asked, on any node; the
        file always knows.
        """
        lane = self._long_lane if long else self._search_lane if search else next(self._turns)
        answer: R = await lane.ask(question)
        return answer

    async def lease(self, id: str) -> Lease | None:
        return await self.get(Lease, id)

    async def hold(self, lease: Lease) -> bool:
        try:
            await self.commit(ChangeSet(puts=(Put(lease),)))
        except Stale:
            return await self.lease(lease.id) == lease
        return True

    async def get(self, kind: type[R], id: str) -> R | None:
        found = await self.get_many(kind, [id])
        return found.get(id)

    async def get_many(self, kind: type[R], ids: Sequence[str]) -> dict[str, R]:
        return await self.ask(lambda reader: reader.get_many(kind, ids))

    async def find(
        self,
        kind: type[R],
        index: str,
        value: str,
        *,
        limit: int = 100,
        cursor: str | None = None,
        newest_first: bool = False,
        also: Mapping[str, str] | None = None,
    ) -> Page[R]:
        return await self.ask(
            lambda reader: reader.find(kind, index, value, limit, cursor, newest_first, also),
            search=bool(also),
        )

    async def list_all(
        self,
        kind: type[R],
        *,
        limit: int = 100,
        cursor: str | None = None,
        newest_first: bool = False,
    ) -> Page[R]:
        return await self.ask(lambda reader: reader.list_all(kind, limit, cursor, newest_first))

    async def count(self, kind: type[Any], index: str, value: str, *, at_most: int) -> int:
        return await self.ask(lambda reader: reader.count(kind, index, value, at_most))

    async def claim(self, scope: str, value: str) -> Claim | None:
        found = await self.claims(scope, [value])
        return found.get(value)

    async def claims(self, scope: str, values: Sequence[str]) -> dict[str, Claim]:
        return await self.ask(lambda reader: reader.claims(scope, values))

    async def products(self, query: ProductQuery) -> Page[Listed]:
        return await self.ask(
            lambda reader: list_products(reader, query), search=not is_quick(query), fresh=False
        )

    async def listed(self, ids: Sequence[ProductId]) -> dict[ProductId, Listed]:
        return await self.ask(lambda reader: reader.listed(ids))

    async def products_by_sku(self, skus: Sequence[str]) -> dict[str, Product]:
        return await self.ask(lambda reader: reader.products_by_sku(skus))

    async def categories(self, *, limit: int = 100, cursor: str | None = None) -> Page[str]:
        return await self.ask(lambda reader: list_categories(reader, limit, cursor), fresh=False)

    async def pictures_in_use(self, addresses: Sequence[str]) -> set[str]:
        return await self.ask(lambda reader: reader.pictures_in_use(addresses))

    async def holds_stock(self, location_id: LocationId) -> bool:
        return await self.ask(lambda reader: reader.holds_stock(location_id), long=True)

    async def levels(self, product_ids: Sequence[ProductId]) -> list[Level]:
        return await self.ask(lambda reader: reader.levels(product_ids))

    async def low_stock(self, *, limit: int = 100, cursor: str | None = None) -> Page[Listed]:
        return await self.ask(lambda reader: reader.low_stock(limit, cursor))

    async def movements(self, query: MovementQuery) -> Page[Movement]:
        has_filter = query.location_id is not None or query.reason is not None
        return await self.ask(lambda reader: reader.movements(query), search=has_filter)

    async def orders(self, query: OrderQuery) -> Page[Order]:
        return await self.ask(lambda reader: reader.orders(query), search=query.sku is not None)

    async def order_count(self, state: OrderState, *, at_most: int) -> int:
        return await self.ask(lambda reader: reader.order_count(state, at_most))

    async def expired_orders(self, now: datetime, limit: int) -> list[Order]:
        return await self.ask(lambda reader: reader.expired_orders(now, limit))

    async def events_after(self, seq: int, limit: int) -> list[StoredEvent]:
        return await self.ask(lambda reader: reader.events_after(seq, limit))

    async def last_event_seq(self) -> int:
        return await self.ask(lambda reader: reader.last_event_seq())

    async def event_at(self, seq: int) -> StoredEvent | None:
        return await self.ask(lambda reader: reader.event_at(seq))

    async def events_at(self, seqs: Sequence[int]) -> dict[int, StoredEvent]:
        return await self.ask(lambda reader: reader.events_at(seqs))

    async def due_deliveries(self, sink: str, now: datetime, limit: int) -> list[Any]:
        return await self.ask(lambda reader: reader.due_deliveries(sink, now, limit))

    async def blocked_subjects(self, sink: str, subjects: Sequence[str]) -> set[str]:
        return await self.ask(lambda reader: reader.blocked_subjects(sink, subjects))

    async def failing_deliveries(self, sink: str, subjects: Sequence[str], each: int) -> list[Any]:
        return await self.ask(lambda reader: reader.failing_deliveries(sink, subjects, each))

    async def purge(self, now: datetime, limit: int) -> int:
        expired = await self.ask(lambda reader: reader.expired_records(now, limit))
        outcomes = await asyncio.gather(
            *(self._purge_one(Delete(kind, id, version)) for kind, id, version in expired)
        )
        return sum(outcomes)

    async def _purge_one(self, delete: Delete) -> bool:
        try:
            await self.commit(ChangeSet(deletes=(delete,)))
        except Refusal:
            return False  # used meanwhile, so it is not expired any more
        return True

    async def customer_count(self) -> int:
        return await self.ask(lambda reader: reader.customer_count())

    async def admins(self) -> list[Any]:
        return await self.ask(lambda reader: reader.admins())

    async def low_count(self) -> int:
        return await self.ask(lambda reader: reader.low_count())

    async def summary(self) -> Summary:
        return await self.ask(audit.summarize, long=True)

    async def sales(self, query: SalesQuery) -> Page[SalesRow]:
        return await self.ask(lambda reader: reports.sales(reader, query), long=True)

    async def stock_value(self, query: StockValueQuery) -> Page[StockValueRow]:
        return await self.ask(lambda reader: reports.stock_value(reader, query), long=True)

    async def verify(self) -> list[Difference]:
        return await self.ask(audit.verify, long=True)

    async def verify_views(self) -> list[ViewDifference]:
        return []

    def loops(self) -> dict[str, Loop]:
        return {}

    async def gauges(self) -> dict[str, float]:
        lag = await asyncio.to_thread(streaming.lag, self.path, self._clock())
        return {} if lag is None else {"storekeeper_backup_lag_seconds": lag}

    async def facts(self) -> StoreFacts:
        size = await asyncio.to_thread(_size, self.path)
        return StoreFacts(kind="SQLite", place=self.path.name, file_bytes=size)

    async def digests(self) -> dict[str, Digest]:
        """What every table holds, to compare two copies of a shop."""
        return await self.ask(digests, long=True)

    async def scan(self, kind: type[R], *, batch: int = 500) -> AsyncIterator[Sequence[R]]:
        after: Any = None
        while True:
            rows = await self.ask(
                partial(Reader.docs_after, kind=kind, after=after, limit=batch), long=True
            )
            if not rows:
                return
            after = rows[-1][0]
            yield [kinds.decode(kind, doc) for _, doc in rows]

    async def scan_movements(self, *, batch: int = 500) -> AsyncIterator[Sequence[Movement]]:
        after = 0
        while True:
            rows = await self.ask(
                partial(Reader.movements_after, seq=after, limit=batch), long=True
            )
            if not rows:
                return
            after = rows[-1][0]
            yield [movement_of(row) for row in rows]

    async def check_writable(self) -> None:
        await self._write_lane.ask(self._writer.probe)

    async def rest(self) -> None:
        await self._write_lane.ask(self._writer.shrink)
        for lane in self._read_lanes:
            await lane.ask(Reader.shrink)
        await asyncio.to_thread(memory.trim)

    def queue_depth(self) -> int:
        return len(self._write_lane)

    async def close(self) -> None:
        for lane in (self._write_lane, *self._read_lanes):
            lane.stop_taking()
            await asyncio.to_thread(lane.close)
        await asyncio.to_thread(self._let_go)

    def _let_go(self) -> None:
        for reader in self._readers:
            reader.close()
        self._writer.close()
        self._stamps.close()
        os.close(self._in_use)

    def _write(self, items: Sequence[ChangeSet | Errand]) -> list[Exception | None]:
        """What the write lane does: commits, and runs errands that need the writer."""
        changes = [item for item in items if isinstance(item, ChangeSet)]
        outcomes = iter(self._writer.commit(changes) if changes else ())
        if len(changes) == len(items):
            return list(outcomes)
        return [
            next(outcomes) if isinstance(item, ChangeSet) else self._run(item) for item in items
        ]

    def _run(self, errand: Errand) -> Exception | None:
        try:
            errand()
        except ShopError as error:
            return error
        except apsw.Error as error:
            return explain(error, self.path)
        return None

    def _answerer(self, reader: Reader) -> Callable[[Sequence[Question]], list[Any]]:
        def answer(questions: Sequence[Question]) -> list[Any]:
            answers: list[Any] = []
            for question in questions:
                try:
                    answers.append(question(reader))
                except ShopError as error:
                    answers.append(error)
                except (apsw.Error, msgspec.DecodeError) as error:
                    answers.append(explain(error, self.path))
                except Exception as error:  # a faulty question fails alone
                    answers.append(error)
            return answers

        return answer


def _size(path: Path) -> int:
    """The bytes of a shop's file and of what isn't merged into it yet."""
    files = (path, Path(f"{path}-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


def _use(path: Path) -> int:
    """Says that the file is in use, which keeps `restore` from replacing it."""
    descriptor = os.open(f"{path}-use", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StoreUnavailable(f"{path} is being restored; wait until that has ended") from None
    return descriptor
