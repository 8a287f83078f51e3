"""The local engines for tests: each is started once a test process, when first asked for.

Where one can't run, its tests are skipped with a line that says what was not tested; with
TEST_ENGINES=required (as CI sets) that is a failure instead.
"""

from __future__ import annotations

import atexit
import contextlib
import os
from typing import NoReturn

import pytest

from tools.engines.launch import CREDENTIALS, Missing, Name, Running, install, running

_started: dict[Name, Running] = {}
_reasons: dict[Name, str] = {}
_open = contextlib.ExitStack()
atexit.register(_open.close)


def engine(name: Name) -> Running:
    """The running engine of this test process."""
    if name not in _started and name not in _reasons:
        try:
            _started[name] = _open.enter_context(running(name))
        except Missing as missing:
            _reasons[name] = _in_one_line(str(missing))
    if name in _reasons:
        _not_tested(f"on {name}", _reasons[name])
    return _started[name]


def require(what: str) -> None:
    """For tests that start engines themselves: goes on only where they can be had."""
    try:
        install()
    except Missing as missing:
        _not_tested(what, _in_one_line(str(missing)))


def _not_tested(what: str, reason: str) -> NoReturn:
    message = f"NOT TESTED {what}: {reason}"
    if os.environ.get("TEST_ENGINES") == "required":
        pytest.fail(message)
    pytest.skip(message)


def _in_one_line(text: str) -> str:
    """Without the remedies, which are set in."""
    return " ".join(line for line in text.splitlines() if not line.startswith(" "))


def url(name: Name) -> str:
    """Where the engine of this test process is, or that of the one which started it."""
    key = f"TEST_URL_{name.upper()}"
    if key not in os.environ:
        os.environ[key] = engine(name).url
    return os.environ[key]


def use_local_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a machine that has a role, as far as clients can tell."""
    for key, value in CREDENTIALS.items():
        monkeypatch.setenv(key, value)
