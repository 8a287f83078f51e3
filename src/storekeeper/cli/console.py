"""What a command says, to people or machines, and with which exit code it ends."""

from __future__ import annotations

import asyncio
import select
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

import msgspec

from storekeeper.config import SettingsError
from storekeeper.domain.errors import Overloaded, ShopError, StoreUnavailable

OK = 0
REFUSED = 1
USAGE = 2
UNAVAILABLE = 3
T = TypeVar("T")


class Failed(Exception):
    """A check didn't hold; the result is told already. Ends with exit code 1."""


class Console:
    """With `as_json`, stdout carries the result alone and people read stderr."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json

    def say(self, text: str) -> None:
        """For people: what came of the command."""
        _write(sys.stderr if self.as_json else sys.stdout, text)

    def note(self, text: str) -> None:
        """For people, beside the result: warnings, what goes on."""
        _write(sys.stderr, text)

    def result(self, value: Any) -> None:
        """For machines, where they were asked for: one JSON document."""
        if self.as_json:
            _write(sys.stdout, msgspec.json.format(msgspec.json.encode(value)).decode())

    def line(self, value: Any) -> None:
        """For machines that read while the command goes on: one line of JSON."""
        if self.as_json:
            _write(sys.stdout, msgspec.json.encode(value).decode())


def counted(count: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 row", "2,000 rows"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def write_all(stream: Any, text: str) -> None:
    """Writes all of the text, now.

    An unbuffered stream (PYTHONUNBUFFERED, as in many containers) takes what fits into the pipe and
    says how much that was; Python's text layer drops the rest.
    """
    raw = getattr(stream, "buffer", None)
    if raw is None:
        stream.write(text)
        stream.flush()
        return
    stream.flush()
    left = memoryview(text.encode(stream.encoding, stream.errors))
    while left:
        # None: a pipe that doesn't block and is full.
        if (taken := raw.write(left)) is None:
            select.select([], [raw], [])
        else:
            left = left[taken:]
    raw.flush()


def _write(stream: Any, text: str) -> None:
    write_all(stream, f"{text}\n")


def explain_and_exit(error: Exception) -> NoReturn:
    """One sentence and the right exit code for what can go wrong; a fault of ours is raised on."""
    if isinstance(error, ExceptionGroup):
        explain_and_exit(error.exceptions[0])
    code, kind, text = _explained(error)
    _write(sys.stderr, f"storekeeper: {text}")
    if "--json" in sys.argv and not isinstance(error, Failed):
        members = error.members if isinstance(error, ShopError) else {}
        problem = {"error": {"code": kind, "detail": text, **members}}
        _write(sys.stdout, msgspec.json.encode(problem, enc_hook=str).decode())
    sys.exit(code)


def _explained(error: Exception) -> tuple[int, str, str]:
    if isinstance(error, SettingsError):
        return USAGE, "settings", str(error)
    if isinstance(error, (StoreUnavailable, Overloaded)):
        return UNAVAILABLE, error.code, error.detail
    if isinstance(error, ShopError):
        return REFUSED, error.code, error.detail
    if isinstance(error, Failed):
        return REFUSED, "failed", str(error)
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return REFUSED, "os", f"{where}{error.strerror}"
    raise error


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs to the end on a fresh event loop; Ctrl-C cancels it."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
