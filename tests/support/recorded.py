"""The list of what the shop calls at AWS, made by the tests: `tests/deploy/recorded_calls.txt`.

Each process of a run knows its own calls; the one that started the others joins them at the end. A
whole run that went well has to have made exactly the calls of the list. `--record-calls` writes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.role import WATCH

FILE = Path(__file__).parents[1] / "deploy" / "recorded_calls.txt"
_HEAD = (
    "# What the shop calls at AWS, and the right by which it may: written by `make record-calls`.\n"
)
_KEY = "recorded_calls"


def recorded() -> set[str]:
    return {line for line in FILE.read_text().splitlines() if not line.startswith("#")}


def add_option(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-calls", action="store_true", help=f"write what the shop called into {FILE.name}"
    )


class Recorder:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._calls: set[str] = WATCH.calls

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self._calls |= set(getattr(node, "workeroutput", {}).get(_KEY, ()))

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        config = self._config
        if hasattr(config, "workeroutput"):
            config.workeroutput[_KEY] = sorted(self._calls)
        elif config.getoption("--record-calls"):
            FILE.write_text(_HEAD + "".join(f"{line}\n" for line in sorted(self._calls)))
        elif (
            exitstatus == pytest.ExitCode.OK
            and _is_whole(config)
            and (told := differences(recorded(), self._calls))
        ):
            self._tell(told)
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _tell(self, lines: list[str]) -> None:
        reporter: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        for line in lines:
            reporter.write_line(line, red=True)


def differences(listed: set[str], made: set[str]) -> list[str]:
    """A line for each; `make record-calls` writes the list anew."""
    return [
        *(f"{FILE.name} lacks what was called: {line}" for line in sorted(made - listed)),
        *(f"{FILE.name} has what no test called: {line}" for line in sorted(listed - made)),
    ]


def _is_whole(config: pytest.Config) -> bool:
    """All tests ran, and none was left out."""
    chosen = [*(config.option.ignore or ()), *(config.option.deselect or ())]
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    return (
        config.args_source is pytest.Config.ArgsSource.TESTPATHS
        and not (config.option.keyword or config.option.markexpr or chosen)
        and not config.option.collectonly
        and not reporter.stats.get("skipped")
    )
