"""A file that is just being opened when the shop stops is closed all the same, and not under way."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import BinaryIO

import pytest

from storekeeper.services.threads import to_its_end


async def test_who_leaves_while_a_file_is_opened_leaves_no_open_file(tmp_path: Path):
    path = tmp_path / "rows.csv"
    path.write_bytes(b"sku\n")
    may_open, opened = threading.Event(), list[BinaryIO]()

    def open_it() -> BinaryIO:
        may_open.wait(30)
        opened.append(path.open("rb"))
        return opened[0]

    waiting = asyncio.create_task(to_its_end(open_it, lambda file: file.close()))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0)
    assert not waiting.done()
    may_open.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert opened[0].closed


async def test_what_fails_while_somebody_leaves_hides_no_cancellation():
    may_fail = threading.Event()

    def fail() -> None:
        may_fail.wait(30)
        raise OSError("no such disk")

    waiting = asyncio.create_task(to_its_end(fail))
    await asyncio.sleep(0)
    waiting.cancel()
    may_fail.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_one_who_stays_gets_what_was_made_or_what_went_wrong():
    assert await to_its_end(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await to_its_end(lambda: 1 // 0)
