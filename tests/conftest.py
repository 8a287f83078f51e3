"""What all tests share: how hard Hypothesis looks, where files are kept, that Ctrl-C is heard, what
the garbage collector leaves alone, that nothing is called at AWS that machines may not, and the last
word on what was not tested."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from storekeeper.telemetry.recent import RECENT
from tests.support import certificates, lending, local_engines, recorded, role, scratch

# `make test` must give the same answer twice; a soak draws anew each time and looks for longer.
settings.register_profile(
    "ci",
    max_examples=25,
    stateful_step_count=30,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "soak",
    max_examples=1_500,
    stateful_step_count=80,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
# A shell starts what runs in the background deaf to Ctrl-C, and so would be every program that a
# test starts from there.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Modules whose tests share a shop that takes long to make, then long tests. They come first: what is
# left for whichever process ends sooner is short then, and no such shop is made by two of them.
LONG = (
    "watch/test_day.py",
    "web/test_browser",
    "operation/test_aws_local.py",
    "faults/",
    "replay/test_replay.py",
    "cli/",
    "dynamodb/",
    "deploy/",
)


# Before any test module takes a name from those that it watches.
role.begin()
certificates.read_once()


def pytest_addoption(parser: pytest.Parser) -> None:
    recorded.add_option(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(recorded.Recorder(config))
    # A worker's folder is in that of the process which started it.
    if not hasattr(config, "workerinput"):
        scratch.use_memory(config)
        if config.getoption("numprocesses", None):
            config.add_cleanup(lending.lend(local_engines.started_url))


def pytest_collection() -> None:
    gc.disable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    path = item.path.relative_to(Path(__file__).parent).as_posix()
    return next((turn for turn, start in enumerate(LONG) if path.startswith(start)), len(LONG))


def pytest_collection_finish() -> None:
    """To walk over thousands of tests and all modules again and again takes a seventh of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


@pytest.fixture(autouse=True)
def _nothing_went_wrong_yet() -> None:
    """A process keeps its last errors, and one runs many tests."""
    RECENT.forget()


@pytest.fixture(autouse=True)
def _the_role_allows_each_call() -> Iterator[None]:
    """Of those that the shop's own clients make."""
    yield
    denied, role.WATCH.denied = role.WATCH.denied, []
    assert denied == []


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """After all else, in whole lines, what no engine was there for; not once for each test."""
    stats = terminalreporter.stats
    skipped = stats.get("skipped", [])
    if not any(map(local_engines.missed_by, skipped)):
        yield
        return
    stats["skipped"] = [report for report in skipped if not local_engines.missed_by(report)]
    yield
    stats["skipped"] = skipped
    for line in local_engines.told_of(skipped):
        terminalreporter.write_line(line, red=True, bold=True)
