"""Pictures as files of one folder of this machine."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

from storekeeper.domain.errors import StoreUnavailable


class Folder:
    """`media.port.Pictures` in a folder, which is made with the first of them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def keep(self, name: str, data: bytes) -> None:
        try:
            await asyncio.to_thread(self._write, name, data)
        except OSError as error:
            raise StoreUnavailable(f"the picture can't be kept: {error.strerror}") from error

    async def read(self, name: str) -> bytes | None:
        try:
            return await asyncio.to_thread((self._path / name).read_bytes)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreUnavailable(f"the picture can't be read: {error.strerror}") from error

    async def remove(self, name: str) -> None:
        try:
            await asyncio.to_thread((self._path / name).unlink, missing_ok=True)
        except OSError as error:
            raise StoreUnavailable(f"the picture can't be removed: {error.strerror}") from error

    async def close(self) -> None:
        """Nothing is open between two calls."""

    def _write(self, name: str, data: bytes) -> None:
        """A file has its name only once it is whole and on the disk. Blocking."""
        target = self._path / name
        if target.exists():
            return
        self._path.mkdir(parents=True, exist_ok=True)
        descriptor, part = tempfile.mkstemp(suffix=".part", dir=self._path)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(part).replace(target)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise
        folder = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
