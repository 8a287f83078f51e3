"""The local engines for tests: each is started once a test process, when first asked for, unless the
process that started this one lends its own (`tests.support.lending`).

Where one can't run, its tests are skipped, and a line at the end of the run says for each engine
what was not tested and what to install; with TEST_ENGINES=required (as CI sets) that is a failure
instead.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NoReturn

import pytest

from tests.support import lending
from tools.engines.launch import CREDENTIALS, Missing, Name, Running, install, running

NOT_TESTED = "NOT TESTED"
_USED_FOR: dict[Name, str] = {
    "dynamodb": "the store on DynamoDB",
    "ministack": "CloudWatch, SNS and SQS",
    "moto": "S3, and CloudWatch and SNS a second time",
    "valkey": "the cache that nodes share",
}
_started: dict[Name, Running] = {}
_reasons: dict[Name, str] = {}
_open = contextlib.ExitStack()
atexit.register(_open.close)


def engine(name: Name) -> Running:
    """The running engine of this test process."""
    with _told_if_missing(name):
        return _start(name)


def started_url(name: Name) -> str:
    """Where this process's own engine is. Raises `Missing`."""
    return _start(name).url


def _start(name: Name) -> Running:
    if name not in _started:
        _started[name] = _open.enter_context(running(name))
    return _started[name]


@contextlib.contextmanager
def _told_if_missing(name: Name) -> Iterator[None]:
    """Ends the test where the engine can't run, as every later one that asks for it."""
    if name not in _reasons:
        try:
            yield
            return
        except Missing as missing:
            _reasons[name] = _in_one_line(str(missing))
    not_tested(f"{_USED_FOR[name]} ({name})", _reasons[name])


def require(what: str) -> None:
    """For tests that start engines themselves: goes on only where they can be had."""
    try:
        install()
    except Missing as missing:
        not_tested(what, _in_one_line(str(missing)))


def not_tested(what: str, reason: str) -> NoReturn:
    """Ends this test; `reason` in one line."""
    message = f"{NOT_TESTED}: {what}. {reason}"
    if os.environ.get("TEST_ENGINES") == "required":
        pytest.fail(message)
    pytest.skip(message)


def told_of(skipped: Iterable[pytest.TestReport]) -> list[str]:
    """A line for each engine that these tests lacked, with their number."""
    found = Counter(message for report in skipped if (message := missed_by(report)))
    return [
        message.replace(NOT_TESTED, f"{NOT_TESTED} ({times} test{'s' * (times > 1)} skipped)", 1)
        for message, times in sorted(found.items())
    ]


def missed_by(report: pytest.TestReport) -> str:
    """What wasn't tested and why; empty where the test was skipped for another reason."""
    if not isinstance(report.longrepr, tuple):
        return ""
    message = report.longrepr[2].removeprefix("Skipped: ")
    return message if message.startswith(NOT_TESTED) else ""


def _in_one_line(text: str) -> str:
    """With the remedies, which are set in: a system, spaces, what to do there."""
    sentences: list[str] = []
    for line in text.splitlines():
        if line.startswith(" ") and sentences:
            joint = ": " if sentences[-1].endswith("one of") else "; "
            sentences[-1] += joint + re.sub(r" {2,}", ": ", line.strip())
        else:
            sentences.append(line)
    return ". ".join(sentences)


def url(name: Name) -> str:
    """Where the engine of this test process is, or that of the one which started it."""
    key = f"TEST_URL_{name.upper()}"
    if key not in os.environ:
        with _told_if_missing(name):
            os.environ[key] = lending.borrow(name) or started_url(name)
    return os.environ[key]


def use_local_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a machine that has a role, as far as clients can tell."""
    for key, value in CREDENTIALS.items():
        monkeypatch.setenv(key, value)
