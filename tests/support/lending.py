"""One DynamoDB Local for all processes of a run, lent by the one that started them.

Of all engines it takes longest to start and to get warm, and each test has tables of its own in it.
It is started when first asked for.
"""

from __future__ import annotations

import json
import os
import socket
import socketserver
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.engines.launch import Missing, Name

LENT: tuple[Name, ...] = ("dynamodb",)
_PLACE = "TEST_ENGINES_LENT_AT"
_PATIENCE_S = 300.0


def lend(find: Callable[[Name], str]) -> Callable[[], None]:
    """Answers other processes with what `find` does: where an engine is, or `Missing`. The answer
    ends it."""
    folder = tempfile.TemporaryDirectory(prefix="storekeeper-lent-")
    os.environ[_PLACE] = str(Path(folder.name, "desk"))
    desk = _Desk(os.environ[_PLACE], _Asked)
    desk.find = find
    threading.Thread(target=desk.serve_forever, daemon=True).start()

    def end() -> None:
        desk.shutdown()
        desk.server_close()
        folder.cleanup()

    return end


def borrow(name: Name) -> str | None:
    """Where the engine is that another process has for this one; None where none has."""
    if name not in LENT or _PLACE not in os.environ:
        return None
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(_PATIENCE_S)
        asking.connect(os.environ[_PLACE])
        asking.sendall(f"{name}\n".encode())
        with asking.makefile() as answers:
            answer: dict[str, str] = json.loads(answers.readline())
    if "missing" in answer:
        raise Missing(answer["missing"])
    return answer["url"]


class _Desk(socketserver.UnixStreamServer):
    """One at a time: who comes second finds the engine running."""

    find: Callable[[Name], str]


class _Asked(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        asked = self.rfile.readline().decode().strip()
        (name,) = (one for one in LENT if one == asked)
        desk: Any = self.server
        try:
            answer = {"url": desk.find(name)}
        except Missing as missing:
            answer = {"missing": str(missing)}
        self.wfile.write(json.dumps(answer).encode() + b"\n")
