"""`make run-aws-local`: somebody who wants to see the shop on AWS needs one command for it, and has
their machine back afterwards."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.terminal import eventually
from tests.support import local_engines
from tools.aws_local.run import RUNS
from tools.engines.launch import ROOT

COMMAND = (sys.executable, "-m", "tools.aws_local")
PATIENCE_S = 180.0
RUN_LOCAL = "make run-aws-local"


class Run:
    """The command in a session of its own, as in a terminal; what it says goes to a file."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def text(self) -> str:
        return self._log.read_text()

    def says(self, pattern: str) -> re.Match[str]:
        """Waits until it has said that, and fails where it ends without."""

        def found() -> Any:
            said = re.search(pattern, self.text)
            assert said or self.process.poll() is None, self.text
            return said

        return eventually(found, PATIENCE_S)  # type: ignore[no-any-return]

    def ended(self) -> int:
        """Its exit code, once it has gone with all that it had started."""
        code = self.process.wait(PATIENCE_S)
        assert self.still_running() == []
        assert not any(answers("127.0.0.1", port) for port in self.ports())
        for folder in re.findall(r"aws-local/(run-\w+)", self.text):
            assert not (RUNS / folder).exists()
        return code

    def ports(self) -> set[int]:
        return {int(port) for port in re.findall(r"://127\.0\.0\.1:(\d+)", self.text)}

    def still_running(self) -> list[str]:
        """The commands of the processes in its session."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(") ")[2].split()
                # One that waits for init to take note of its end is no process any more.
                if int(fields[3]) == self.process.pid and fields[0] != "Z":
                    found.append(stat.with_name("cmdline").read_text().replace("\0", " "))
        return found


def answers(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), 1):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def run_of(folder: Path, *arguments: str, path: str | None = None) -> Iterator[Run]:
    """Killed at the end, with what it has started, if a test has failed in between."""
    kept = {name: text for name, text in os.environ.items() if "STOREKEEPER" not in name}
    log = folder / "said.txt"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [*COMMAND, "run", *arguments],
            cwd=ROOT,
            env={**kept, "PATH": path or kept["PATH"], "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        run = Run(process, log)
        try:
            yield run
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(PATIENCE_S)


@pytest.fixture
def engines() -> None:
    local_engines.require(RUN_LOCAL)


def path_without(folder: Path, *names: str) -> str:
    """A PATH with everything that is on ours, but not these commands."""
    folder.mkdir()
    # The first place that has a command wins, as on a PATH.
    for place in reversed(os.environ["PATH"].split(os.pathsep)):
        for command in Path(place).glob("*"):
            (folder / command.name).unlink(missing_ok=True)
            (folder / command.name).symlink_to(command)
    for name in names:
        (folder / name).unlink(missing_ok=True)
    return str(folder)


def looked(folder: str, what: str) -> str:
    """What the command that was told shows."""
    command = [*COMMAND, "look", folder, what]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_order_is_seen_in_all_that_it_reaches_and_ctrl_c_ends_it_all(engines, tmp_path):
    with run_of(tmp_path) as run:
        run.says("Ctrl-C stops everything")
        url = run.says(r"shop +(http://127\.0\.0\.1:\d+) ")[1]
        folder = run.says(r"look (\S+) tables")[1]
        assert len(re.findall(r"\w+@example\.com +\w{20}\b", run.text)) == 2
        # What listens on every address of the machine answers on this one too.
        assert [port for port in run.ports() if answers("127.0.0.2", port)] == []
        order = {"lines": [{"sku": "85123A", "quantity": 2}], "email": "ada@example.com"}
        placed = httpx.post(f"{url}/orders", json={**order, "confirm": True})
        assert placed.status_code == 201
        assert "storekeeper-commits: " in looked(folder, "tables")
        eventually(lambda: placed.json()["id"] in looked(folder, "messages"), PATIENCE_S)
        eventually(lambda: "storekeeper_orders" in looked(folder, "metrics"), PATIENCE_S)
        assert "storekeeper-fault-burst: " in looked(folder, "alarms")
        token = looked(folder, "tokens").splitlines()[1]
        grace = httpx.get(f"{url}/users/me", headers={"Authorization": f"Bearer {token}"})
        assert (grace.json()["name"], grace.json()["role"]) == ("grace", "admin")
        # As a terminal does it: to every process of the foreground.
        os.killpg(run.process.pid, signal.SIGINT)
        assert run.ended() == 0
    assert run.text.count("Traceback") == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_engine_that_dies_ends_the_rest_and_a_cache_is_not_needed(engines, tmp_path):
    path = path_without(tmp_path / "bin", "valkey-server", "redis-server")
    with run_of(tmp_path, path=path) as run:
        run.says("Going on without a shared cache. Valkey is missing")
        run.says("Ctrl-C stops everything")
        java = run.says(r"Starting DynamoDB Local \.\.\.\n.*\(process (\d+)\)")[1]
        os.kill(int(java), signal.SIGKILL)
        run.says("has ended, and all that it had started: DynamoDB Local ended")
        assert run.ended() == 1


def test_what_was_started_is_ended_too_when_it_stops_halfway(engines, tmp_path):
    with run_of(tmp_path) as run:
        run.says("Starting ministack")
        run.process.terminate()
        assert run.ended() == 0
        assert "Opening the shop" not in run.text


@pytest.mark.parametrize(("command", "what"), [("java", "Java 17"), ("npm", "Node with npm")])
def test_what_is_missing_is_named_with_the_ways_to_get_it(tmp_path, command, what):
    path = path_without(tmp_path / "bin", command)
    with run_of(tmp_path, "--engines", str(tmp_path / "none"), path=path) as run:
        assert run.ended() == 3
        for text in (f"{what} ", "is missing", "apt-get install", "dnf install", "brew install"):
            assert text in run.text
        assert "Traceback" not in run.text
    assert not (tmp_path / "none").exists()
