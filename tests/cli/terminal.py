"""The program as a person runs it: a process of its own, its output and its exit code."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx

from tests.support import tables, warm

COMMAND = (sys.executable, "-m", "storekeeper")
PATIENCE_S = 60.0


class Ended:
    """A command that has ended."""

    def __init__(self, process: subprocess.CompletedProcess[str]) -> None:
        self.code = process.returncode
        self.out = process.stdout
        self.err = process.stderr

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Terminal:
    """A folder in which commands run, with nothing of the tester's own environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {name: text for name, text in os.environ.items() if "STOREKEEPER" not in name}
        self.environment = {**kept, "COLUMNS": "100", "TERM": "dumb"}

    def run(self, *arguments: str | Path, stdin: str = "", **environment: str) -> Ended:
        given = [*map(str, arguments)]
        env = {**self.environment, **environment}
        if not warm.is_for_a_start(env):
            ended = warm.run(given, cwd=self.folder, env=env, stdin=stdin, timeout_s=PATIENCE_S)
            return Ended(ended)
        return Ended(
            subprocess.run(
                [*COMMAND, *given],
                cwd=self.folder,
                env=env,
                input=stdin,
                check=False,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
            )
        )

    def ok(self, *arguments: str | Path, **more: str) -> Ended:
        """A command that has to do what it is told."""
        ended = self.run(*arguments, **more)
        assert ended.code == 0, ended.err
        return ended

    def start(self, *arguments: str | Path) -> warm.Started:
        """A command that goes on; its output is read from `stdout`, its errors are in `errors`."""
        with (self.folder / "err.txt").open("a") as errors:
            given = [*map(str, arguments)]
            if warm.is_for_a_start(self.environment):
                started: Any = subprocess.Popen(
                    [*COMMAND, *given],
                    cwd=self.folder,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                )
                return cast("warm.Started", started)
            return warm.start(given, cwd=self.folder, env=self.environment, stderr=errors)

    @contextlib.contextmanager
    def serving(self, *arguments: str | Path) -> Iterator[Served]:
        """A server on a free port, told to end afterwards if it runs still."""
        process = self.start("serve", "--port", "0", *arguments)
        served = Served(process, self)
        try:
            served.wait_until_open()
            yield served
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE_S)
            finally:
                process.kill()
                process.stdout.close()

    def errors(self) -> str:
        """What the processes started here wrote to stderr."""
        return (self.folder / "err.txt").read_text()


def terminal_on_dynamodb(folder: Path) -> Terminal:
    """In the folder of a node whose shop has tables of its own."""
    terminal = Terminal(folder)
    terminal.environment |= tables.environment_of(folder)
    terminal.ok("init")
    return terminal


class Served:
    """A running server; `url` is where it says it is."""

    def __init__(self, process: warm.Started, terminal: Terminal) -> None:
        self.process = process
        self._terminal = terminal
        self.output = ""
        self.url = ""

    def wait_until_open(self) -> None:
        for line in self.process.stdout:
            self.output += line
            found = re.search(r"API\s+(http://\S+)/products", line)
            if found:
                self.url = found[1]
            if "Ctrl-C" in line:
                return
        raise AssertionError(f"the server didn't open: {self._terminal.errors()}")

    def get(self, path: str, **more: Any) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=PATIENCE_S, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", timeout=PATIENCE_S, **more)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


def eventually(condition: Any, patience_s: float = 30.0) -> Any:
    """Waits until `condition()` holds and answers it; fails when it doesn't in time."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it didn't happen in time")
