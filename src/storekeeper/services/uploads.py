"""Uploads on their way to the disk, and files on their way back, a piece at a time."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from storekeeper.domain.errors import PayloadTooLarge, StoreUnavailable
from storekeeper.services.threads import to_its_end

WRITE_AT = 256 * 1024
READ_AT = 64 * 1024


async def keep(path: Path, body: AsyncIterator[bytes], *, at_most: int) -> tuple[int, str]:
    """Writes an upload to the disk for good; answers its size and SHA-256.

    Raises `PayloadTooLarge`, and `StoreUnavailable` where there is no room; nothing is left then.
    """
    spool = Spool(path)
    try:
        await to_its_end(spool.open)
        waiting = bytearray()
        size = 0
        async for piece in body:
            waiting += piece
            size += len(piece)
            if size > at_most:
                raise PayloadTooLarge(f"an upload has at most {at_most} bytes")
            if len(waiting) >= WRITE_AT:
                await to_its_end(partial(spool.write, bytes(waiting)))
                waiting.clear()
        await to_its_end(partial(spool.finish, bytes(waiting)))
    except ConnectionError:  # the sender's end, not the disk's
        await to_its_end(spool.discard)
        raise
    except OSError as error:
        await to_its_end(spool.discard)
        raise StoreUnavailable(f"the upload can't be kept: {error.strerror}") from error
    except BaseException:
        await to_its_end(spool.discard)
        raise
    return size, spool.digest.hexdigest()


class Spool:
    """A file that has its name only once it is whole and on the disk. Blocking."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_suffix(".part")
        self.digest = hashlib.sha256()

    def open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Closed by finish or discard.
        self._file = self._part.open("xb")

    def write(self, data: bytes) -> None:
        self.digest.update(data)
        self._file.write(data)

    def finish(self, data: bytes) -> None:
        self.write(data)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.rename(self._path)

    def discard(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()
        self._part.unlink(missing_ok=True)


async def pieces_of(path: Path, default: str) -> AsyncIterator[str]:
    """A text file a piece at a time; `default` where there is none."""
    position = 0
    while True:
        try:
            data = await asyncio.to_thread(_read_at, path, position)
        except FileNotFoundError:
            if not position:
                yield default
            return
        if not data:
            return
        position += len(data)
        yield data.decode()


def _read_at(path: Path, position: int) -> bytes:
    """Whole lines, so that no character is cut in two."""
    with path.open("rb") as file:
        file.seek(position)
        return file.read(READ_AT) + file.readline()
