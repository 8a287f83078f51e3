"""Writing a whole shop into an empty log: its rows, chunk after chunk, as entries 1 to the last.

All comes from a snapshot of the source, a file that is kept until the copy is whole. Which chunk
comes next is told by the log's last entry alone, so a copy that was broken off goes on there, and
nothing is written twice. A node that follows such a log serves nothing before its end.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from storekeeper.domain.errors import AlreadyExists, Overloaded, StoreUnavailable
from storekeeper.store.dynamodb.entries import Copied, Entry
from storekeeper.store.dynamodb.follower import OWN_TABLES, PARTIAL
from storekeeper.store.dynamodb.log import Behind, Log
from storekeeper.store.sqlite.backup import Progress, back_up
from storekeeper.store.sqlite.connect import told_clearly
from storekeeper.store.sqlite.transfer import chunks, count, snapshot_at

Watch = Callable[[str, int, int], None]
# Compressed it nearly always fits into one item; what doesn't goes into parts as any entry does.
CHUNK_BYTES = 480_000
# How often in a row DynamoDB may ask for fewer requests before the copy is broken off.
MOST_RESTS = 60
REST_S = 2.0


def copy_into(log: Log, source: Path, snapshot: Path, *, watch: Watch) -> bool:
    """Copies the shop in the file `source` into the log; answers whether it went on with a copy.

    Blocks. Raises `AlreadyExists` where the log holds another shop, `StoreUnavailable`.
    """
    last = log.last()
    if isinstance(last, Copied) and last.found is None:
        snapshot.unlink(missing_ok=True)
        return True
    if last is None:
        back_up(source, snapshot, force=True, without=OWN_TABLES, progress=_pages(watch))
    elif not isinstance(last, Copied) or not snapshot.exists():
        raise _taken(last)
    with told_clearly(snapshot):
        copy = _hash(snapshot)
        is_resumed = last is not None
        rests = 0
        while True:
            try:
                _go_on(log, snapshot, copy, last, watch)
                break
            except (Overloaded, Behind):
                # Whether the last one was written is told by the log.
                if (rests := rests + 1) > MOST_RESTS:
                    raise Overloaded(
                        "DynamoDB takes no more; run the same command later, it goes on",
                        retry_after=60,
                    ) from None
                time.sleep(REST_S)
                before, last = last, log.last()
                rests = rests if before == last else 0
        snapshot.unlink()
    return is_resumed


def require_whole(log: Log) -> None:
    """Raises `StoreUnavailable` where the log ends within a copy; blocks."""
    last = log.last()
    if isinstance(last, Copied) and last.found is not None:
        raise StoreUnavailable(PARTIAL)


def _go_on(log: Log, snapshot: Path, copy: str, last: Entry | Copied | None, watch: Watch) -> None:
    if last is not None and (not isinstance(last, Copied) or last.copy != copy):
        raise _taken(last)
    if last is not None and last.found is None:
        return  # written, but the answer was lost
    with snapshot_at(snapshot) as connection:
        seq = last.seq if last else 0
        written = last.written if last else 0
        total = count(connection)
        after = last.found.end if last and last.found else None
        for found in chunks(connection, CHUNK_BYTES, after):
            watch("Writing rows", written, total)
            seq += 1
            written += len(found.rows)
            log.append_copied(Copied(seq, copy, written, found))
        log.append_copied(Copied(seq + 1, copy, written, None))
        watch("Writing rows", written, total)


def _taken(last: Entry | Copied) -> AlreadyExists:
    if isinstance(last, Copied):
        return AlreadyExists(
            "a copy of another moment was begun in these tables; go on where it was begun, or name "
            "another prefix"
        )
    return AlreadyExists(
        "there is a shop in these tables; name another prefix, `copy` makes the tables itself"
    )


def _pages(watch: Watch) -> Progress:
    return lambda done, total: watch("Copying pages", done, total)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
