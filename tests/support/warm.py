"""Commands of the program without the start of an interpreter for each of them.

Most of what a short command costs is Python's start and the imports, and tests run hundreds. So
one process imports the program once and forks for each command: still a process with its own
folder, environment, pipes and exit code, which shares nothing with the tester and can be killed.

What a user starts is different in that nothing is imported yet. What that could hide is seen by
the commands that tests start in the usual way: those of `tests/deploy` and `tests/operation`, of
scripts, and all with an interpreter's own settings in their environment.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

import storekeeper
from storekeeper.cli.commands import app

# Read by the interpreter at its start, so that a process that runs already can't heed them.
OF_THE_START = ("PYTHON", "LC_", "LANG", "TZ")
LONGEST_REQUEST = 1 << 20
LONGEST_ANSWER = 32


def is_for_a_start(environment: Mapping[str, str]) -> bool:
    """Whether variables that this process hasn't have to be there when the interpreter starts."""
    return any(
        name.startswith(OF_THE_START) and os.environ.get(name) != text
        for name, text in environment.items()
    )


class Started:
    """A command that runs: as much of `subprocess.Popen` as tests need. What it writes is read from
    `stdout`."""

    def __init__(self, answers: socket.socket, stdout: IO[str]) -> None:
        self._answers = answers
        self.stdout = stdout
        self.pid = int(answers.recv(LONGEST_ANSWER))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, negative for a signal. Raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            ready, _, _ = select.select([self._answers], [], [], timeout)
            if not ready:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            self.returncode = int(self._answers.recv(LONGEST_ANSWER))
            self._answers.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run(
    arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdin: str, timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """What `subprocess.run([python, "-m", "storekeeper", *arguments])` would answer."""
    with (
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
        _fed(stdin) as read,
    ):
        answers = _ask(arguments, cwd, env, (read.fileno(), out.fileno(), err.fileno()))
        started = Started(answers, out)
        try:
            code = started.wait(timeout_s)
        except subprocess.TimeoutExpired:
            started.kill()
            raise
        for file in (out, err):
            file.seek(0)
        return subprocess.CompletedProcess(arguments, code, out.read(), err.read())


def start(
    arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], stderr: IO[str]
) -> Started:
    """What `subprocess.Popen` of the same would, without any input and with a pipe to read from."""
    read, write = os.pipe()
    with Path(os.devnull).open() as nothing, os.fdopen(write, "wb") as pipe:
        answers = _ask(arguments, cwd, env, (nothing.fileno(), pipe.fileno(), stderr.fileno()))
    return Started(answers, os.fdopen(read))


@contextlib.contextmanager
def _fed(text: str) -> Iterator[IO[bytes]]:
    """The end of a pipe from which `text` comes; a pipe, since programs may not seek in those."""
    read, write = os.pipe()

    def feed() -> None:
        # Whoever doesn't read to the end closes the pipe.
        with contextlib.suppress(BrokenPipeError), os.fdopen(write, "w") as pipe:
            pipe.write(text)

    feeding = threading.Thread(target=feed)
    feeding.start()
    try:
        with os.fdopen(read, "rb") as end:
            yield end
    finally:
        feeding.join()


def _ask(
    arguments: Sequence[str], cwd: Path, env: Mapping[str, str], streams: tuple[int, ...]
) -> socket.socket:
    """Starts a command with these for its input, output and errors; where it is told of, first its
    process id, then its exit code."""
    request = {"arguments": list(arguments), "cwd": str(cwd), "env": dict(env)}
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        packed = json.dumps(request).encode()
        socket.send_fds(_forking(), [packed], [*streams, theirs.fileno()])
    return ours


@functools.cache
def _forking() -> socket.socket:
    """The way to the process that forks; it ends when this one does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LONGEST_REQUEST)
    with theirs:
        forking = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    @atexit.register
    def end() -> None:
        ours.close()
        forking.wait()

    return ours


def _serve(asked: socket.socket) -> None:
    """Forks for each request, and returns in the process that is to become the command."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        packed, files, _, _ = socket.recv_fds(asked, LONGEST_REQUEST, 4)
        if not packed:
            os._exit(0)
        if os.fork() == 0:
            asked.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _mind(json.loads(packed), files)
            return
        for file in files:
            os.close(file)


def _mind(request: dict[str, Any], files: list[int]) -> None:
    """Forks the command, in which it returns, and says how that ended."""
    *streams, answers = files
    if pid := os.fork():
        for file in streams:
            os.close(file)
        os.write(answers, str(pid).encode())
        _, status = os.waitpid(pid, 0)
        os.write(answers, str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    os.close(answers)
    for number, file in enumerate(streams):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv[1:] = request["arguments"]


def _import_program() -> None:
    """All that commands import before or while they run."""
    for module in pkgutil.walk_packages(storekeeper.__path__, f"{storekeeper.__name__}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    # The library for commands imports some of its own at the first one; this one opens no shop.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        app(["report", "--help"], prog_name="storekeeper")
    gc.freeze()


def main() -> NoReturn:
    _import_program()
    _serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module(storekeeper.__name__, run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    main()
