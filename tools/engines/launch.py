"""Starts the local engines that stand in for AWS: for the tests and for `make run-aws-local`.

Each is a process of its own on a free port of the loopback, with data that nobody keeps, and is
ended by its process id.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "engines"
START_SECONDS = 60
Name = Literal["dynamodb", "ministack", "moto", "valkey"]
# What the engines take for credentials; real ones come from the machine's role.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local-secret",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_REGION": "eu-west-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Missing(Exception):
    """An engine can't run here; says what to install."""


@dataclass(frozen=True)
class Running:
    """An engine that answers. `url` for HTTP engines, `redis://…` for Valkey."""

    name: Name
    port: int
    url: str
    process: subprocess.Popen[bytes]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def install() -> None:
    """Fetches what is missing into build/engines; raises `Missing` where that can't be done."""
    ended = subprocess.run(
        [str(ROOT / "tools/engines/install.sh")], stderr=subprocess.PIPE, text=True, check=False
    )
    if ended.returncode == 3:
        raise Missing(ended.stderr.strip())
    if ended.returncode != 0:
        raise Missing(f"tools/engines/install.sh failed: {ended.stderr.strip()[-400:]}")


@contextlib.contextmanager
def running(name: Name, *, port: int | None = None) -> Iterator[Running]:
    """The engine, ready to answer; its process and its data are gone at the end."""
    if name != "valkey":
        install()
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="storekeeper-engine-") as folder:
        command, cwd = _command(name, port, Path(folder))
        environment = {**os.environ, **CREDENTIALS, **_ENVIRONMENT.get(name, {})}
        environment |= {"GATEWAY_PORT": str(port), "HOME": folder, "TMPDIR": folder}
        log = Path(folder, "log")
        with (
            log.open("wb") as output,
            subprocess.Popen(
                command, cwd=cwd, env=environment, stdout=output, stderr=subprocess.STDOUT
            ) as process,
        ):
            try:
                _wait(process, _READY[name], port, log)
                scheme = "redis" if name == "valkey" else "http"
                yield Running(name, port, f"{scheme}://127.0.0.1:{port}", process)
            finally:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()


def _command(name: Name, port: int, folder: Path) -> tuple[Sequence[str], Path]:
    scripts = FOLDER / "venv" / "bin"
    if name == "dynamodb":
        home = FOLDER / "dynamodb"
        return (
            [
                "java",
                "-Xmx512m",
                "-XX:TieredStopAtLevel=1",
                f"-Djava.io.tmpdir={folder}",
                f"-Djava.library.path={home / 'DynamoDBLocal_lib'}",
                "-jar",
                str(home / "DynamoDBLocal.jar"),
                *("-sharedDb", "-inMemory", "-disableTelemetry", "-port", str(port)),
            ],
            folder,
        )
    if name == "valkey":
        server = shutil.which("valkey-server") or shutil.which("redis-server")
        if server is None:
            raise Missing("Valkey is missing (Debian: apt-get install redis-server)")
        options = ("--save", "", "--appendonly", "no", "--dir", str(folder))
        return [server, "--port", str(port), "--bind", "127.0.0.1", *options], folder
    if name == "moto":
        return [str(scripts / "moto_server"), "-H", "127.0.0.1", "-p", str(port)], folder
    return [str(scripts / "ministack")], folder


_ENVIRONMENT: dict[str, dict[str, str]] = {
    "ministack": {
        "BIND_HOST": "127.0.0.1",
        "PERSIST_STATE": "0",
        # These would listen on ports of their own.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
    },
}


def _answers_http(path: str) -> Callable[[int], bool]:
    def answers(port: int) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=1):
                return True
        except urllib.error.HTTPError:
            return True  # it speaks, whatever it says
        except OSError:
            return False

    return answers


def _answers_ping(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


_READY: dict[str, Callable[[int], bool]] = {
    "dynamodb": _answers_http("/"),
    "ministack": _answers_http("/_ministack/health"),
    "moto": _answers_http("/moto-api/"),
    "valkey": _answers_ping,
}


def _wait(
    process: subprocess.Popen[bytes], ready: Callable[[int], bool], port: int, log: Path
) -> None:
    until = time.monotonic() + START_SECONDS
    while not ready(port):
        if process.poll() is not None or time.monotonic() > until:
            raise Missing(f"an engine didn't start: {log.read_text(errors='replace')[-600:]}")
        time.sleep(0.05)
