"""Reads a shop's exported invoice lines, one typed row at a time; it never guesses a value.

The columns are those of `COLUMNS`, found by name in the first line, in any order. The file may be
plain or gzip-compressed; which of the two is told from its first bytes, not from its name.

Times in the file are the shop's wall clock, in Europe/London, without a zone; rows carry UTC. An
hour that the clock shows twice (end of summer time) is read as its first passing, and an hour that
it skips (start of summer time) as if the clock had not been changed yet.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, cast
from zoneinfo import ZoneInfo

from storekeeper.domain.types import MAX_QUANTITY, Struct

SHOP_ZONE = ZoneInfo("Europe/London")
COLUMNS = (
    "invoice_no",
    "invoiced_at",
    "customer_id",
    "country",
    "stock_code",
    "description",
    "quantity",
    "unit_price_gbp",
)

_GZIP_MAGIC = b"\x1f\x8b"
_LONGEST_CODE = 64
_WHOLE = re.compile(r"-?[0-9]{1,9}")
_AMOUNT = re.compile(r"(-?)([0-9]{1,10})(?:\.([0-9]{1,2}))?")


class SourceError(ValueError):
    """The file can't be taken as it is; `line` is the line of the file, from 1, where it shows."""

    def __init__(self, reason: str, line: int) -> None:
        super().__init__(f"line {line}: {reason}")
        self.reason = reason
        self.line = line


class Row(Struct, frozen=True, kw_only=True):
    """One invoice line as it stands in the file; `quantity` and `unit_price_pence` are signed."""

    line: int
    invoice_no: str
    at: datetime
    customer_id: str | None
    country: str
    stock_code: str
    description: str
    quantity: int
    unit_price_pence: int

    @property
    def amount_pence(self) -> int:
        return self.quantity * self.unit_price_pence


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of the file at `path`; raises `SourceError` at the first line that is malformed."""
    with path.open("rb") as stream:
        yield from rows_from(stream)


def rows_from(stream: BinaryIO) -> Iterator[Row]:
    """The rows of an open, seekable file of bytes, which stays open."""
    text = text_of(stream)
    try:
        yield from parse_rows(text)
    finally:
        text.detach()


def text_of(stream: BinaryIO) -> io.TextIOWrapper:
    """The file's text, unpacked if it is compressed."""
    compressed = stream.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    stream.seek(0)
    data = cast("BinaryIO", gzip.GzipFile(fileobj=stream)) if compressed else stream
    return io.TextIOWrapper(data, encoding="utf-8-sig", newline="")


def parse_rows(lines: Iterable[str]) -> Iterator[Row]:
    """The rows of CSV text; raises `SourceError` at the first line that is malformed."""
    records = _records(lines)
    _, header = next(records, (1, []))
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise SourceError(f"the first line lacks the column {', '.join(missing)}", 1)
    pick = itemgetter(*(header.index(name) for name in COLUMNS))
    for line, fields in records:
        if len(fields) != len(header):
            raise SourceError(f"{len(fields)} fields where there are {len(header)} columns", line)
        try:
            yield _row(line, *pick(fields))
        except ValueError as error:
            raise SourceError(str(error), line) from None


def parse_pence(text: str) -> int:
    """Pounds as decimal text in pence, exactly; raises `ValueError` for anything finer."""
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise ValueError(f"unit_price_gbp {text!r} is not an amount such as 2.55")
    sign, pounds, part = match.groups()
    pence = int(pounds) * 100 + int((part or "0").ljust(2, "0"))
    return -pence if sign else pence


def _records(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Each record that isn't a blank line, with the number of its last line."""
    reader = csv.reader(lines, strict=True)
    try:
        for fields in reader:
            if fields:
                yield reader.line_num, fields
    except csv.Error as error:
        raise SourceError(f"not CSV: {error}", reader.line_num) from error
    except UnicodeDecodeError as error:
        raise SourceError("not UTF-8 text", reader.line_num + 1) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SourceError("the compressed data is cut short or damaged", reader.line_num) from error


def _row(
    line: int,
    invoice_no: str,
    invoiced_at: str,
    customer_id: str,
    country: str,
    stock_code: str,
    description: str,
    quantity: str,
    unit_price_gbp: str,
) -> Row:
    return Row(
        line=line,
        invoice_no=_code(invoice_no, "invoice_no"),
        at=_utc(invoiced_at),
        customer_id=customer_id.strip() or None,
        country=country.strip(),
        stock_code=_code(stock_code, "stock_code"),
        description=description.strip(),
        quantity=_quantity(quantity),
        unit_price_pence=parse_pence(unit_price_gbp),
    )


def _code(text: str, column: str) -> str:
    code = text.strip()
    if not code or len(code) > _LONGEST_CODE or not code.isprintable():
        raise ValueError(f"{column} {text!r} is not a code of 1 to {_LONGEST_CODE} characters")
    return code


def _quantity(text: str) -> int:
    quantity = int(text) if _WHOLE.fullmatch(text) else 0
    if not 0 < abs(quantity) <= MAX_QUANTITY:
        raise ValueError(f"quantity {text!r} is not a whole number of units up to {MAX_QUANTITY}")
    return quantity


@lru_cache(maxsize=4096)
def _utc(text: str) -> datetime:
    """A minute of the shop's wall clock as UTC; cached, as an invoice repeats its own."""
    try:
        local = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"invoiced_at {text!r} is not a time such as 2010-12-01T08:26") from None
    if local.tzinfo is not None:
        raise ValueError(f"invoiced_at {text!r} names a zone; the shop's local time is expected")
    return local.replace(tzinfo=SHOP_ZONE).astimezone(UTC)
