"""Reads a CSV file row by row in bounded memory, and says exactly where a row is wrong.

Blocking: call `open` and `take` off the event loop.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, cast

from storekeeper.domain.errors import Invalid
from storekeeper.domain.types import Struct
from storekeeper.domain.work import RowError
from storekeeper.services.csv_format import restore

Source = Path | BinaryIO
# Attributes with a hundred escaped values fit; a line of a file that is no CSV at all doesn't.
MAX_CELL = 1 << 20
MAX_LINE = 2 << 20
csv.field_size_limit(MAX_CELL)


class Cells(Struct, frozen=True, kw_only=True):
    """A row's cells in the order of the file's columns, and the line on which it starts."""

    line: int
    cells: list[str]


class CsvReader:
    """`columns` in the order of the file. Raises `Invalid` for a header that can't be used."""

    def __init__(self, source: Source, known: Sequence[str], required: Sequence[str]) -> None:
        self._owned = isinstance(source, Path)
        self._file: BinaryIO = source.open("rb") if isinstance(source, Path) else source
        try:
            self.size = self._file.seek(0, os.SEEK_END)
            self._file.seek(0)
            # Bytes that aren't UTF-8 become surrogates here, and an error of their row below.
            self._text = io.TextIOWrapper(
                cast("BinaryIO", _Guarded(self._file)),
                encoding="utf-8-sig",
                errors="surrogateescape",
                newline="",
            )
            self._rows = csv.reader(self._text, strict=True)
            self.columns = self._header(known, required)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._owned:
            self._file.close()
        elif hasattr(self, "_text"):
            self._text.detach()

    @property
    def bytes_done(self) -> int:
        return self._file.tell()

    def take(self, count: int) -> tuple[list[Cells], list[RowError]]:
        """The next rows, good and bad; both empty at the end of the file."""
        taken: list[Cells] = []
        bad: list[RowError] = []
        width = len(self.columns)
        while len(taken) + len(bad) < count:
            line = self._rows.line_num + 1
            try:
                cells = next(self._rows)
            except StopIteration:
                break
            except csv.Error as error:
                bad.append(RowError(line=line, field="", reason=_explain(str(error))))
                continue
            joined = "".join(cells)
            if not joined:
                continue
            if len(cells) != width:
                reason = f"has {len(cells)} cells where the header has {width}"
                bad.append(RowError(line=line, field="", reason=reason))
            elif not _is_text(joined):
                bad.append(RowError(line=line, field="", reason="is not UTF-8 text"))
            else:
                # Few rows hold an apostrophe; asking for one first is what makes this cheap.
                if "'" in joined:
                    cells = [restore(cell) for cell in cells]
                taken.append(Cells(line=line, cells=cells))
        return taken, bad

    def _header(self, known: Sequence[str], required: Sequence[str]) -> tuple[str, ...]:
        try:
            header = next(self._rows, None)
        except csv.Error as error:
            raise Invalid(
                f"the header can't be read: {_explain(str(error))}", field="header"
            ) from None
        if header is None:
            raise Invalid("the file is empty; its first line names the columns", field="header")
        columns = tuple(name.strip().lower() for name in header)
        if not _is_text("".join(header)) or any("\x00" in name for name in columns):
            raise Invalid("the file is not UTF-8 text; save it as CSV UTF-8", field="header")
        unknown = [name for name in columns if name not in known]
        if len(unknown) == len(columns) == 1 and (";" in columns[0] or "\t" in columns[0]):
            raise Invalid("the columns are not parted by commas; save it so", field="header")
        if unknown:
            raise Invalid(
                f"there is no column {', '.join(repr(name) for name in unknown)}; the columns are "
                f"{', '.join(known)}",
                field="header",
            )
        missing = [name for name in required if name not in columns]
        if missing:
            raise Invalid(f"the column {', '.join(missing)} is missing", field="header")
        twice = sorted({name for name in columns if columns.count(name) > 1})
        if twice:
            raise Invalid(f"the column {', '.join(twice)} is there twice", field="header")
        return columns


class _Guarded(io.BufferedIOBase):
    """A file's bytes, up to a line too long for any CSV; a generator of lines would do, but costs
    as much as the parsing."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._since_end = 0

    def readable(self) -> bool:
        return True

    def read1(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        end = max(data.rfind(b"\n"), data.rfind(b"\r"))
        self._since_end = len(data) - 1 - end if end >= 0 else self._since_end + len(data)
        if self._since_end > MAX_LINE:
            raise Invalid(
                "the file has a line of more than two million bytes; it is no CSV", field="file"
            )
        return data


def _is_text(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _explain(reason: str) -> str:
    if "field larger" in reason or "unexpected end" in reason:
        return "a quotation mark is opened and not closed"
    if "expected after" in reason:
        return 'a quotation mark inside a quoted cell has to be doubled ("")'
    return reason
