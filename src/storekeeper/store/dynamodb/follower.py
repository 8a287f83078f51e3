"""The replica's writer: decides on the replica, lets the log agree, and applies what others wrote.

The replica is an ordinary shop file. Everything in it comes from the log, entry by entry in the
order of their numbers, so that all nodes hold the same rows under the same keys, and a node that
was killed between the log and its file catches up at its next step.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import count
from pathlib import Path

from storekeeper.domain.admission import Admitted, admit
from storekeeper.domain.changes import ChangeSet
from storekeeper.domain.errors import Overloaded, StoreUnavailable
from storekeeper.store.dynamodb.entries import Copied, Entry
from storekeeper.store.dynamodb.log import Behind, Log
from storekeeper.store.port import ANY_PRODUCT
from storekeeper.store.sqlite.known import Known
from storekeeper.store.sqlite.rows import scalar
from storekeeper.store.sqlite.stamps import Stamps
from storekeeper.store.sqlite.transfer import write
from storekeeper.store.sqlite.writer import Writer, stamps_of

_FOLLOWED = """
CREATE TABLE IF NOT EXISTS followed (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    log TEXT NOT NULL,
    seq INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS copied (
    copy TEXT PRIMARY KEY,
    is_whole INTEGER NOT NULL
) STRICT;
"""
# What a replica has beside a shop's own tables.
OWN_TABLES = ("followed", "copied")
PARTIAL = (
    "a shop is being copied into these tables; wait until that has ended, or run `storekeeper copy` "
    "again if it was broken off"
)
# How often a batch is decided anew because other nodes were first, before its callers are asked
# to come back.
MOST_RACES = 50
# Losers of several races wait a little, at random, so that no two nodes stay in step.
LONGEST_REST_S = 0.02


class Follower(Writer):
    """A writer whose commits are entries of the log. All methods run on the writer's thread.

    `log_id` tells one log from another: a file that follows one is of no use to another.
    """

    def __init__(
        self,
        path: Path,
        stamps: Stamps,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
        *,
        log: Log,
        log_id: str,
    ) -> None:
        super().__init__(path, stamps, clock, new_id)
        self._log = log
        self._log_id = log_id
        # The last entry that this file holds; another process of this machine may have gone on.
        self.seq = 0
        self.races = 0
        # Whether a shop is being copied into the log, so that there is only a part of it.
        self.is_partial = False

    def open(self) -> None:
        super().open()
        connection = self._connection
        # The log is what is durable. What the file lacks after a loss of power is followed again.
        connection.pragma("synchronous", "normal")
        with self._own_turn():
            connection.execute(_FOLLOWED)
            connection.execute("INSERT OR IGNORE INTO followed VALUES (1, ?, 0)", (self._log_id,))
            kept = scalar(connection, "SELECT log FROM followed")
            self.seq = self._position()
            self.is_partial = self._is_partial()
        if kept != self._log_id:
            raise StoreUnavailable(
                f"{self._path} is a replica of {kept}, not of {self._log_id}; name another file "
                "with --database, or remove it and it is filled anew"
            )

    def follow(self) -> int:
        """Applies every entry that isn't in the file yet; answers how many."""
        applied = 0
        is_more = True
        while is_more:
            found, is_more = self._log.after(self.seq)
            applied += self.apply(found) if found else 0
        return applied

    def apply(self, found: Sequence[Entry | Copied]) -> int:
        """Writes entries that follow on what the file holds; those it has are passed over."""
        with self._own_turn():
            return self._apply(found)

    def _commit(self, changes: Sequence[ChangeSet]) -> list[Exception | None]:
        for race in count():
            try:
                return super()._commit(changes)
            except Behind:
                self.races += 1
                if race >= MOST_RACES:
                    raise Overloaded(
                        "other nodes write all the time; try again shortly", retry_after=1
                    ) from None
                if race > 1:
                    time.sleep(random.uniform(0, LONGEST_REST_S))  # noqa: S311
                self._catch_up()
        raise AssertionError("unreachable")

    def _seal(self, admitted: Sequence[Admitted], now: datetime) -> None:
        position = self._position()
        if admitted:
            if self._is_partial():
                raise StoreUnavailable(PARTIAL)
            self._log.append(position + 1, admitted, now)
            self._move_to(position + 1)
        elif self._log.after(position, 1).entries:
            # What was refused may be possible on what others have written meanwhile.
            raise Behind

    def _catch_up(self) -> None:
        is_more = True
        while is_more:
            found, is_more = self._log.after(self._position())
            if found:
                self._apply(found)

    def _apply(self, found: Sequence[Entry | Copied]) -> int:
        connection = self._connection
        decided = [entry for entry in found if isinstance(entry, Entry)]
        bumps = stamps_of(change for entry in decided for change in entry.changes)
        if len(decided) < len(found):
            self._stamps.bump_all()
        connection.execute("BEGIN IMMEDIATE")
        try:
            position = self._position()
            new = [entry for entry in found if entry.seq > position]
            self._stamps.bump(bumps)
            for entry in new:
                if entry.seq != position + 1:
                    raise StoreUnavailable(
                        f"the log lacks entry {position + 1}; restore its table from its "
                        "point-in-time recovery"
                    )
                if isinstance(entry, Copied):
                    self._write_copied(entry)
                else:
                    self._replay(entry)
                position = entry.seq
            if new:
                self._move_to(position)
            connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        self._stamps.bump(bumps)
        self.seq = position
        self.is_partial = self._is_partial()
        return len(new)

    def _write_copied(self, entry: Copied) -> None:
        self._known = Known()
        if entry.found is not None:
            write(self._connection, entry.found)
        self._connection.execute(
            "INSERT INTO copied VALUES (?1, ?2) ON CONFLICT DO UPDATE SET is_whole = ?2",
            (entry.copy, int(entry.found is None)),
        )

    def _replay(self, entry: Entry) -> None:
        writes_products = ("catalog", ANY_PRODUCT) in stamps_of(entry.changes)
        if writes_products:
            self._known = Known()
        state = self._load(entry.changes)
        ids = iter(entry.alert_ids)
        results = admit(entry.changes, state, entry.at, lambda: next(ids))
        admitted = [result for result in results if isinstance(result, Admitted)]
        if len(admitted) < len(results):
            refused = next(result for result in results if isinstance(result, Exception))
            raise StoreUnavailable(
                f"{self._path} doesn't agree with entry {entry.seq} of the log ({refused}); remove "
                "the file and it is filled anew"
            )
        self._write(admitted, state)
        if writes_products:
            self._known = Known()

    def _is_partial(self) -> bool:
        return bool(scalar(self._connection, "SELECT count(*) FROM copied WHERE is_whole = 0"))

    def _position(self) -> int:
        return int(scalar(self._connection, "SELECT seq FROM followed"))

    def _move_to(self, seq: int) -> None:
        self._connection.execute("UPDATE followed SET seq = ?", (seq,))
        self.seq = seq
