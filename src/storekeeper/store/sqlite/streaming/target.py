"""Where a continuous backup goes: a bucket, or a folder on another disk. One small port for both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from storekeeper.domain.errors import StoreUnavailable
from storekeeper.domain.types import Struct


class Unusable(StoreUnavailable):
    """The target can't be used as it is named or as its rights are: waiting won't help."""


class Changed(StoreUnavailable):
    """Another has written meanwhile; nothing was."""


class Found(Struct, frozen=True, kw_only=True):
    """An object, and what tells its content from any before it."""

    data: bytes
    tag: str


class Target(Protocol):
    """Objects by their keys. Whatever is written is there as a whole or not at all, and on a disk.

    All methods raise `StoreUnavailable` where the target is away, `Unusable` where it will stay so.
    """

    @property
    def name(self) -> str:
        """For people, and to tell it from others."""

    def keys(self, prefix: str, after: str = "") -> AsyncIterator[tuple[str, int]]:
        """All keys that begin with `prefix` and come after another, in order, with their bytes."""

    async def read(self, key: str) -> bytes | None:
        """A small object; None where none is."""

    async def find(self, key: str) -> Found | None:
        """The same with its tag, for `replace`."""

    async def write(self, key: str, data: bytes) -> None: ...

    async def replace(self, key: str, data: bytes, tag: str | None) -> None:
        """Writes if there still is what has this tag (None: nothing at all), else raises `Changed`.
        Where the storage knows no conditions it is a plain write."""

    async def upload(self, key: str, path: Path) -> None:
        """A whole file, piece by piece."""

    async def download(self, key: str, path: Path) -> None:
        """A whole object, piece by piece."""

    async def remove(self, key: str) -> None: ...
