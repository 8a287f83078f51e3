"""Commands of the program without the start of an interpreter for each of them.

Most of what a short command costs is Python's start and the imports, and tests run hundreds. So
one process imports the program once and forks for each command: still a process with its own
folder, environment, pipes and exit code, which shares nothing with the tester.

What a user starts is different in that nothing is imported yet. What that could hide is seen by
the commands that tests start in the usual way: all servers, and all with an interpreter's own
settings in their environment.
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


def is_for_a_start(environment: Mapping[str, str]) -> bool:
    """Whether these variables have to be there when the interpreter starts."""
    return any(name.startswith(OF_THE_START) for name in environment)


def run(
    arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdin: str, timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """What `subprocess.run([python, "-m", "storekeeper", *arguments])` would answer."""
    request = {"arguments": list(arguments), "cwd": str(cwd), "env": dict(env)}
    with (
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
        _fed(stdin) as read,
    ):
        code = _answer(request, (read.fileno(), out.fileno(), err.fileno()), timeout_s)
        for file in (out, err):
            file.seek(0)
        return subprocess.CompletedProcess(arguments, code, out.read(), err.read())


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


def _answer(request: object, files: tuple[int, ...], timeout_s: float) -> int:
    """The exit code of what is asked for; kills it when that takes too long."""
    ours, theirs = socket.socketpair()
    with ours, ours.makefile() as answers:
        with theirs:
            packed = json.dumps(request).encode()
            socket.send_fds(_forking(), [packed], [*files, theirs.fileno()])
        ours.settimeout(timeout_s)
        pid = int(answers.readline())
        try:
            code = int(answers.readline())
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise
    return code


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
        os.write(answers, f"{pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        os.write(answers, f"{os.waitstatus_to_exitcode(status)}\n".encode())
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
