"""Many rows in few statements.

Each step of a statement gives up Python's lock and has to win it back from the event loop; one
statement for a whole batch does that once. Measured in benchmarks/sqlite_binding.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import apsw
import msgspec

_LARGEST = 128


@lru_cache(maxsize=512)
def _values(before: str, width: int, count: int, after: str) -> str:
    row = f"({', '.join('?' * width)})"
    return f"{before} VALUES {', '.join([row] * count)} {after}"


def insert(
    connection: apsw.Connection, before: str, rows: Sequence[Sequence[Any]], after: str = ""
) -> None:
    """Runs `before VALUES (...), (...) after` for all rows, in chunks whose sizes are powers of
    two, so that few different statements have to be prepared."""
    start = 0
    left = len(rows)
    while left:
        count = min(_LARGEST, 1 << (left.bit_length() - 1))
        chunk = rows[start : start + count]
        connection.execute(
            _values(before, len(chunk[0]), count, after), tuple(chain.from_iterable(chunk))
        )
        start += count
        left -= count


def lookup(connection: apsw.Connection, sql: str, keys: Iterable[Any]) -> list[list[Any]]:
    """Rows of a query that takes a JSON array as its parameter and answers one JSON array."""
    found = scalar(connection, sql, (msgspec.json.encode(list(keys)).decode(),))
    rows: list[list[Any]] = msgspec.json.decode(found)
    return rows


def scalar(connection: apsw.Connection, sql: str, bindings: Sequence[Any] = ()) -> Any:
    """The one value that a query answers."""
    return connection.execute(sql, tuple(bindings)).get
