"""The format of SQLite's -wal, as far as it has to be known to copy frames out of it.

https://www.sqlite.org/fileformat2.html#the_write_ahead_log. Checksums are left to SQLite itself
(`trial.py`): it computes them in C, and it is who has to accept them one day.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from storekeeper.domain.types import Struct

HEADER_BYTES = 32
FRAME_HEADER_BYTES = 24
_MAGIC = (0x377F0682, 0x377F0683)
_HEADER = struct.Struct(">8I")


class Broken(Exception):
    """The log isn't the continuation of what was sent: a new generation has to begin."""


class Header(Struct, frozen=True, kw_only=True):
    """The beginning of a log; `raw` are its 32 bytes."""

    raw: bytes
    page_bytes: int
    salt: int
    salts: str

    @property
    def frame_bytes(self) -> int:
        return FRAME_HEADER_BYTES + self.page_bytes

    def offset(self, frame: int) -> int:
        """Where a frame begins in the file; the first is 1."""
        return HEADER_BYTES + (frame - 1) * self.frame_bytes

    def is_followed_by(self, other: Header | None) -> bool:
        """Whether `other` can be this log's next restart: SQLite adds one to the first salt."""
        return other is not None and other.salt == (self.salt + 1) & 0xFFFFFFFF


class Frames(Struct, frozen=True, kw_only=True):
    """Whole frames as they are in the file. `committed`: how many of them a commit frame ends;
    `checksums` of the last and of the last committed, in hexadecimal."""

    count: int
    committed: int
    checksum: str
    committed_checksum: str


def header_of(descriptor: int) -> Header | None:
    """The header of the log that is in the file now; None where none is yet."""
    raw = os.pread(descriptor, HEADER_BYTES, 0)
    if len(raw) < HEADER_BYTES:
        return None
    magic, _, page_bytes, _, salt, _, _, _ = _HEADER.unpack(raw)
    if magic not in _MAGIC:
        return None
    return Header(raw=raw, page_bytes=page_bytes, salt=salt, salts=raw[16:24].hex())


def read_frames(descriptor: int, header: Header, first: int, last: int) -> bytes:
    """The bytes of frames `first` to `last`; raises `Broken` where the file ends before."""
    wanted = (last - first + 1) * header.frame_bytes
    data = os.pread(descriptor, wanted, header.offset(first))
    if len(data) < wanted:
        raise Broken(f"the -wal ends before frame {last}")
    return data


def examined(data: bytes, header: Header) -> Frames:
    """What frames say of themselves; raises `Broken` when one is of another log."""
    size = header.frame_bytes
    committed = 0
    checksum = committed_checksum = ""
    salts = bytes.fromhex(header.salts)
    for number, start in enumerate(range(0, len(data), size), start=1):
        if data[start + 8 : start + 16] != salts:
            raise Broken("a frame of another log is in the -wal")
        checksum = data[start + 16 : start + 24].hex()
        # The size of the database after the commit; 0 in frames that aren't the last of one.
        if data[start + 4 : start + 8] != b"\0\0\0\0":
            committed, committed_checksum = number, checksum
    return Frames(
        count=len(data) // size,
        committed=committed,
        checksum=checksum,
        committed_checksum=committed_checksum,
    )


def wal_of(database: Path) -> Path:
    return Path(f"{database}-wal")
