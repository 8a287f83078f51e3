"""The list of what machines call at AWS, made by the tests: `tests/deploy/recorded_calls.txt`.

Each process of a run knows its own calls; the one that started the others joins them at the end. No
run may make a call that isn't listed, and a whole one has to make them all. `--record-calls` writes
the list anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support import local_engines
from tests.support.role import WATCH

FILE = Path(__file__).parents[1] / "deploy" / "recorded_calls.txt"
_HEAD = "# What machines call at AWS, and by which right: written by `make record-calls`.\n"
_KEY = "recorded_calls"


def recorded() -> set[str]:
    return {line for line in FILE.read_text().splitlines() if not line.startswith("#")}


def add_option(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-calls", action="store_true", help=f"write {FILE.name}, if all goes well"
    )


class Recorder:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._calls = WATCH.calls

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self._calls |= set(getattr(node, "workeroutput", {}).get(_KEY, ()))

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput[_KEY] = sorted(self._calls)
        elif exitstatus != pytest.ExitCode.OK:
            return
        elif self._config.getoption("--record-calls"):
            FILE.write_text(_HEAD + "".join(f"{line}\n" for line in sorted(self._calls)))
        elif told := differences(recorded(), self._calls, is_whole=_is_whole(self._config)):
            reporter: Any = self._config.pluginmanager.get_plugin("terminalreporter")
            reporter.ensure_newline()
            for line in told:
                reporter.write_line(line, red=True)
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def differences(listed: set[str], made: set[str], *, is_whole: bool) -> list[str]:
    """A line for each."""
    unmade = listed - made if is_whole else set()
    return [
        *(f"{FILE.name} lacks what was called: {line}" for line in sorted(made - listed)),
        *(f"{FILE.name} has what no test called: {line}" for line in sorted(unmade)),
    ]


def _is_whole(config: pytest.Config) -> bool:
    """All tests ran, and none was left out."""
    chosen = ("ignore", "deselect", "keyword", "markexpr", "lf", "collectonly")
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", ())
    return (
        config.args_source is pytest.Config.ArgsSource.TESTPATHS
        and not any(config.getoption(name, None) for name in chosen)
        and not any(map(local_engines.missed_by, skipped))
    )
