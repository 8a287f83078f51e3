"""A socket that outlives the servers on it, as a service manager holds it (sd_listen_fds(3))."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Sequence

# The server's own process is the one that the shell becomes.
_HAND_OVER = 'n=$1; shift; LISTEN_PID=$$ LISTEN_FDS={count} exec "$@" 3<&"$n"'


@contextlib.contextmanager
def held_socket() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=2_048) as listening:
        yield listening


def handing(listening: socket.socket, command: Sequence[str], *, count: int = 1) -> list[str]:
    """The command that hands the socket to `command`; to be started with it among `pass_fds`."""
    shell = ["bash", "-c", _HAND_OVER.format(count=count), "bash", str(listening.fileno())]
    return [*shell, *command]
