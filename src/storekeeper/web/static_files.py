"""Style sheet, scripts and pictures of the pages: read once, named by what they hold."""

from __future__ import annotations

import gzip
import hashlib
from importlib import resources
from typing import NamedTuple

_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_DIGITS = 12


class StaticFile(NamedTuple):
    """Bytes under an address that changes with them, so that a browser may keep them for ever."""

    address: str
    media_type: str
    body: bytes
    packed: bytes


class StaticFiles:
    """All files of the folder `static`, by name and by address."""

    def __init__(self) -> None:
        self._by_name: dict[str, StaticFile] = {}
        for file in resources.files("storekeeper.web").joinpath("static").iterdir():
            stem, _, suffix = file.name.rpartition(".")
            if suffix not in _TYPES:
                continue
            body = file.read_bytes()
            digest = hashlib.sha256(body).hexdigest()[:_DIGITS]
            self._by_name[file.name] = StaticFile(
                f"/static/{stem}.{digest}.{suffix}",
                _TYPES[suffix],
                body,
                gzip.compress(body, 9, mtime=0),
            )
        self._by_address = {file.address: file for file in self._by_name.values()}

    def address(self, name: str) -> str:
        return self._by_name[name].address

    def at(self, address: str) -> StaticFile | None:
        return self._by_address.get(address)
