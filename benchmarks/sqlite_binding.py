"""Why apsw, and why many rows go into one statement: the choices of store/sqlite, measured.

Both bindings do the same work: batches of orders, each with a document, three lines and three
ledger entries, flushed together. The second part does it while another thread runs Python, as the
event loop does: each step of a statement gives up Python's lock and has to win it back.
"""

from __future__ import annotations

import sqlite3
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import apsw

from benchmarks import machine, shops
from benchmarks.report import Report, interleaved, ratio, spread
from benchmarks.run import Run
from storekeeper.store.sqlite import rows

TITLE = "apsw beside sqlite3, and one statement for many rows beside executemany"
BATCH = 64
LINES = 3
DOC = "x" * 700
SCHEMA = """
CREATE TABLE orders (pk INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, doc TEXT NOT NULL) STRICT;
CREATE TABLE line (product INTEGER, order_pk INTEGER, PRIMARY KEY (product, order_pk))
    STRICT, WITHOUT ROWID;
CREATE TABLE movement (seq INTEGER PRIMARY KEY, product INTEGER NOT NULL, units INTEGER NOT NULL,
    reference TEXT NOT NULL) STRICT;
CREATE INDEX movement_product ON movement (product, seq);
"""
TABLES = (
    ("INSERT INTO orders (pk, id, doc)", 3),
    ("INSERT INTO line (product, order_pk)", 2),
    ("INSERT INTO movement (product, units, reference)", 3),
)
PRAGMAS = ("journal_mode = wal", "synchronous = full", "cache_size = -65536")
Insert = Callable[[Any, str, Sequence[Sequence[Any]]], None]


def run(run: Run, report: Report) -> None:
    folder = shops.folder_of("binding")
    machine.stay_on(set(machine.cores()))
    try:
        sides = {
            "apsw, one statement": Writer(folder / "a.db", _apsw, rows.insert, run),
            "sqlite3, one statement": Writer(folder / "b.db", _sqlite3, _insert_many_rows, run),
            "apsw, executemany": Writer(folder / "c.db", _apsw, _executemany, run),
        }
        alone = interleaved(sides, run.rounds(9), run.say)
        costs = {name: side.costs[:] for name, side in sides.items()}
        with _busy_thread():
            beside = interleaved(sides, run.rounds(9), run.say)
    finally:
        machine.stay_on(machine.load_cores())
    for name in sides:
        cost = 1e6 * statistics.median(costs[name])
        report.figure(f"{name}, alone", f"{spread(alone[name])} orders, {cost:.1f} us of CPU each")
    for name in sides:
        report.figure(f"{name}, beside a busy thread", f"{spread(beside[name])} orders")
    report.figure(
        "sqlite3", f"{sqlite3.sqlite_version} (the system's), apsw {apsw.sqlite_lib_version()}"
    )
    pairs = (("sqlite3, one statement", "apsw over sqlite3"),)
    for other, told in (*pairs, ("apsw, executemany", "one statement over executemany")):
        report.figure(
            told,
            f"{ratio(alone['apsw, one statement'], alone[other]):.2f}x the rate alone, "
            f"{ratio(beside['apsw, one statement'], beside[other]):.2f}x beside a busy thread, "
            f"{ratio(costs[other], costs['apsw, one statement']):.2f}x as cheap",
        )


class Writer:
    """One way of writing; called for a slice, answers its orders a second."""

    def __init__(
        self, path: Path, connect: Callable[[Path], Any], insert: Insert, run: Run
    ) -> None:
        path.touch()
        self._connection = connect(path)
        self._insert = insert
        self._seconds = run.seconds
        self._batches = _batches()
        # Processor seconds of this thread for one order, slice by slice.
        self.costs: list[float] = []

    def __call__(self) -> float:
        started, used = time.perf_counter(), time.thread_time()
        count = 0
        while time.perf_counter() - started < self._seconds:
            batch = next(self._batches)
            self._connection.execute("BEGIN IMMEDIATE")
            for (table, _), found in zip(TABLES, batch, strict=True):
                self._insert(self._connection, table, found)
            self._connection.execute("COMMIT")
            count += BATCH
        self.costs.append((time.thread_time() - used) / count)
        return count / (time.perf_counter() - started)


def _batches() -> Iterator[list[list[Any]]]:
    number = 0
    while True:
        orders, lines, movements = [], [], []
        for _ in range(BATCH):
            number += 1
            orders.append((number, f"{number * 2654435761 % 2**32:08x}-{number}", DOC))
            for line in range(LINES):
                product = (number * 7 + line * 331) % 1_000
                lines.append((product, number))
                movements.append((product, -1, f"order:{number}"))
        yield [orders, lines, movements]


def _apsw(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path), statementcachesize=256)
    _set_up(connection.execute)
    return connection


def _sqlite3(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, cached_statements=256)
    _set_up(connection.execute)
    return connection


def _set_up(execute: Callable[[str], Any]) -> None:
    for pragma in PRAGMAS:
        execute(f"PRAGMA {pragma}").fetchall()
    for statement in SCHEMA.split(";"):
        if statement.strip():
            execute(statement)


def _executemany(connection: Any, before: str, found: Sequence[Sequence[Any]]) -> None:
    marks = ", ".join("?" * len(found[0]))
    connection.executemany(f"{before} VALUES ({marks})", found)


def _insert_many_rows(connection: Any, before: str, found: Sequence[Sequence[Any]]) -> None:
    """What `rows.insert` does, in the same chunks, for the other binding."""
    start, left = 0, len(found)
    while left:
        count = min(128, 1 << (left.bit_length() - 1))
        chunk = found[start : start + count]
        row = f"({', '.join('?' * len(chunk[0]))})"
        connection.execute(
            f"{before} VALUES {', '.join([row] * count)}", tuple(chain.from_iterable(chunk))
        )
        start += count
        left -= count


@contextmanager
def _busy_thread() -> Iterator[None]:
    """Another thread that wants Python's lock all the time."""
    end = threading.Event()

    def spin() -> None:
        while not end.is_set():
            statistics.fmean(range(200))

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
