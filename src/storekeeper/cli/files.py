"""Files that commands write: whole or not there, and named when they can't be written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from storekeeper.cli.console import write_all


@contextmanager
def whole_file(path: Path | None) -> Iterator[Callable[[str], object]]:
    """How to write to stdout, or to a file that gets its name only when it is whole."""
    if path is None:
        yield partial(write_all, sys.stdout)
        return
    part = path.with_name(f".{path.name}.part")
    try:
        with named(path, part):
            with part.open("w", encoding="utf-8", newline="") as file:
                yield file.write
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def named(path: Path, opened: Path | None = None) -> Iterator[None]:
    """Gives `path` to failures of the file system that name no file, as those of writing don't
    (a full disk), or only the one that was `opened` in its place."""
    try:
        yield
    except OSError as error:
        if error.filename not in (None, str(opened or path)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
