"""`ready`: what supervisors and updates ask before they send customers to a server."""

from __future__ import annotations

import time
from typing import Annotated

import httpx
import typer

from storekeeper.cli.console import Console, Failed
from storekeeper.cli.options import Config, Json, settings_of

# `/readyz` tries a write for two seconds itself.
PATIENCE_S = 5.0
TURN_S = 0.2
# Where a server that listens everywhere is reached from its own machine.
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing listens there


def ready(
    url: Annotated[
        str | None,
        typer.Argument(
            metavar="URL",
            help="Where the server is; by default where the settings' host and port say.",
            show_default=False,
        ),
    ] = None,
    wait: Annotated[
        float, typer.Option(help="Seconds to wait for it to become ready.", min=0)
    ] = 0.0,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Ask a running server whether it serves: exit code 0 when it does, 1 otherwise.

    \b
    Examples:
      storekeeper ready
      storekeeper ready --wait 60 http://127.0.0.1:8001
    """
    console = Console(as_json)
    settings = settings_of(None, config)
    host = LOOPBACK.get(settings.host, settings.host)
    host = f"[{host}]" if ":" in host else host
    address = (url or f"http://{host}:{settings.port}").rstrip("/")
    deadline = time.monotonic() + wait
    # The server's own machine is asked, never a proxy of the environment.
    with httpx.Client(trust_env=False, timeout=PATIENCE_S) as client:
        while trouble := _trouble(client, address):
            if time.monotonic() >= deadline:
                raise Failed(f"{address} is not ready: {trouble}")
            time.sleep(TURN_S)
    console.say(f"{address} is ready")
    console.result({"url": address, "ready": True})


def _trouble(client: httpx.Client, address: str) -> str:
    """Why it doesn't serve; empty when it does."""
    try:
        answer = client.get(f"{address}/readyz")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return str(error) or type(error).__name__
    return "" if answer.status_code == httpx.codes.OK else answer.text[:500]
