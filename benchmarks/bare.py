"""The yardstick: the same framework and server with one route that does nothing.

    python -m benchmarks.bare

Prints where it listens, as the shop does.
"""

from __future__ import annotations

import gc
import socket

import uvicorn
from litestar import Litestar, post


@post("/empty")
async def empty() -> None:
    """Answers 201 without a body."""


def main() -> None:
    app = Litestar([empty], openapi_config=None, logging_config=None)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
    )
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    # The same care for the collector of garbage as the shop takes.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
