"""What a command says arrives whole, whatever the stream at the other end is like."""

from __future__ import annotations

import io
import os
import threading
from typing import Any

from storekeeper.cli.console import write_all

TEXT = "Größe, 一二三, £\n" * 40_000


class Narrow(io.RawIOBase):
    """Takes a little of each write and says so, as a pipe may."""

    def __init__(self) -> None:
        self.taken = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data[:4_099])
        self.taken += part
        return len(part)


def test_a_stream_that_takes_only_a_part_at_a_time_gets_all() -> None:
    raw = Narrow()
    write_all(io.TextIOWrapper(raw, "utf-8", write_through=True), TEXT)
    assert raw.taken == TEXT.encode()


def test_a_full_pipe_that_does_not_block_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    read: list[bytes] = []

    def drain() -> None:
        with os.fdopen(reading, "rb") as pipe:
            read.append(pipe.read())

    reader = threading.Thread(target=drain)
    reader.start()
    with io.TextIOWrapper(io.FileIO(writing, "w"), "utf-8", write_through=True) as stream:
        write_all(stream, TEXT)
    reader.join()
    assert read == [TEXT.encode()]


def test_a_stream_of_text_alone_gets_the_text() -> None:
    stream = io.StringIO()
    write_all(stream, "all of it\n")
    assert stream.getvalue() == "all of it\n"


def test_the_api_document_goes_whole_into_a_pipe_without_buffers(terminal) -> None:
    whole = terminal.ok("openapi").json
    assert terminal.ok("openapi", PYTHONUNBUFFERED="1").json == whole
