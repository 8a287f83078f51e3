"""A folder on another disk or of another machine, as the target of a continuous backup."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from storekeeper.domain.errors import StoreUnavailable
from storekeeper.store.sqlite.streaming.target import Changed, Found, Target, Unusable

R = TypeVar("R")
_COPY_BYTES = 2**20
_PART = ".part"


class Folder:
    """`target.Target` under `path`. Keys are paths in it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        return str(self._path)

    async def keys(self, prefix: str, after: str = "") -> AsyncIterator[tuple[str, int]]:
        # A folder at a time: a backup has too many files to know them all at once.
        walk = self._walk(self._path / os.path.dirname(prefix), prefix, after)  # noqa: PTH120
        while batch := await self._do(lambda: _some(walk)):
            for found in batch:
                yield found

    async def read(self, key: str) -> bytes | None:
        return await self._do(lambda: self._read(self._path / key))

    async def find(self, key: str) -> Found | None:
        data = await self.read(key)
        return None if data is None else Found(data=data, tag=_tag(data))

    async def write(self, key: str, data: bytes) -> None:
        await self._do(lambda: self._place(key, lambda part: _write(part, data)))

    async def replace(self, key: str, data: bytes, tag: str | None) -> None:
        await self._do(lambda: self._replace(key, data, tag))

    async def upload(self, key: str, path: Path) -> None:
        await self._do(lambda: self._place(key, lambda part: _copy(path, part)))

    async def download(self, key: str, path: Path) -> None:
        await self._do(lambda: _copy(self._path / key, path), path)

    async def remove(self, key: str) -> None:
        await self._do(lambda: self._remove(self._path / key))

    async def _do(self, work: Callable[[], R], place: Path | None = None) -> R:
        """`place` is where it writes, when that isn't the folder."""
        try:
            return await asyncio.to_thread(work)
        except OSError as error:
            # A disk that isn't mounted any more; to make the folder would fill the one below it.
            if not self._path.is_dir():
                raise StoreUnavailable(f"the folder {self._path} is away") from error
            raise StoreUnavailable(
                f"{error.filename or place or self._path}: {error.strerror}"
            ) from error

    def _read(self, path: Path) -> bytes | None:
        try:
            return path.read_bytes()
        except FileNotFoundError:
            if not self._path.is_dir():
                raise
            return None

    def _walk(self, folder: Path, prefix: str, after: str) -> Iterator[tuple[str, int]]:
        try:
            entries = sorted(os.scandir(folder), key=_sorting)
        except FileNotFoundError:
            if not self._path.is_dir():
                raise
            return
        for entry in entries:
            key = Path(entry.path).relative_to(self._path).as_posix()
            if entry.is_dir():
                inside = f"{key}/"
                is_wanted = inside.startswith(prefix) or prefix.startswith(inside)
                if is_wanted and (inside > after or after.startswith(inside)):
                    yield from self._walk(Path(entry.path), prefix, after)
            elif key.startswith(prefix) and key > after and not entry.name.startswith("."):
                yield key, entry.stat().st_size

    def _replace(self, key: str, data: bytes, tag: str | None) -> None:
        place = self._path / key
        lock = os.open(place.with_name(f".{place.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # A network's file system without locks is like storage that knows no conditions.
            with contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)
            there = _tag(place.read_bytes()) if place.exists() else None
            if there != tag:
                raise Changed(f"{place} was written by another process")
            self._place(key, lambda part: _write(part, data))
        finally:
            os.close(lock)

    def _place(self, key: str, write: Callable[[Path], None]) -> None:
        place = self._path / key
        part = place.with_name(f".{place.name}{_PART}")
        missing = [
            folder for folder in (place.parent, *place.parent.parents) if not folder.is_dir()
        ]
        if self._path in missing:
            raise FileNotFoundError(str(self._path))
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(part)
            part.replace(place)
        finally:
            part.unlink(missing_ok=True)
        for folder in {place.parent, *(made.parent for made in missing)}:
            _flush(folder)

    def _remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self._path:
                return
            try:
                folder.rmdir()
            except OSError:  # something else is in it
                return


@asynccontextmanager
async def open_folder(path: Path) -> AsyncIterator[Target]:
    if not path.is_dir():
        raise Unusable(
            f"there is no folder {path} for a continuous backup; make it (mkdir -p {path}), or mount "
            "the disk that holds it"
        )
    yield Folder(path.resolve())


def _some(walk: Iterator[tuple[str, int]]) -> list[tuple[str, int]]:
    return [found for _, found in zip(range(1_000), walk, strict=False)]


def _tag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _sorting(entry: os.DirEntry[str]) -> str:
    """As the keys below it sort."""
    return f"{entry.name}/" if entry.is_dir() else entry.name


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("wb") as file:
        shutil.copyfileobj(read, file, _COPY_BYTES)
        file.flush()
        os.fsync(file.fileno())


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
