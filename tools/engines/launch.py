"""Starts the local engines that stand in for AWS: for the tests and for `make run-aws-local`.

Each is a process of its own on a free port of the loopback, with data that nobody keeps, and is
ended by its process id.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "engines"
START_SECONDS = 60
POLL_SECONDS = 0.05
Check = Callable[[], None]
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
    """An engine can't run here; says what to install, its remedies in lines that are set in."""


@dataclass(frozen=True)
class Running:
    """An engine that answers. `url` for HTTP engines, `redis://…` for Valkey."""

    name: Name
    port: int
    url: str
    process: subprocess.Popen[Any]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def install(folder: Path = FOLDER, *, check: Check = lambda: None, quiet: bool = True) -> None:
    """Fetches what is missing into `folder`; raises `Missing` where that can't be done.

    `check` is asked while it waits, and may raise to give up. Not `quiet`: what it does and lacks
    is on stderr already.
    """
    command = [str(ROOT / "tools/engines/install.sh"), str(folder)]
    with tempfile.TemporaryFile("w+") as told:
        with ended_after(
            subprocess.Popen(command, stderr=told if quiet else None, process_group=0),
            whole_group=True,
        ) as fetching:
            while fetching.poll() is None:
                check()
                time.sleep(POLL_SECONDS)
        told.seek(0)
        text = told.read().strip() or "see above"
    if fetching.returncode == 3:
        raise Missing(text)
    if fetching.returncode != 0:
        raise Missing(f"tools/engines/install.sh failed: {text[-400:]}")


@contextlib.contextmanager
def running(
    name: Name,
    *,
    port: int | None = None,
    folder: Path = FOLDER,
    check: Check = lambda: None,
    in_own_group: bool = False,
) -> Iterator[Running]:
    """The engine, ready to answer; its process and its data are gone at the end.

    `folder` is where engines are kept, and `check` is asked while it starts and may raise to give
    up. `in_own_group`: Ctrl-C on the terminal leaves the ending to whoever started it.
    """
    if name != "valkey":
        install(folder, check=check)
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="storekeeper-engine-") as place:
        command = _command(name, port, folder, Path(place))
        environment = {**os.environ, **CREDENTIALS, **_ENVIRONMENT.get(name, {})}
        environment |= {"GATEWAY_PORT": str(port), "HOME": place, "TMPDIR": place}
        log = Path(place, "log")
        with (
            log.open("wb") as output,
            ended_after(
                subprocess.Popen(
                    command,
                    cwd=place,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    process_group=0 if in_own_group else None,
                ),
                whole_group=in_own_group,
            ) as process,
        ):
            _wait(process, _READY[name], port, log, check)
            scheme = "redis" if name == "valkey" else "http"
            yield Running(name, port, f"{scheme}://127.0.0.1:{port}", process)


@contextlib.contextmanager
def ended_after(
    process: subprocess.Popen[Any], *, whole_group: bool = False, patience: float = 10.0
) -> Iterator[subprocess.Popen[Any]]:
    """The process, told to end at the end of the block; killed if it hasn't after `patience` s.

    `whole_group`: it leads a group of its own, and all that it has started is told with it.
    """
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                send = partial(os.killpg, process.pid) if whole_group else process.send_signal
                send(signal.SIGTERM)
                try:
                    process.wait(patience)
                except subprocess.TimeoutExpired:
                    send(signal.SIGKILL)


def _command(name: Name, port: int, engines: Path, place: Path) -> Sequence[str]:
    scripts = engines / "venv" / "bin"
    if name == "dynamodb":
        home = engines / "dynamodb"
        return [
            "java",
            "-Xmx512m",
            "-XX:TieredStopAtLevel=1",
            f"-Djava.io.tmpdir={place}",
            f"-Djava.library.path={home / 'DynamoDBLocal_lib'}",
            f"-Ddynamodb.port={port}",
            *("-cp", f"{home / 'DynamoDBLocal.jar'}:{home / 'DynamoDBLocal_lib'}/*"),
            "org.eclipse.jetty.xml.XmlConfiguration",
            str(ROOT / "tools/engines/dynamodb.xml"),
        ]
    if name == "valkey":
        server = shutil.which("valkey-server") or shutil.which("redis-server")
        if server is None:
            raise Missing(
                "Valkey is missing. Install it with one of\n"
                "  Debian, Ubuntu     apt-get install redis-server\n"
                "  Fedora, RHEL       dnf install valkey\n"
                "  macOS (Homebrew)   brew install valkey"
            )
        options = ("--save", "", "--appendonly", "no", "--dir", str(place))
        return [server, "--port", str(port), "--bind", "127.0.0.1", *options]
    if name == "moto":
        return [str(scripts / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    return [str(scripts / "ministack")]


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
    process: subprocess.Popen[Any],
    ready: Callable[[int], bool],
    port: int,
    log: Path,
    check: Check,
) -> None:
    until = time.monotonic() + START_SECONDS
    while not ready(port):
        check()
        if process.poll() is not None or time.monotonic() > until:
            raise Missing(f"an engine didn't start: {log.read_text(errors='replace')[-600:]}")
        time.sleep(POLL_SECONDS)
