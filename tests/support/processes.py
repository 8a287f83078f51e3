"""Starting our own code in processes of its own, and reading what it says."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`python ARGUMENTS`, with pipes for text; killed at the end if it still runs."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def lines_of(started: subprocess.Popen[str]) -> Iterator[str]:
    """Whole lines until the process ends; a torn last one is left out."""
    output: IO[str] | None = started.stdout
    assert output is not None
    for line in output:
        if line.endswith("\n"):
            yield line.rstrip("\n")


def wait_for(started: subprocess.Popen[str], text: str) -> None:
    """Reads on until the process has said `text`; shows what it said instead if it ends."""
    for line in lines_of(started):
        if line == text:
            return
    assert started.stderr is not None
    raise AssertionError(f"it ended without saying {text!r}: {started.stderr.read()}")
