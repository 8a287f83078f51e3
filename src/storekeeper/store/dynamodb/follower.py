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

import structlog

from storekeeper.domain.admission import Admitted, admit
from storekeeper.domain.changes import ChangeSet
from storekeeper.domain.errors import Overloaded, StoreUnavailable
from storekeeper.store.dynamodb import erased
from storekeeper.store.dynamodb.entries import Copied, Entry
from storekeeper.store.dynamodb.log import Behind, Log
from storekeeper.store.port import ANY_PRODUCT
from storekeeper.store.sqlite.addresses import drop_addresses, held_addresses
from storekeeper.store.sqlite.known import Known
from storekeeper.store.sqlite.rows import scalar
from storekeeper.store.sqlite.stamps import Stamps
from storekeeper.store.sqlite.transfer import write
from storekeeper.store.sqlite.writer import FileFailure, Writer, stamps_of

logger = structlog.get_logger(__name__)
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
    "a copy of a shop into these tables isn't finished; wait until it has ended, or, where it was "
    "broken off, run `storekeeper copy` again with the same command or remove the tables"
)
# How long a batch is decided anew because other nodes were first, before its callers are asked to
# come back.
LONGEST_RACE_S = 10.0
# How long nothing is tried after a failure of DynamoDB.
REFUSING_S = 0.5
# A node whose entry was seen within this time may want to write as well; one that loses for a while
# still counts.
ACTIVE_S = 5.0
# The longest that a node rests for the others.
LONGEST_REST_S = 0.25


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
        self._refusal: StoreUnavailable | Overloaded | None = None
        self._refused_until = 0.0
        self._has_written = self._has_rested = False
        # When an entry of each other node was last seen, and how long a try to write takes here.
        self._others: dict[str, float] = {}
        self._try_s = 0.0
        # The entry that stands in the log and not yet in this file, and whether one stayed so.
        self._sealed = 0
        self.lacks_own = False
        # Whether a shop is being copied into the log, so that there is only a part of it.
        self.is_partial = False

    def open(self) -> None:
        super().open()
        connection = self._connection
        # The log is what is durable. What the file lacks after a loss of power is followed again.
        connection.pragma("synchronous", "normal")
        with self._own_turn():
            kept = scalar(connection, "SELECT log FROM followed")
            self.seq = self._position()
            self.is_partial = self._is_partial()
        if kept != self._log_id:
            raise StoreUnavailable(
                f"{self._path} is a replica of {kept}, not of {self._log_id}; name another file "
                "with --database, or remove it and it is filled anew"
            )

    def apply(self, found: Sequence[Entry | Copied]) -> int:
        """Writes entries that follow on what the file holds; those it has are passed over."""
        with self._own_turn():
            return self._apply(found)

    def commit(self, changes: Sequence[ChangeSet]) -> list[Exception | None]:
        refusal = self._refusal
        if refusal is not None and time.monotonic() < self._refused_until:
            # What waited meanwhile is told at once, instead of waiting for as long again.
            kind = Overloaded if isinstance(refusal, Overloaded) else StoreUnavailable
            return [kind(refusal.detail, **refusal.members) for _ in changes]
        if self._has_written:
            self._rest()
        return super().commit(changes)

    def _commit(self, changes: Sequence[ChangeSet]) -> list[Exception | None]:
        try:
            outcomes = self._race(changes)
        except (StoreUnavailable, Overloaded) as error:
            self._refusal = error
            self._refused_until = time.monotonic() + REFUSING_S
            raise
        self._refusal = None
        return outcomes

    def _race(self, changes: Sequence[ChangeSet]) -> list[Exception | None]:
        """Decides anew until the entry is the next one of the log."""
        if self._has_rested or not self._log.is_sure:
            self._has_rested = False
            self._catch_up()
        until = time.monotonic() + LONGEST_RACE_S
        for race in count():
            began = time.monotonic()
            try:
                return super()._commit(changes)
            except Behind as behind:
                self.races += 1
                if time.monotonic() > until:
                    raise Overloaded(
                        "other nodes write all the time; try again shortly", retry_after=1
                    ) from None
                self._apply(behind.entries)
                if race % 2:
                    # Twice in a row: more may have been written than one answer tells.
                    self._catch_up()
            finally:
                self._try_s += (time.monotonic() - began - self._try_s) / 8
        raise AssertionError("unreachable")

    def _rest(self) -> None:
        """After an entry of its own a node rests for one to two tries of each other one.

        Whoever lost the race knows by its answer what stands, and tries again at once, after it has
        written down what it lacked. So nodes that write all the time take turns; one that is alone
        rests never.
        """
        self._has_written = False
        recent = time.monotonic() - ACTIVE_S
        if others := sum(at > recent for at in self._others.values()):
            rest = others * self._try_s * random.uniform(1.0, 2.0)  # noqa: S311
            time.sleep(min(rest, LONGEST_REST_S))
            self._has_rested = True

    def _seal(self, admitted: Sequence[Admitted], now: datetime) -> None:
        position = self._position()
        if admitted:
            if self._is_partial():
                raise StoreUnavailable(PARTIAL)
            self._move_to(position + 1)
            self._log.append(position + 1, admitted, now)
            self._has_written = True
            self._sealed = position + 1
        elif entries := self._log.after(position).entries:
            # What was refused may be possible on what others have written meanwhile.
            raise Behind(entries)

    def _end(self, statement: str) -> bool:
        sealed, self._sealed = self._sealed, 0
        try:
            super()._end(statement)
        except FileFailure as error:
            if not sealed:
                raise
            # It stands in the log, and so for everybody; this file follows when it can.
            self._roll_back()
            self.lacks_own = True
            logger.error("the replica lacks an entry of its own", seq=sealed, reason=str(error))
            return False
        if sealed:
            self.seq = sealed
        return True

    def _catch_up(self) -> None:
        is_all = False
        while not is_all:
            entries, is_all = self._log.after(self._position())
            self._apply(entries)

    def _apply(self, found: Sequence[Entry | Copied]) -> int:
        if not found:
            return 0
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            position = self._position()
            new = [entry for entry in found if entry.seq > position]
            decided = [entry for entry in new if isinstance(entry, Entry)]
            slots = self._stamps.slots(stamps_of(c for entry in decided for c in entry.changes))
            self._tell(slots, 2 * position + 1, of_all=len(decided) < len(new))
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
        self._tell(slots, 2 * position, of_all=len(decided) < len(new))
        self._stamps.reach(2 * position)
        self.seq = position
        self.lacks_own = False
        self.is_partial = self._is_partial()
        now = time.monotonic()
        seen = {entry.node for entry in decided} - {self._log.node}
        recent = {node: at for node, at in self._others.items() if at > now - ACTIVE_S}
        self._others = recent | dict.fromkeys(seen, now)
        return len(new)

    def _write_copied(self, entry: Copied) -> None:
        self._known = Known()
        if entry.found is not None:
            write(self._connection, entry.found)
            if entry.is_erased:
                ids = erased.copied_without_address(entry.found)
                drop_addresses(self._connection, ids)
        self._connection.execute(
            "INSERT INTO copied VALUES (?1, ?2) ON CONFLICT DO UPDATE SET is_whole = ?2",
            (entry.copy, int(entry.found is None)),
        )

    def _replay(self, entry: Entry) -> None:
        changes = entry.changes
        if entry.is_erased:
            ids = erased.put_without_address(changes)
            changes = erased.releasing(changes, held_addresses(self._connection, ids))
        writes_products = ("catalog", ANY_PRODUCT) in stamps_of(changes)
        if writes_products:
            self._known = Known()
        state = self._load(changes)
        alert_ids = iter(entry.alert_ids)
        results = admit(changes, state, entry.at, lambda: next(alert_ids))
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

    def _last_moment(self) -> int:
        self._connection.execute(_FOLLOWED)
        self._connection.execute("INSERT OR IGNORE INTO followed VALUES (1, ?, 0)", (self._log_id,))
        return 2 * self._position()

    def _next_moment(self) -> int:
        """Numbers of the log, so that all nodes count alike."""
        return 2 * (self._position() + 1)

    def _tell(self, slots: set[int], moment: int, *, of_all: bool) -> None:
        """Lets caches look again, of everything where rows came that nobody decided on here."""
        if of_all:
            self._stamps.bump_all(moment)
        else:
            self._stamps.bump(slots, moment)

    def _is_partial(self) -> bool:
        return bool(scalar(self._connection, "SELECT count(*) FROM copied WHERE is_whole = 0"))

    def _position(self) -> int:
        return int(scalar(self._connection, "SELECT seq FROM followed"))

    def _move_to(self, seq: int) -> None:
        self._connection.execute("UPDATE followed SET seq = ?", (seq,))
