"""Cookies as they are read and set; which names and guards they have is decided here alone."""

from __future__ import annotations

from collections.abc import Iterable

ACCESS = "access"
REFRESH = "refresh"
VISITOR = "visitor"
CART = "cart"
LANGUAGE = "language"
TOLD = "told"
LONGEST = 4_000


class Jar:
    """The cookies of one visit: what came, and what goes back with the answer.

    Behind TLS names begin with `__Host-`, so that no other host of the domain can plant one.
    """

    def __init__(self, headers: Iterable[tuple[bytes, bytes]], *, is_secure: bool) -> None:
        self._prefix = "__Host-" if is_secure else ""
        self._guards = "; Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if is_secure else "")
        self._came = _read(headers)
        self._set: dict[str, str] = {}

    def get(self, name: str) -> str:
        """What the cookie holds, as it will after the answer; empty where there is none."""
        if name in self._set:
            return self._set[name].split(";", 1)[0]
        return self._came.get(self._prefix + name, "")

    def keep(self, name: str, value: str, seconds: int | None = None) -> None:
        """Sets a cookie, until the browser closes or for so many seconds. `value` is of letters,
        digits and `-_.~` alone."""
        until = "" if seconds is None else f"; Max-Age={seconds}"
        self._set[name] = value + until

    def drop(self, name: str) -> None:
        if self.get(name) or name in self._set:
            self._set[name] = "; Max-Age=0"

    def headers(self) -> list[tuple[bytes, bytes]]:
        """One `set-cookie` for each that changed."""
        found = []
        for name, value in self._set.items():
            text = f"{self._prefix}{name}={value}{self._guards}"
            found.append((b"set-cookie", text.encode("ascii")))
        return found


def _read(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers:
        if name != b"cookie":
            continue
        # One by one: a jar may hold what another program on the host has set, in a form of its own.
        for part in value.decode("latin-1").split(";"):
            key, _, text = part.strip().partition("=")
            if len(text) <= LONGEST:
                found.setdefault(key, text)
    return found
