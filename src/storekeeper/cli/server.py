"""One server process: the shop's application on uvicorn, from a listening socket to a clean end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib.util
import os
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from storekeeper.config import Settings, SettingsError
from storekeeper.domain.errors import StoreUnavailable

BACKLOG = 2_048
# Databases, logs, uploads, connections to elsewhere, and those past the bound.
FILES_OF_OUR_OWN = 192
# Where systemd's protocol of handed over sockets begins (sd_listen_fds(3)).
FIRST_HANDED = 3
DRAIN_TURN_S = 0.1
CLOSE = (b"connection", b"close")


def listen(host: str, port: int) -> socket.socket:
    """The listening socket; raises `SettingsError` where the address can't be had.

    It is taken before anything else, so that a second server ends before it touches the file, and
    whoever connects while the shop is being opened waits instead of being refused. One that the
    service manager hands over is taken instead: it stays open from one process to the next, so
    that nobody is refused between them.
    """
    if (handed := _handed_over()) is not None:
        return handed
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise SettingsError(_why_not(host, port, error)) from error
    return listening


def _handed_over() -> socket.socket | None:
    """The socket that this process was started with, if it was (sd_listen_fds(3))."""
    process = os.environ.pop("LISTEN_PID", "")
    count = os.environ.pop("LISTEN_FDS", "")
    if process != str(os.getpid()) or not count:
        return None
    if count != "1":
        raise SettingsError(
            f"the service manager hands over {count} sockets, and the shop listens on one; leave "
            "one ListenStream= in the unit"
        )
    return socket.socket(fileno=FIRST_HANDED)


def serve_alone(settings: Settings, listening: socket.socket, opened: Callable[[], None]) -> None:
    """Serves in this process until a signal ends it; `opened` is called when requests are taken."""
    from storekeeper.app import build_shop, check_provider, check_topics
    from storekeeper.app.serving import make_asgi
    from storekeeper.telemetry.logging import configure

    configure(settings.log_level, settings.log_format)
    check_provider(settings)
    check_topics(settings)
    run_server(make_asgi(build_shop(settings)), settings, listening, opened)


def run_server(
    asgi: Any, settings: Settings, listening: socket.socket, opened: Callable[[], None]
) -> None:
    """Runs uvicorn on the socket; ends normally after SIGTERM or SIGINT, however often."""
    import uvicorn

    from storekeeper.http.connections import Connections, protocol_of

    connections = Connections(
        header_seconds=settings.header_seconds,
        body_seconds=settings.body_seconds,
        maximum=min(settings.max_connections, room_for_connections()),
    )

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                connections.start()
                opened()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            await self._drain()
            connections.end()
            await super().shutdown(sockets)
            connections.stop()

        async def _drain(self) -> None:
            """Serves on while balancers learn from /readyz that this process goes; a connection
            ends with its next answer, so that none is closed under a request."""
            asgi.state.is_ending = True
            self.server_state.default_headers = [*self.server_state.default_headers, CLOSE]
            deadline = asyncio.get_running_loop().time() + settings.drain_seconds
            while not self.force_exit and asyncio.get_running_loop().time() < deadline:
                await asyncio.sleep(DRAIN_TURN_S)

    server = Server(
        uvicorn.Config(
            asgi,
            loop="uvloop" if _has_uvloop() else "asyncio",
            http=protocol_of(connections),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            # Whom to believe about a client is our setting (`trusted_proxies`), not uvicorn's.
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=settings.keep_alive_seconds,
            timeout_graceful_shutdown=settings.shutdown_seconds,
        )
    )
    # After its graceful end the server raises the signal once more, for whoever called it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    try:
        server.run(sockets=[listening])
    except SystemExit as end:
        if not server.started and end.code:
            reason = asgi.state.get("not_opened")
            told = "the log says why" if reason is None else reason.detail
            raise StoreUnavailable(f"the shop could not be opened; {told}") from None
        raise


def room_for_connections() -> int:
    """How many the limit of open files leaves room for, once it is raised as far as it goes."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return sys.maxsize
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # macOS promises more than it gives; then what there is stays.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    if soft == resource.RLIM_INFINITY:
        return sys.maxsize
    return max(soft - FILES_OF_OUR_OWN, soft // 2)


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


def _has_uvloop() -> bool:
    return importlib.util.find_spec("uvloop") is not None


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is taken, perhaps by a shop that runs already; "
            "stop that one or choose another with --port"
        )
    if error.errno == errno.EACCES:
        return f"port {port} needs more rights than you have; choose one above 1023 with --port"
    return f"can't listen on {host}:{port}: {error.strerror or error}; choose another --host"
