"""A root that is booted with its own systemd, and how its start went."""

from __future__ import annotations

import contextlib
import itertools
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

PATIENCE_S = 240.0
# What a command of the trace begins with, and the step that it begins.
STEPS = {
    "dnf install --assumeyes --quiet aws-cfn-bootstrap": "the script's own files",
    "aws s3 cp": "fetching the release",
    "sha256sum": "checking its hash",
    "tar --extract": "unpacking it",
    "python3 -m venv": "making the environment",
    "/opt/storekeeper/bin/python -m pip install": "installing the packages, by their hashes",
    "mkdir -p /opt/storekeeper/share": "installing the services",
    "systemctl daemon-reload": "starting them: keys, shop, rotation of logs",
    "curl --silent": "waiting for /readyz",
    "ready=1": "ready without a break, as long as the load balancer looks",
    "/opt/aws/bin/cfn-signal": "",
}
# Where no systemd runs, nobody could make a unit for the machine.
UNIT = () if Path("/run/systemd/system").is_dir() else ("--keep-unit",)
_LINE = re.compile(r"^\++ ([0-9]+\.[0-9]+) (.*)$")


class Step(NamedTuple):
    name: str
    seconds: float


class Machine:
    """A root that runs; `signal` waits for what it tells CloudFormation."""

    def __init__(self, root: Path, process: subprocess.Popen[bytes]) -> None:
        self.root = root
        self._process = process

    def signal(self) -> str:
        """The first, as its arguments."""
        told = self.root / "var/log/signals"
        until = time.monotonic() + PATIENCE_S
        while not (told.exists() and told.read_text().endswith("\n")):
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the machine told nothing: {self.log('storekeeper-start.log')}")
            time.sleep(0.05)
        return told.read_text().splitlines()[0]

    def log(self, name: str) -> str:
        path = self.root / "var/log" / name
        return path.read_text() if path.exists() else ""

    def steps(self) -> list[Step]:
        """Of the user data, by the times that its commands left behind."""
        found: list[tuple[str, float]] = []
        waiting = dict(STEPS)
        for line in self.log("steps").splitlines():
            matched = _LINE.match(line)
            begun = next((one for one in waiting if matched and matched[2].startswith(one)), None)
            if matched and begun is not None:
                found.append((waiting.pop(begun), float(matched[1])))
        return [Step(name, after - at) for (name, at), (_, after) in itertools.pairwise(found)]

    def run(self, *command: str) -> str:
        """A command inside, as root; its output."""
        done = subprocess.run(
            [*self._enter(), *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")
        return done.stdout

    def typed(self, command: str, answers: Sequence[tuple[str, str]]) -> str:
        """A command on a terminal, where somebody answers each question when all of it is there."""
        ours, theirs = pty.openpty()
        words = [*self._enter(), *command.split()]
        with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            shown = ""
            waiting = list(answers)
            # At the end of the last process there, reading fails.
            with contextlib.suppress(OSError):
                while select.select([ours], [], [], 60)[0] and (data := os.read(ours, 4_096)):
                    shown += data.decode(errors="replace")
                    if waiting and waiting[0][0] in shown.rpartition("\n")[2]:
                        os.write(ours, f"{waiting.pop(0)[1]}\n".encode())
            os.close(ours)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
        if process.returncode != 0 or waiting:
            raise RuntimeError(f"{command}: {shown}")
        return shown

    def _enter(self) -> list[str]:
        (leader,) = _children(self._process.pid)
        return ["nsenter", f"--target={leader}", "--all", "--root", "--wd"]


@contextlib.contextmanager
def booted(root: Path, log: Path) -> Iterator[Machine]:
    """The root with its systemd as process 1, in the network of this process; halted at the end."""
    with (
        log.open("wb") as output,
        subprocess.Popen(
            ["systemd-nspawn", "--register=no", *UNIT, "-D", str(root), "--boot"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            yield Machine(root, process)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(one) for one in text.split()]
