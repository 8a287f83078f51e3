"""One of several server processes: started by the supervisor, ends with it.

    python -m storekeeper.cli.worker LISTENING_FD READY_FD

The settings come as one line of JSON on stdin, so that secrets are in no list of processes. Stdin
stays open for as long as the supervisor lives; its end is the sign to finish.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading

import msgspec

from storekeeper.config import Settings


def main() -> None:
    from storekeeper.app import build_shop
    from storekeeper.app.serving import make_asgi
    from storekeeper.cli.console import explain_and_exit
    from storekeeper.cli.server import run_server
    from storekeeper.telemetry.logging import configure

    listening_fd, ready_fd = map(int, sys.argv[1:])
    settings = msgspec.json.decode(sys.stdin.buffer.readline(), type=Settings)
    threading.Thread(target=_end_with_supervisor, daemon=True).start()

    def opened() -> None:
        os.write(ready_fd, b".")
        os.close(ready_fd)

    try:
        configure(settings.log_level, settings.log_format)
        asgi = make_asgi(build_shop(settings))
        run_server(asgi, settings, socket.socket(fileno=listening_fd), opened)
    except Exception as error:
        explain_and_exit(error)


def _end_with_supervisor() -> None:
    # Unbuffered: a thread that waits inside a buffered reader would hold its lock at exit.
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
