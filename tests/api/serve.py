"""A server process as `storekeeper serve` runs one: `python -m tests.api.serve SETTINGS_JSON`."""

from __future__ import annotations

import sys

import msgspec

from storekeeper.cli.server import listen, serve_alone
from storekeeper.config import Settings


def main() -> None:
    settings = msgspec.json.decode(sys.argv[1], type=Settings)
    listening = listen(settings.host, 0)
    port = listening.getsockname()[1]
    serve_alone(settings, listening, lambda: print(port, flush=True))


if __name__ == "__main__":
    main()
